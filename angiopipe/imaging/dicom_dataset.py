"""A DICOM file parsed: safely, and with the names of what it holds."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from collections import deque
from typing import TYPE_CHECKING

# pydicom is imported where it is used: most cohorts are JPEGs, and every worker imports this module.
if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

MAX_INFLATED_BYTES = 1 << 29
"""What a deflated data set may unpack to."""

_DISPLAY_GROUPS = (0x0028, 0x5200)
"""Pixels and how they are shown, for the file and per frame."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"


def open_dataset(content: bytes) -> Dataset:
    """Parses a DICOM file, with or without its preamble.

    Raises:
      ValueError: it cannot be parsed. The message names no value of the file: it might be a name.
    """
    import pydicom
    from pydicom import config

    # A value that breaks its format is told in a warning that quotes it, a patient's name included.
    config.settings.reading_validation_mode = config.IGNORE
    # Others name no study either, and what they tell of is looked for here, and refused.
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    _refuse_inflation(content)
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        meta = dataset.file_meta
        if "TransferSyntaxUID" not in meta:
            meta.TransferSyntaxUID = _bare_syntax(dataset)
        if not isinstance(meta.TransferSyntaxUID, str):
            raise ValueError("several transfer syntaxes")
        # Elements are converted when first seen, and fail with their value in the message: not later, but here.
        for group in _DISPLAY_GROUPS:
            deque(dataset.group_dataset(group).iterall(), maxlen=0)
    except Exception as error:
        raise ValueError(
            f"expected a DICOM file, found {len(content)} bytes that cannot be parsed "
            f"({type(error).__name__}); export it again"
        ) from None
    return dataset


def _bare_syntax(dataset: Dataset) -> UID:
    """The transfer syntax of a data set that came without file meta information."""
    from pydicom import uid

    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _refuse_inflation(content: bytes) -> None:
    """Unpacks a deflated data set piece by piece, before pydicom does it in one go."""
    start = 144 + int.from_bytes(content[140:144], "little")
    if _DEFLATED not in content[132:start]:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, inflated = content[start:], 0
    try:
        while rest and not inflater.eof and inflated <= MAX_INFLATED_BYTES:
            inflated += len(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
    except zlib.error:
        raise ValueError("expected a deflated DICOM data set, found a damaged one; export it again") from None
    if inflated > MAX_INFLATED_BYTES:
        raise ValueError(
            f"expected a data set of at most {MAX_INFLATED_BYTES} bytes, found a deflated one of more; "
            "export it uncompressed"
        )


def element_names(content: bytes) -> tuple[str, ...]:
    """The keywords of all elements of a file but those that describe the pixels, in the file's order.

    Sequences are named once, whatever they hold; private elements and those that the standard does
    not know are named together.

    Raises:
      ValueError: it cannot be parsed.
    """
    dataset = open_dataset(content)
    tags = [*dataset.file_meta.keys(), *dataset.keys()]
    names = [_element_name(tag.group, tag) for tag in tags if tag.element and tag not in _PIXEL_ELEMENTS]
    if (dataset.preamble or b"").strip(b"\0"):
        names.insert(0, "preamble")
    return tuple(dict.fromkeys(names))


# Samples, photometry, frames, size, bits, representation; window and rescale; the pixels.
_PIXEL_ELEMENTS = frozenset(
    (0x00020010, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
     0x00280101, 0x00280102, 0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x7FE00010)
)  # fmt: skip


def _element_name(group: int, tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    if group % 2:
        return "private elements"
    if 0x6000 <= group < 0x6100:
        return "overlays"
    return keyword_for_tag(tag) or "unknown elements"
