"""What an encoded frame says of its size, read before a decoder allocates it."""

from __future__ import annotations

import struct
from typing import NamedTuple

_JPEG2000 = b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""SOF markers of JPEG (not DHT, JPG, DAC) and of JPEG-LS."""
_ALONE = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])
"""Stuffed zeros, TEM, restarts and SOI have no length behind them."""


class JpegFrame(NamedTuple):
    """A JPEG's frame header.

    Attributes:
      precision: bits a sample.
      rows, columns: of the image; 0 rows where a later marker gives them.
      components: samples a pixel.
    """

    precision: int
    rows: int
    columns: int
    components: int


def size(encoded: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream; None if it is none.

    Source: ITU-T T.81 B.2.2 and T.87 C.2.2 (frame header), T.800 A.5.1 (SIZ).
    """
    if encoded[:2] == b"\xff\xd8":
        frame = jpeg_frame(encoded)
        return (frame.rows, frame.columns) if frame else None
    # A JP2 file wraps the codestream in boxes; any other bytes may hold its marker by chance.
    start = encoded.find(_JPEG2000) if encoded.startswith((_JPEG2000, _JP2)) else -1
    if start < 0 or len(encoded) < start + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", encoded, start + 8)
    return bottom - top, right - left


def jpeg_frame(encoded: bytes) -> JpegFrame | None:
    """What a JPEG or JPEG-LS says of its frame; None if it says nothing before its end.

    Markers are followed as a decoder follows them, so that both see the same frame.

    Source: ITU-T T.81 B.1.1.3 (markers that stand alone) and B.2.2 (frame header), T.87 C.2.2.
    """
    position = 2
    while position + 10 <= len(encoded):
        marker = encoded[position + 1]
        if encoded[position] != 0xFF or marker == 0xFF:
            position += 1
        elif marker in _FRAME_HEADERS:
            return JpegFrame(*struct.unpack_from(">B2HB", encoded, position + 4))
        elif marker in _ALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return None
