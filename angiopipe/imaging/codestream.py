"""What an encoded frame says of itself, read before a decoder allocates it, and where it contradicts itself.

Source: ITU-T T.81 B.1.1.3 (markers), B.2.2 and B.2.3 (frame and scan headers), G.1.1.1.1 (progression);
T.87 C.2.2; T.800 A (JPEG 2000).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_JPEG2000 = b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""SOF markers of JPEG (not DHT, JPG, DAC) and of JPEG-LS."""
_PROGRESSIVE = frozenset([0xC2, 0xC6, 0xCA, 0xCE])
_ALONE = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])
"""Stuffed zeros, TEM, restarts and SOI have no length behind them."""
_SCAN = b"\xff\xda"

_TILE_PART, _DATA, _END = b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_CODING_STYLE, _HIGH_THROUGHPUT = 0xFF52, 0xFF50
_IMPROBABLE_ZEROS = 16
"""Zero bytes in a row that no arithmetic coder writes; each packet without content is one more."""


class JpegFrame(NamedTuple):
    """A frame's header.

    Attributes:
      precision: bits a sample.
      rows, columns: of the image; 0 rows where a later marker gives them.
      components: samples a pixel.
      marker: the second byte of a JPEG's or JPEG-LS's frame marker; 0 for JPEG 2000.
    """

    precision: int
    rows: int
    columns: int
    components: int
    marker: int = 0


def frame_of(encoded: bytes) -> JpegFrame | None:
    """What a JPEG, JPEG-LS or JPEG 2000 codestream says of its frame; None if it is none."""
    if encoded[:2] == b"\xff\xd8":
        return jpeg_frame(encoded)
    # A JP2 file wraps the codestream in boxes; any other bytes may hold its marker by chance.
    start = encoded.find(_JPEG2000) if encoded.startswith((_JPEG2000, _JP2)) else -1
    if start < 0 or len(encoded) < start + 43:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", encoded, start + 8)
    components, depth = struct.unpack_from(">HB", encoded, start + 40)
    return JpegFrame((depth & 127) + 1, bottom - top, right - left, components)


def jpeg_frame(encoded: bytes) -> JpegFrame | None:
    """What a JPEG or JPEG-LS says of its frame; None if it says nothing before its end.

    Markers are followed as a decoder follows them, so that both see the same frame.
    """
    position = 2
    while position + 10 <= len(encoded):
        marker = encoded[position + 1]
        if encoded[position] != 0xFF or marker == 0xFF:
            position += 1
        elif marker in _FRAME_HEADERS:
            precision, rows, columns, components = struct.unpack_from(">B2HB", encoded, position + 4)
            return JpegFrame(precision, rows, columns, components, marker)
        elif marker in _ALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return None


def refuse_missing_scans(encoded: bytes, frame: JpegFrame) -> None:
    """Refuses a JPEG that ends before its scans have told every component, and every bit of it.

    No decoder complains of a scan that is absent as a whole: the picture is coarse, or its colours wrong.

    Args:
      encoded: a JPEG without application data, whose bytes might look like scans.
      frame: its frame header.

    Raises:
      ValueError: scans are missing.
    """
    if frame.components == 1 and frame.marker not in _PROGRESSIVE:
        return
    left: dict[int, list[int]] = defaultdict(
        lambda: [1] * 64
    )  # By component: bits of each coefficient to come.
    for components, first, last, low in _scans(encoded):
        for component in components:
            bits = low if frame.marker in _PROGRESSIVE else 0
            left[component][first : last + 1] = [bits] * (last + 1 - first)
    if len(left) < frame.components or any(any(bits) for bits in left.values()):
        raise ValueError(
            "expected a JPEG with all of its scans, found one without some; copy it again from its source"
        )


def _scans(encoded: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Of each scan its components, its first and last coefficient, and how many low bits it leaves out."""
    position = encoded.find(_SCAN)
    while 0 <= position < len(encoded) - 10:
        count = encoded[position + 4]
        header = encoded[position + 5 : position + 8 + 2 * count]
        if len(header) == 2 * count + 3:
            first, last, shifts = header[-3:]
            yield header[: 2 * count : 2], first, min(last, 63), shifts & 15
        position = encoded.find(_SCAN, position + 2)


def refuse_damaged_jpeg2000(encoded: bytes) -> None:
    """Refuses a JPEG 2000 codestream whose tile-parts hold what no encoder writes.

    Decoders show whatever the arithmetic coder makes of damaged bytes. What can be known: tile-parts lie one
    behind the other up to the end marker; no two bytes in them are above FF8F but the packets' own
    markers; and zeros follow one another only where packets have no content.

    Raises:
      ValueError: it is damaged.
    """
    position, header, end = _jpeg2000_header(encoded)
    packets = _packets(header)
    while encoded[position : position + 2] == _TILE_PART:
        length = int.from_bytes(encoded[position + 6 : position + 10], "big") or end - position
        data = encoded.find(_DATA, position, position + length)
        if data < 0 or position + length > end:
            break
        _refuse_improbable(encoded[data + 2 : position + length], packets)
        position += length
    if position != end:
        raise _damaged("tile-parts up to the end marker", "others")


def _jpeg2000_header(encoded: bytes) -> tuple[int, bytes, int]:
    """Where the tile-parts begin, the main header, and where the end marker is."""
    start, data = encoded.find(_JPEG2000), encoded.find(_TILE_PART)
    end = encoded.rfind(_END)
    # DICOM pads a frame to an even length.
    if start < 0 or data < 0 or end < len(encoded) - 3:
        raise _damaged("a codestream with its end marker", "none")
    return data, encoded[start:data], end


def _packets(header: bytes) -> int | None:
    """How many packets a tile has without precincts of its own; None where zeros may be anywhere."""
    components, position, found = int.from_bytes(header[40:42], "big"), 2, None
    while position + 4 <= len(header):
        marker, length = struct.unpack_from(">2H", header, position)
        if marker == _HIGH_THROUGHPUT:
            return None
        if marker == _CODING_STYLE and length >= 12:
            layers, levels = int.from_bytes(header[position + 6 : position + 8], "big"), header[position + 9]
            found = None if header[position + 4] & 1 else layers * (levels + 1) * components
        position += 2 + length
    return found


def _refuse_improbable(data: bytes, packets: int | None) -> None:
    octets = np.frombuffer(data, np.uint8)
    pairs = octets[1:][octets[:-1] == 0xFF]
    if (pairs[(pairs != 0x91) & (pairs != 0x92)] > 0x8F).any():
        raise _damaged("packets", "a marker within them")
    if packets is not None and bytes(packets + _IMPROBABLE_ZEROS) in data:
        raise _damaged("packets", f"more than {packets + _IMPROBABLE_ZEROS - 1} zeros in a row")


def _damaged(expected: str, found: str) -> ValueError:
    return ValueError(
        f"expected {expected} in a JPEG 2000 image, found {found}; copy it again from its source"
    )
