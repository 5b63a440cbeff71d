"""The frames of a DICOM file, decoded one at a time; damage and contradictions are errors.

Where several decoders could be had, one is named: pydicom would go on to the next where one refuses damage.

Source: DICOM PS3.5 8.2 and annexes A.4 (encapsulation) and G (RLE).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from angiopipe.imaging import codestream, huffman, lossless_jpeg, packbits

# pydicom is imported where it is used: most cohorts are JPEGs, and every worker imports this module.
if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")
"""How frames of JPEG, JPEG-LS and JPEG 2000 begin; any other fragment goes on with the one before."""

_RLE_HEADER = 64


def decoded(dataset: Dataset, wanted: Sequence[int], frames: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields position and stored values, (rows, columns[, 3]), one frame in memory at a time.

    Args:
      dataset: of an image that can be a view.
      wanted: positions of frames, counted from 0.
      frames: how many the header tells of.

    Raises:
      ValueError: the transfer syntax cannot be decoded, or pixels are damaged or not those that the
        header describes.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_transfer_syntax and not syntax.is_compressed:
        _refuse_other_length(dataset, frames)
        yield from _by_pydicom(dataset, wanted, "")
        return
    plugin = _plugin(syntax, dataset.BitsStored > 8)
    coded = _coded_frames(dataset, frames)
    for one in coded:
        _refuse_other_frame(one, dataset)
    if plugin == _OURS:
        for position in wanted:
            yield position, _stored(_lossless(coded[position], dataset), dataset)
        return
    by_pydicom = _by_pydicom(dataset, wanted, plugin)
    for position in wanted:
        _refuse_damaged(coded[position], dataset)
        yield next(by_pydicom)


_OURS = "ours"
_JPEG_LS = 0xF7


def _plugin(syntax: UID, deep: bool) -> str:
    """The decoder of a transfer syntax, in pydicom's words; refuses what none reads, before one tries."""
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    plugins = {
        uid.JPEGBaseline8Bit: ("pillow",),
        uid.JPEGExtended12Bit: ("pillow", "pylibjpeg"),  # Of 8 bits, and of 12.
        uid.JPEGLossless: (_OURS,),
        uid.JPEGLosslessSV1: (_OURS,),
        uid.JPEGLSLossless: ("pyjpegls",),
        uid.JPEGLSNearLossless: ("pyjpegls",),
        uid.RLELossless: ("pydicom",),
        **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), ("pylibjpeg",)),
        **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), ("pylibjpeg",)),
    }
    named = plugins.get(syntax, ("",))
    plugin = named[-1] if deep else named[0]
    if plugin != _OURS and not (plugin and plugin in get_decoder(syntax).available_plugins):
        name = syntax.name if syntax.is_transfer_syntax else "an unknown one"
        raise ValueError(
            f"expected a transfer syntax that can be decoded, found {name}{' of 12 bits' if deep else ''}; "
            "export it uncompressed, as RLE or JPEG 2000"
        )
    return plugin


def _refuse_other_length(dataset: Dataset, frames: int) -> None:
    """Refuses uncompressed pixels that are more or fewer than the header tells of."""
    bits = dataset.BitsAllocated * dataset.get("SamplesPerPixel", 1)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        bits = 16  # Two samples a pixel.
    frame = dataset.Rows * dataset.Columns * bits // 8
    # A byte to an even length is the standard's; some writers fill up to more, with zeros.
    rest = dataset.PixelData[frame * frames + 1 :]
    if len(dataset.PixelData) < frame * frames or len(rest) + 1 >= frame or rest.strip(b"\0"):
        raise ValueError(
            f"expected pixels that can be decoded: {frame * frames} bytes, as the header tells of {frames} "
            f"frames of {dataset.Rows} x {dataset.Columns}, found {len(dataset.PixelData)}, enough for "
            f"{len(dataset.PixelData) // frame}; export it again"
        )


def _coded_frames(dataset: Dataset, frames: int) -> list[bytes]:
    """Each frame's codestream.

    Raises:
      ValueError: there are more or fewer than the header tells of.
    """
    from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets

    try:
        offsets = parse_basic_offsets(dataset.PixelData)
        fragments = list(generate_fragments(dataset.PixelData))[1:]
        if offsets:
            found = len(offsets)
        elif dataset.file_meta.TransferSyntaxUID.name.startswith("RLE"):
            found = len(fragments)
        else:
            found = sum(fragment.startswith(_STARTS) for fragment in fragments)
        coded = list(generate_frames(dataset.PixelData, number_of_frames=frames)) if found == frames else []
    except Exception as error:
        raise ValueError(f"expected {frames} encoded frames, found damaged ones; export it again") from error
    if len(coded) != frames:
        raise ValueError(
            f"expected {frames} encoded frames, as the header tells, found {found}; export it again"
        )
    return coded


def _refuse_other_frame(coded: bytes, dataset: Dataset) -> None:
    """Refuses a frame that unpacks to more, or to other samples, than the file declares."""
    frame = codestream.frame_of(coded)
    if frame is None:
        if not dataset.file_meta.TransferSyntaxUID.name.startswith("RLE"):
            raise _damaged(dataset, "no frame header")
        return
    for what, declared, found in (
        ("frames of", f"{dataset.Rows} x {dataset.Columns}", f"{frame.rows} x {frame.columns}"),
        ("samples a pixel:", dataset.get("SamplesPerPixel", 1), frame.components),
    ):
        if found != declared:
            raise ValueError(f"expected {what} {declared}, found one of {found}; export it again")


def _refuse_damaged(coded: bytes, dataset: Dataset) -> None:
    """Refuses what the decoders that follow would pass over."""
    frame = codestream.frame_of(coded)
    if frame is None:
        _refuse_damaged_rle(coded, dataset)
    elif coded.startswith(b"\xff\xd8") and frame.marker != _JPEG_LS:
        _refuse_damaged_jpeg(coded, frame, dataset)
    elif frame.marker != _JPEG_LS:
        codestream.refuse_damaged_jpeg2000(coded)
    elif not coded.rstrip(b"\0").endswith(b"\xff\xd9"):
        # Its decoder refuses all other damage by itself, but looks for an end that is not there for minutes.
        raise _damaged(dataset, "no end marker")


def _refuse_damaged_jpeg(coded: bytes, frame: codestream.JpegFrame, dataset: Dataset) -> None:
    if frame.precision > 8:
        huffman.refuse_damaged_sequential(coded)
        return
    try:
        simplejpeg.decode_jpeg(coded, "GRAY", strict=True)
    except ValueError as error:
        raise _damaged(dataset, str(error)) from None
    codestream.refuse_missing_scans(coded, frame)


def _refuse_damaged_rle(coded: bytes, dataset: Dataset) -> None:
    """Refuses a frame whose segments are not as long, or not as many, as its header and the image tell."""
    samples = dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated // 8
    if len(coded) < _RLE_HEADER:
        raise _damaged(dataset, "no header")
    count, *starts = struct.unpack_from("<16I", coded)
    ends = [*starts[1:samples], len(coded)]
    if count != samples or starts[0] != _RLE_HEADER or any(starts[samples:]) or ends != sorted(ends):
        raise _damaged(dataset, f"a header of {count} segments that contradicts the image")
    for number, (start, end) in enumerate(zip(starts, ends, strict=False), 1):
        if not packbits.is_exact(coded[start:end], dataset.Rows * dataset.Columns):
            raise _damaged(dataset, f"segment {number} of another length")


def _by_pydicom(dataset: Dataset, wanted: Sequence[int], plugin: str) -> Iterator[tuple[int, np.ndarray]]:
    from pydicom.pixels.utils import iter_pixels

    try:
        # Bits above those stored are looked at here: cutting them off would make other values of them.
        decoded = iter_pixels(dataset, indices=wanted, decoding_plugin=plugin, correct_unused_bits=False)
        for position, stored in zip(wanted, decoded, strict=True):
            yield position, _stored(stored, dataset)
    except ValueError as error:
        if str(error).startswith("expected "):
            raise
        raise _damaged(dataset, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
    except Exception as error:
        raise _damaged(dataset, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


def _lossless(coded: bytes, dataset: Dataset) -> np.ndarray:
    """The samples of a JPEG Lossless frame; colours, which have 8 bits, come by a decoder that can be had."""
    if dataset.get("SamplesPerPixel", 1) == 1:
        return lossless_jpeg.decode(coded)
    try:
        return simplejpeg.decode_jpeg(coded, "RGB", strict=True)
    except ValueError as error:
        raise _damaged(dataset, str(error)) from None


def _stored(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Values of as many bits as are stored, of two's complement where the file says so.

    Raises:
      ValueError: they need more, padding aside: then other bits are the picture's.
    """
    bits, signed = dataset.BitsStored, bool(dataset.get("PixelRepresentation"))
    wide = values.astype(np.int32)
    low = wide & ((1 << bits) - 1)
    within = low - (low >> (bits - 1) << bits) if signed else low
    beyond = values[(wide != low) & (wide != within)]  # The bits above are zero or repeat the sign.
    if not len(beyond):
        return within if signed else values
    if np.isin(beyond, dataset.get("PixelPaddingValue")).all():
        return values
    highest = (1 << bits) - 1
    if not signed and _is_lossy(dataset) and int(beyond.max()) <= highest + (highest >> 3):
        return np.minimum(values, highest)  # Edges overshoot in what a lossy codec makes of them.
    raise ValueError(
        f"expected values of {bits} bits, as BitsStored tells, found {int(beyond[0])}; export it again"
    )


def _is_lossy(dataset: Dataset) -> bool:
    from pydicom import uid

    return dataset.file_meta.TransferSyntaxUID in (uid.JPEG2000, uid.HTJ2K, uid.JPEGLSNearLossless)


def _damaged(dataset: Dataset, found: str) -> ValueError:
    name = dataset.file_meta.TransferSyntaxUID.name
    return ValueError(
        f"expected pixels that can be decoded, found damaged {name} data ({found}); export it again"
    )
