"""What an encoded image carries besides its pixels, and the same image without it.

The coded pixels of JPEG and PNG stay bit for bit; segments and chunks around them are left out.
Names of what was left out are returned, never its values.
"""

from __future__ import annotations

import bisect

import cv2
import numpy as np

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
ORIENTATION = b"\xff\xe1"
"""How the segment begins that says which side is up; no scan holds these bytes."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_APPLICATION_DATA = {
    b"Exif\0": "EXIF",
    b"http://ns.adobe.com/xap/": "XMP",
    b"http://ns.adobe.com/xmp/": "XMP",
    b"ICC_PROFILE\0": "ICC profile",
    b"Photoshop 3.0\0": "IPTC",
    b"JFXX\0": "thumbnail",
    b"MPF\0": "further images",
}
_PNG_CHUNKS = {
    b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"eXIf": "EXIF", b"tIME": "time",
    b"iCCP": "ICC profile", b"gAMA": "gamma", b"cHRM": "chromaticity", b"sRGB": "colour space",
    b"cICP": "colour space", b"acTL": "animation", b"fcTL": "animation", b"fdAT": "animation",
    b"pHYs": "pixel size", b"bKGD": "background", b"tRNS": "transparency", b"sBIT": "significant bits",
    b"hIST": "histogram", b"sPLT": "suggested palette",
}  # fmt: skip
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# Frame headers, Huffman and arithmetic tables, scans, quantisation, restart interval.
_JPEG_PIXELS = frozenset(range(0xC0, 0xD0)) | {0xDA, 0xDB, 0xDD}
_NO_MARKERS = np.isin(np.arange(256), [0x00, 0x01, *range(0xD0, 0xD8), 0xFF])
"""After FF these are stuffed zeros, restarts and fill bytes."""
_END, _SCAN, _LINES, _COMMENT = 0xD9, 0xDA, 0xDC, 0xFE


def strip_jpeg(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A JPEG without application data, comments and trailing bytes.

    JFIF without its thumbnail and Adobe's colour transform stay: decoders choose colours by them.

    Returns:
      The file, and the names of what is missing from it.

    Raises:
      ValueError: its segments cannot be followed, or it was cut off.

    Source: ITU-T T.81 B.1; JFIF 1.02; Adobe's APP14 as in ITU-T T.872 6.5.3.
    """
    # Views, not copies: the scans are nearly all of a file.
    view = memoryview(content)
    kept: list[bytes | memoryview] = [view[:2]]
    removed: list[str] = []
    position, markers = 2, _markers(content)
    while position < len(content):
        start = _next(markers, position, len(content))
        if content[position:start].strip(b"\xff"):
            removed.append("bytes between segments")
        if start == len(content):
            break
        marker = content[start + 1]
        if marker == _END:
            removed += ["trailing bytes"] if start + 2 < len(content) else []
            cut = b"".join([*kept, b"\xff\xd9"])
            return content if cut == content else cut, _named_once(removed)
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        segment, name = _jpeg_segment(marker, content[start:end])
        position = _scan_end(content, markers, end) if marker == _SCAN else end
        kept += [segment, view[end:position]]
        removed += [name] if name else []
    # Whatever followed a scan that never ended would pass for pixels.
    raise ValueError("expected a whole JPEG, found one without its end; copy it again from its source")


def _jpeg_segment(marker: int, segment: bytes) -> tuple[bytes, str]:
    """What is kept of a segment, and the name of what is not."""
    payload = segment[4:]
    if len(segment) < 4 or segment[2:4] < b"\0\2":
        raise ValueError(
            f"expected a JPEG, found a segment FF{marker:02X} of no length in it; export it again"
        )
    if marker in _JPEG_PIXELS:
        return segment, ""
    if marker == _LINES:
        return segment[:2] + b"\0\4" + payload[:2], ""
    if marker == 0xE0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        # Version, unit and density stay; a thumbnail of 0 x 0 replaces the one there may be.
        return segment[:2] + b"\0\x10" + payload[:12] + b"\0\0", "thumbnail" if len(payload) > 14 else ""
    if marker == 0xEE and payload.startswith(b"Adobe") and len(payload) >= 12:
        return segment[:2] + b"\0\x0e" + payload[:12], "APP14" if len(payload) > 12 else ""
    if marker == _COMMENT:
        return b"", "comment"
    if 0xE0 <= marker <= 0xEF:
        known = (name for start, name in _APPLICATION_DATA.items() if payload.startswith(start))
        return b"", next(known, f"APP{marker - 0xE0}")
    raise ValueError(f"expected a JPEG, found the unknown marker FF{marker:02X} in it; export it again")


def _markers(content: bytes) -> list[int]:
    """Where something that looks like a marker is; one array operation, as this is most of a file's reading."""
    octets = np.frombuffer(content, np.uint8)
    starts = np.flatnonzero(octets[:-1] == 0xFF)
    return starts[~_NO_MARKERS[octets[starts + 1]]].tolist()


def _next(markers: list[int], position: int, end: int) -> int:
    """Where the next marker from `position` on is, or the end."""
    found = bisect.bisect_left(markers, position)
    return markers[found] if found < len(markers) else end


def _scan_end(content: bytes, markers: list[int], position: int) -> int:
    """Where a scan's entropy-coded data ends: stuffed zeros and restart markers belong to it."""
    end = _next(markers, position, len(content))
    while end > position and end < len(content) and content[end - 1] == 0xFF:
        end -= 1
    return end


def strip_png(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A PNG with its critical chunks alone.

    Returns:
      The file, and the names of what is missing from it.

    Raises:
      ValueError: it was cut off.

    Source: PNG (third edition) 4.7, 5 and 11.
    """
    kept, removed = [PNG_START], []
    position = len(PNG_START)
    while position + 8 <= len(content):
        kind = content[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        if kind in _PNG_PIXELS:
            kept.append(content[position:end])
        else:
            removed.append(_png_name(kind, content[position + 8 : end]))
        position = end
        if kind == b"IEND":
            removed += ["trailing bytes"] if position < len(content) else []
            return b"".join(kept), _named_once(removed)
    raise ValueError("expected a whole PNG, found one without its end; copy it again from its source")


def _png_name(kind: bytes, data: bytes) -> str:
    return "XMP" if data.startswith(b"XML:com.adobe.xmp\0") else _PNG_CHUNKS.get(kind, "private chunk")


def stored_pixels(content: bytes) -> np.ndarray | None:
    """(rows, columns[, 3]) uint8 or uint16 BGR as OpenCV reads it, upright; None if it cannot.

    Damage to a JPEG or TIFF goes unnoticed here; `decode.decode` and `tiff.read` look for it.
    """
    buffer = np.frombuffer(content, np.uint8)
    return cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if buffer.size else None


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes (rows, columns[, 3]) uint8 or uint16 losslessly, with nothing but pixels.

    Raises:
      ValueError: the pixels are of another type.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected pixels of 8 or 16 bits, found {pixels.dtype}; export them as grey levels")
    written, encoded = cv2.imencode(".png", pixels)
    assert written
    return encoded.tobytes()


def _named_once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
