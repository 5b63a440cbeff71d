"""From stored DICOM values to grey levels: modality, values of interest, polarity, padding.

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.7.5.1.1.2 (padding), C.11.1 (modality LUT), C.11.2 (VOI
LUT), C.7.6.16.2 (the same per frame in enhanced multi-frame images).
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import TYPE_CHECKING, Any

import numpy as np

from angiopipe.imaging import scale

if TYPE_CHECKING:
    from pydicom import Dataset

WHITE = 255.0

_XRAY = "1.2.840.10008.5.1.4.1.1.12."
"""SOP classes of angiography and fluoroscopy: their modality LUT leads back to beam intensity (for
subtraction and measurement) and takes no part in display. Source: DICOM PS3.17 FFF.2.3.1.3.4."""


def grey_levels(stored: np.ndarray, dataset: Dataset, position: int) -> np.ndarray:
    """Grey levels of one frame, higher is lighter; padding is infinitely light.

    Args:
      stored: (rows, columns), any integer type: the decoded values.
      dataset: the file.
      position: of the frame, counted from 0.

    Returns:
      (rows, columns) float32: 0 to 255 if `has_own_scale`, else on the scale of the values.
    """
    levels = _modality(stored, dataset, position)
    first = _window(dataset, 0)
    if dataset.get("VOILUTSequence"):
        mapped, bits = _looked_up(levels, dataset, "VOILUTSequence")
        levels = mapped * (WHITE / ((1 << bits) - 1))
    elif first is not None:
        levels = _windowed(levels, *(_window(dataset, position) or first))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        levels = WHITE - levels
    levels[_padding(stored, dataset)] = np.inf
    return levels.astype(np.float32)


def has_own_scale(dataset: Dataset) -> bool:
    """Whether the file fixes which value is black and which is white: a window, a LUT, or 8 bits."""
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        return True
    if dataset.get("VOILUTSequence") or _window(dataset, 0) is not None:
        return True
    plain = _rescale(dataset, 0) == (1, 0) and not _has_modality_lut(dataset)
    return plain and dataset.BitsStored == 8 and not dataset.get("PixelRepresentation")


def to_uint8(levels: np.ndarray, own_scale: bool) -> np.ndarray:
    """Rounds grey levels to 8 bits; without a scale of their own they are spread from darkest to lightest.

    Args:
      levels: (rows, columns) float32 of `grey_levels`.
      own_scale: the answer of `has_own_scale`.

    Returns:
      (rows, columns) uint8.
    """
    seen = np.isfinite(levels)
    if not own_scale and seen.any():
        darkest, lightest = scale.span(levels[seen])
        levels = (levels - darkest) * (WHITE / max(lightest - darkest, 1e-9))
    return np.rint(np.clip(levels, 0, WHITE)).astype(np.uint8)


def _modality(stored: np.ndarray, dataset: Dataset, position: int) -> np.ndarray:
    if _has_modality_lut(dataset):
        return _looked_up(stored, dataset, "ModalityLUTSequence")[0]
    slope, intercept = _rescale(dataset, position)
    return stored.astype(np.float64) * slope + intercept


def _has_modality_lut(dataset: Dataset) -> bool:
    return bool(dataset.get("ModalityLUTSequence")) and not str(dataset.get("SOPClassUID", "")).startswith(
        _XRAY
    )


def _rescale(dataset: Dataset, position: int) -> tuple[float, float]:
    source = _functional_group(dataset, "PixelValueTransformationSequence", position)
    slope, intercept = _number(source, "RescaleSlope"), _number(source, "RescaleIntercept")
    return slope or 1.0, intercept or 0.0


def _window(dataset: Dataset, position: int) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window; one without width is none."""
    source = _functional_group(dataset, "FrameVOILUTSequence", position)
    centre, width = _number(source, "WindowCenter"), _number(source, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    function = str(source.get("VOILUTFunction") or "LINEAR")
    if width < 1 and function == "LINEAR":
        raise ValueError(
            f"expected a WindowWidth of 1 or more, found {width:g}, which shows black and white alone; "
            "export it without a window, or with the one it was read at"
        )
    return centre, width, function


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Maps values to 0..255. Source: DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return WHITE / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        share = (values - centre) / width + 0.5
    else:
        share = (values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5
    return np.clip(share, 0, 1) * WHITE


def _looked_up(values: np.ndarray, dataset: Dataset, keyword: str) -> tuple[np.ndarray, int]:
    """Maps values by the first table of a sequence; also tells the bits of its entries.

    pydicom's own `apply_voi` wraps around where a table of 8-bit entries has more than 256 of them.
    """
    try:
        table = dataset[keyword].value[0]
        length, first, bits = (int(number) for number in table.LUTDescriptor)
        if bits not in range(8, 17):
            raise ValueError("entries of a depth that the standard does not know")
        entries = _entries(table.LUTData, length or 1 << 16, dataset.original_encoding[1] is not False)
    except Exception:
        raise ValueError(
            f"expected a table in {keyword}, found none that can be read; export it again"
        ) from None
    position = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
    return entries[position], bits


def _entries(data: bytes | list[int], length: int, little: bool) -> np.ndarray:
    """(length,) float64 of a table that is stored as numbers, as words or, with 8-bit entries, as bytes."""
    if isinstance(data, bytes):
        wide = len(data) >= 2 * length
        return np.frombuffer(data, ("<u2" if little else ">u2") if wide else np.uint8, length).astype(
            np.float64
        )
    if len(data) < length:
        raise ValueError("a table that is shorter than its descriptor says")
    return np.asarray(data, np.float64)[:length]


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """(rows, columns) bool: what is outside the detector's field, told by a value or a range."""
    value = _number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _functional_group(dataset: Dataset, keyword: str, position: int) -> Dataset:
    """Where a frame's attributes are: its own group, the shared one, or the file itself."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*frames[position : position + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    for group in groups:
        if group.get(keyword):
            return group[keyword].value[0]
    return dataset


def _number(source: Dataset, keyword: str) -> float | None:
    """The first value of an element, None where it is empty."""
    value: Any = source.get(keyword)
    if value is None or value == "":
        return None
    try:
        number = float(value[0] if isinstance(value, MutableSequence) else value)
    except (TypeError, ValueError, IndexError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"expected {keyword} to be a number, found none; export it again")
    return number
