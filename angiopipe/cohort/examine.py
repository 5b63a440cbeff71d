"""One image file, looked at from its first byte to its last pixel: facts, or what is wrong with it."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from angiopipe.cohort.deidentify import Clean, clean
from angiopipe.imaging import codestream, dicom
from angiopipe.imaging.decode import decode, grey
from angiopipe.imaging.metadata import JPEG_START

EXTENSIONS = {"JPEG": ("jpg", "jpeg"), "PNG": ("png",), "TIFF": ("tif", "tiff")}
"""The formats that are found by name, and how their files may be called; DICOM comes by manifest."""

SMALLEST_SIDE, LARGEST_SIDE = 64, 8192
"""Pixels; flat-panel detectors have 1,024 to 2,048 rows, and 8,192 squared is 64 MB of grey."""

HISTOGRAM_BINS = 32

_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
"""Pillow's pixel type of a JPEG by its components."""

# How the library tells what is wrong.
_TOLD = re.compile(r"expected (?P<expected>.+?), found (?P<found>.+?)(?:; (?P<remedy>.+))?", re.DOTALL)


class ImageFault(ValueError):
    """Why an image cannot be used.

    Attributes:
      expected: what it should have been.
      found: what it is.
      remedy: what to do about it.
    """

    def __init__(self, expected: str, found: str, remedy: str):
        super().__init__(f"expected {expected}, found {found}; {remedy}")
        self.expected, self.found, self.remedy = expected, found, remedy


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image that can be used.

    Attributes:
      bytes: size of the file.
      sha256: of the file, hexadecimal.
      format: JPEG, PNG, TIFF or DICOM.
      mode: Pillow's name of the pixel type: L, I;16, RGB, RGBA, CMYK ...
      height: rows.
      width: columns.
      removed: what de-identification takes out of it, names only, comma-separated.
      as_is: whether it takes nothing out, and the file's bytes are what a record holds.
      histogram: (HISTOGRAM_BINS,) int32, pixels per range of grey levels of every eighth row of
        the decoded view.
    """

    bytes: int
    sha256: str
    format: str
    mode: str
    height: int
    width: int
    removed: str
    as_is: bool
    histogram: np.ndarray


def examine(content: bytes, name: str, frame: int | None = None) -> ImageFacts:
    """Looks at one image: format, size, completeness, pixels.

    Args:
      content: the file's bytes.
      name: the file's name; its extension must fit the format.
      frame: of a DICOM run, counted from 1; None takes the whole run.

    Raises:
      ImageFault: the image cannot be used.
    """
    if not content:
        raise ImageFault("an image", "an empty file", "copy it again from its source")
    format_, mode = "DICOM", "L"
    if not dicom.is_dicom(content):
        format_, mode = refuse_unsafe(content)
        _refuse_extension(name, format_)
    cleaned, view = _pixels(content, frame)
    _refuse_size(view.shape[1], view.shape[0])
    return ImageFacts(
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        format=format_,
        mode=mode,
        height=view.shape[0],
        width=view.shape[1],
        removed=",".join(cleaned.removed),
        as_is=cleaned.content == content,
        histogram=_histogram(view),
    )


def _pixels(content: bytes, frame: int | None) -> tuple[Clean, np.ndarray]:
    """What will enter the record, and its grey view."""
    try:
        cleaned = clean(content, frame)
        return cleaned, grey(decode(cleaned.content))
    except ValueError as error:
        told = _TOLD.fullmatch(str(error))
        if not told:
            raise ImageFault("an image that can be used", str(error), "export it again") from None
        raise ImageFault(
            told["expected"], told["found"], told["remedy"] or "copy it again from its source"
        ) from None


def refuse_unsafe(content: bytes) -> tuple[str, str]:
    """Refuses what is no JPEG, PNG or TIFF of a size that may be decoded; decodes no pixel.

    Returns:
      The image's format, and Pillow's name of its pixel type.

    Raises:
      ImageFault: it is none, or has too few or too many pixels.
    """
    format_, mode, size = _header(content)
    _refuse_size(*size)
    return format_, mode


def _header(content: bytes) -> tuple[str, str, tuple[int, int]]:
    """Format, mode and size, read without decoding a pixel: a decompression bomb stays unopened."""
    # Pillow parses every table of a JPEG in Python, a twentieth of all that validation does.
    frame = codestream.jpeg_frame(content) if content.startswith(JPEG_START) else None
    if frame and frame.precision == 8 and frame.components in _JPEG_MODES:
        return "JPEG", _JPEG_MODES[frame.components], (frame.columns, frame.rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=list(EXTENSIONS)) as image:
                return str(image.format), image.mode, image.size
    except Image.DecompressionBombError:
        raise ImageFault(
            f"at most {LARGEST_SIDE} x {LARGEST_SIDE} pixels",
            "far more",
            "export it at the detector's resolution",
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise ImageFault(
            f"a {', '.join(EXTENSIONS)} file", f"{len(content)} bytes that begin with {content[:8].hex(' ')}",
            "export it again in one of these formats",
        ) from None  # fmt: skip


def _refuse_extension(name: str, format_: str) -> None:
    extension = name.rpartition(".")[2].lower()
    if extension not in EXTENSIONS[format_]:
        raise ImageFault(
            f"a file named .{extension} to be one",
            f"a {format_} file",
            f"rename it to .{EXTENSIONS[format_][0]}",
        )


def _refuse_size(width: int, height: int) -> None:
    if not SMALLEST_SIDE <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise ImageFault(
            f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels a side", f"{width} x {height}",
            "export it at the detector's resolution",
        )  # fmt: skip


def _histogram(view: np.ndarray) -> np.ndarray:
    """Counts a view's grey levels; refuses one that shows nothing."""
    # Every eighth row tells the same of an angiogram in an eighth of the time, and copies as a whole.
    sample = np.ascontiguousarray(view[::8])
    histogram = cv2.calcHist([sample], [0], None, [HISTOGRAM_BINS], [0, 256]).ravel().astype(np.int32)
    if np.count_nonzero(histogram) == 1 and view.min() == view.max():
        found = f"every pixel at grey level {view.min()}"
        raise ImageFault("an angiogram", found, "export the exposure again")
    return histogram
