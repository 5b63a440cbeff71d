"""TIFF files: what they hold besides pixels, and their pixels, upright and with black as black.

OpenCV shows a damaged strip as libtiff left it, and 16 bits in which white is zero upside down. Pillow's
libtiff stops at what it cannot read; what neither complains of is checked against the strips' own code.

Source: TIFF 6.0; its technical note 2 (JPEG) and Adobe's (deflate).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import lookup

from angiopipe.imaging import packbits, scale
from angiopipe.imaging.metadata import stored_pixels

_NONE, _LZW, _JPEG, _DEFLATES, _PACKBITS = 1, 5, 7, (8, 32946), 32773
_WIDTH, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_STRIPS, _ROWS_A_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_ROWS, _TILES, _TILE_BYTES = 322, 323, 324, 325
_FORMAT, _JPEG_TABLES = 339, 347
_WHITE_IS_ZERO = 0

# Of baseline TIFF: size, sample layout, compression, strips and tiles; orientation is applied.
_OF_PIXELS = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 296, 317, 320,
     322, 323, 324, 325, 338, 339, 347, 530, 531, 532)
)  # fmt: skip
_NAMES = {33723: "IPTC", 700: "XMP", 34377: "IPTC", 34665: "EXIF", 34853: "EXIF GPS", 34675: "ICC profile"}


def names(content: bytes) -> tuple[str, ...]:
    """The names of a TIFF's tags that do not describe its pixels.

    Raises:
      ValueError: its first directory cannot be read.
    """
    directory = _directory(content)
    found = [_name(tag) for tag in sorted(directory) if tag not in _OF_PIXELS]
    return tuple(dict.fromkeys([*found, *(["further images"] if directory.next else [])]))


def read(content: bytes) -> np.ndarray:
    """The pixels of a TIFF's first image, upright.

    Args:
      content: the file.

    Returns:
      (rows, columns[, 3]) uint8 or uint16 BGR, as OpenCV has it, but black where it is black.

    Raises:
      ValueError: it cannot be read, or is damaged.
    """
    directory = _directory(content)
    if _first(directory, _FORMAT, 1) != 1:
        raise _fault("whole numbers without a sign", "other samples")
    for number, (code, length) in enumerate(_parts(content, directory)):
        _refuse_damaged(code, length, directory, number)
    _refuse_unreadable(content)
    pixels = stored_pixels(content)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise _fault("8 or 16 bits a sample", "others")
    if pixels.dtype == np.uint16 and pixels.ndim == 2 and directory.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        # Of the bits that are in use: the file's zero is the detector's white, not the container's.
        highest = (1 << max(8, scale.used_bits(pixels))) - 1
        pixels = highest - np.minimum(pixels, highest)
    return pixels


def _directory(content: bytes) -> Any:
    header = content[:16] if content[2:3] == b"+" or content[3:4] == b"+" else content[:8]
    file = io.BytesIO(content)
    try:
        directory = ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        return directory
    except Exception as error:
        raise _fault("tags that can be read", f"a {type(error).__name__}") from None


def _name(tag: int) -> str:
    name = lookup(tag).name
    return _NAMES.get(tag) or (name if name != "unknown" else "private tags")


def _first(directory: Any, tag: int, default: int) -> int:
    value = directory.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _parts(content: bytes, directory: Any) -> Iterator[tuple[bytes, int]]:
    """Each strip's or tile's code, and the bytes it has to unpack to.

    Raises:
      ValueError: there are fewer or more than the image needs, or one is not within the file.
    """
    try:
        yield from _located(content, directory)
    except (KeyError, TypeError, ZeroDivisionError, IndexError):
        raise _fault("strips or tiles that the tags place", "none") from None


def _located(content: bytes, directory: Any) -> Iterator[tuple[bytes, int]]:
    width, rows, samples = directory[_WIDTH], directory[_ROWS], _first(directory, _SAMPLES, 1)
    planes = samples if _first(directory, _PLANAR, 1) == 2 else 1
    bits = _first(directory, _BITS, 1) * (samples // planes)
    if _TILES in directory:
        starts, sizes = directory[_TILES], directory[_TILE_BYTES]
        wide, tall = directory[_TILE_WIDTH], directory[_TILE_ROWS]
        heights = [tall] * (-(-width // wide) * -(-rows // tall) * planes)
    else:
        starts, sizes = directory[_STRIPS], directory[_STRIP_BYTES]
        wide, tall = width, min(rows, _first(directory, _ROWS_A_STRIP, rows))
        heights = [min(tall, rows - row) for row in range(0, rows, tall)] * planes
    if not len(starts) == len(sizes) == len(heights):
        raise _fault(f"{len(heights)} strips or tiles", f"{len(starts)}")
    for start, size, height in zip(starts, sizes, heights, strict=True):
        if start + size > len(content):
            raise _fault("strips within the file", f"one up to byte {start + size} of {len(content)}")
        yield content[start : start + size], -(-wide * bits // 8) * height


def _refuse_damaged(code: bytes, length: int, directory: Any, number: int) -> None:
    compression = _first(directory, _COMPRESSION, _NONE)
    if compression == _NONE:
        whole = len(code) >= length
    elif compression in _DEFLATES:
        whole = _inflates(code, length)
    elif compression == _PACKBITS:
        whole = packbits.is_exact(code, length)
    elif compression == _JPEG:
        whole = _decodes(directory.get(_JPEG_TABLES, b""), code)
    elif compression == _LZW:
        whole = True  # No sum and no length is stored: what libtiff complains of is all there is.
    else:
        raise _fault("no compression, LZW, deflate, PackBits or JPEG", f"number {compression}")
    if not whole:
        raise _fault("whole strips or tiles", f"damage in number {number + 1}")


def _inflates(code: bytes, length: int) -> bool:
    inflater = zlib.decompressobj()
    try:
        # One byte more than there should be is enough to tell.
        return len(inflater.decompress(code, length + 1)) == length and inflater.eof
    except zlib.error:
        return False


def _decodes(tables: bytes, code: bytes) -> bool:
    # The tables are a JPEG without a frame; what follows its start marker precedes the strip's own.
    whole = tables[:-2] + code[2:] if tables else code
    try:
        colours = {1: "GRAY", 3: "RGB"}.get(_components(whole), "CMYK")
        return bool(simplejpeg.decode_jpeg(whole, colours, strict=True).size)
    except ValueError:
        return False


def _components(encoded: bytes) -> int:
    from angiopipe.imaging.codestream import jpeg_frame

    frame = jpeg_frame(encoded)
    return frame.components if frame else 0


def _refuse_unreadable(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            image.load()
    except Exception as error:
        raise _fault("pixels that can be decoded", f"damage ({error})") from None


def _fault(expected: str, found: str) -> ValueError:
    return ValueError(f"expected {expected} in a TIFF, found {found}; export it again")
