"""PackBits, the run-length code of TIFF and of DICOM's RLE: whether a segment holds what it should."""

from __future__ import annotations

_NOTHING = 128


def is_exact(segment: bytes, length: int) -> bool:
    """Whether a segment unpacks to exactly `length` bytes, with at most one byte of padding behind.

    Source: TIFF 6.0, section 9; DICOM PS3.5 G.3.
    """
    position, unpacked = 0, 0
    while position < len(segment) and unpacked < length:
        header = segment[position]
        if header < _NOTHING:
            position, unpacked = position + header + 2, unpacked + header + 1
        elif header > _NOTHING:
            position, unpacked = position + 2, unpacked + 257 - header
        else:
            position += 1
    return unpacked == length and 0 <= len(segment) - position <= 1
