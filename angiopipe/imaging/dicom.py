"""From a DICOM file (single image or angiographic run) to one grey view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from angiopipe.imaging import dicom_display, dicom_frames
from angiopipe.imaging.decode import grey
from angiopipe.imaging.dicom_dataset import open_dataset

# pydicom is imported where it is used: most cohorts are JPEGs, and every worker imports this module.
if TYPE_CHECKING:
    from pydicom import Dataset

MAX_PIXELS = 1 << 24
"""A frame's rows x columns; 4,096 squared, four times the finest angiographic detector."""

MAX_RUN_PIXELS = 1 << 30
"""A run's rows x columns x frames: 1,024 frames of 1,024 squared, minutes of cine."""

PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Stored colour models that are read; colours (a secondary capture) become their luma."""

_LEAST_BETWEEN = 0.01
"""A view of black and white, of which less than this lies between, shows no vessel."""

_GREY_BITS = range(8, 17)
_SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
"""PresentationLUTShape as DICOM PS3.3 C.8.7.1 ties it to the colour model; any other contradicts it."""
_TOLD = frozenset(map(str, range(256)))
"""What may be repeated of a header in an error: anything else might be a name, and cannot be read."""


def is_dicom(content: bytes) -> bool:
    """Whether bytes are a DICOM file: `DICM` after the preamble, or a bare data set.

    A bare data set is known by its first element, of group 2 or 8 in either byte order; no other
    image format that is read here begins like that.
    """
    if content[128:132] == b"DICM":
        return True
    group, element = content[:2], content[2:4]
    little = group in (b"\x02\0", b"\x08\0") and element[1:] == b"\0"
    big = group == b"\0\x08" and element[:1] == b"\0"
    return len(content) > 8 and (little or big)


def read(
    content: bytes, frame: int | None = None, max_pixels: int = MAX_PIXELS, max_run: int = MAX_RUN_PIXELS
) -> np.ndarray:
    """Reads one view as a viewer would show it: light background, vessels dark.

    A run without a chosen frame becomes its minimum-intensity projection: each pixel as dark as
    contrast ever made it, so all phases of the injection are in one view. Memory holds one frame
    and the projection, however long the run. Subtraction masks that a file only describes (Mask
    Module) and overlays are not applied; text that is part of the pixels stays.

    Args:
      content: the file's bytes.
      frame: counted from 1; None takes the only frame, or projects the run.
      max_pixels: most rows x columns that are decoded.
      max_run: most rows x columns x frames that are projected.

    Returns:
      (rows, columns) uint8.

    Raises:
      ValueError: the file is damaged, too large, holds no grey or RGB image, has no such frame, or
        its transfer syntax cannot be decoded.

    Source: grey levels as in DICOM PS3.3 C.7.6.3 and C.11; see `dicom_display`.
    """
    dataset = open_dataset(content)
    frames = _refuse_unsuitable(dataset, max_pixels)
    wanted = _wanted(dataset, frame, frames, max_run)
    view: np.ndarray | None = None
    for position, stored in dicom_frames.decoded(dataset, wanted, frames):
        shown = _shown(stored, dataset, position)
        view = shown if view is None else np.minimum(view, shown)
    assert view is not None
    own_scale = dicom_display.has_own_scale(dataset)
    levels = dicom_display.to_uint8(view, own_scale)
    if own_scale:
        _refuse_two_values(levels, stored)
    return levels


def _refuse_two_values(levels: np.ndarray, stored: np.ndarray) -> None:
    """Refuses a window or table that leaves nothing of many stored values but black and white."""
    black, white = (np.count_nonzero(levels == extreme) / levels.size for extreme in (0, 255))
    many = len(np.unique(np.ascontiguousarray(stored[::8]))) > 16
    if many and black + white >= 1 - _LEAST_BETWEEN and min(black, white) >= _LEAST_BETWEEN:
        raise ValueError(
            f"expected a window that shows the view, found one that makes {black + white:.0%} of it black or "
            "white; export it without a window, or with the one it was read at"
        )


def _refuse_unsuitable(dataset: Dataset, max_pixels: int) -> int:
    """The number of frames, of an image that can be a view."""
    if "PixelData" not in dataset:
        raise ValueError(
            "expected an image, found a DICOM file without PixelData; export the images of the study"
        )
    rows, columns = _count(dataset, "Rows"), _count(dataset, "Columns")
    if rows * columns > max_pixels:
        raise ValueError(f"expected at most {max_pixels} pixels, found {rows} x {columns}; export it smaller")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in PHOTOMETRIC:
        raise ValueError(
            f"expected one of {', '.join(PHOTOMETRIC)}, found {_known(photometric)}; export it as grey"
        )
    _refuse_other_samples(dataset, photometric)
    return _count(dataset, "NumberOfFrames") if dataset.get("NumberOfFrames") else 1


def _refuse_other_samples(dataset: Dataset, photometric: str) -> None:
    """Refuses samples that are not read, and what the header says of them twice and differently."""
    is_grey = photometric.startswith("MONO")
    bits, allocated = _count(dataset, "BitsStored"), _count(dataset, "BitsAllocated")
    allowed, told = (_GREY_BITS, "8 to 16") if is_grey else (range(8, 9), "8")
    if bits not in allowed or not bits <= allocated <= 16:
        raise ValueError(f"expected {told} bits a sample, found {bits} in {allocated}; export it again")
    told_twice = {
        "SamplesPerPixel": ("1" if is_grey else "3", _TOLD),
        "HighBit": (str(bits - 1), _TOLD),
        "PresentationLUTShape": (_SHAPES.get(photometric, ""), frozenset(_SHAPES.values())),
    }
    for keyword, (expected, known) in told_twice.items():
        found = str(dataset.get(keyword, expected))
        if found in known and expected and found != expected:
            raise ValueError(
                f"expected {keyword} {expected}, as the image is {photometric} of {bits} bits, found {found}; "
                "export it again"
            )


def _count(dataset: Dataset, keyword: str) -> int:
    try:
        count = int(dataset.get(keyword))
    except Exception:
        count = 0
    if count < 1:
        raise ValueError(f"expected {keyword} of 1 or more, found none; export it again")
    return count


def _known(photometric: str) -> str:
    """The value if it is one of the standard's; an unknown text is not repeated."""
    return photometric if photometric in ("PALETTE COLOR", "HSV", "ARGB", "CMYK") else "another"


def _wanted(dataset: Dataset, frame: int | None, frames: int, max_run: int) -> Sequence[int]:
    if frame is not None and not 1 <= frame <= frames:
        raise ValueError(f"expected a frame from 1 to {frames}, found {frame}; correct the image manifest")
    if frame is not None:
        return [frame - 1]
    pixels = dataset.Rows * dataset.Columns * frames
    if pixels > max_run:
        raise ValueError(f"expected at most {max_run} pixels in a run, found {pixels}; choose a frame")
    return range(frames)


def _shown(stored: np.ndarray, dataset: Dataset, position: int) -> np.ndarray:
    """(rows, columns) float32 grey levels of one frame."""
    if stored.ndim == 3:
        return grey(np.ascontiguousarray(stored, np.uint8)).astype(np.float32)
    try:
        return dicom_display.grey_levels(stored, dataset, position)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"expected windows and tables that can be applied, found damaged ones ({type(error).__name__}); "
            "export it again"
        ) from None
