"""From encoded bytes to a grey or RGB array; what a decoder complains of is an error."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from angiopipe.imaging import codestream, metadata, scale

_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
"""What a JPEG is decoded to, by its samples a pixel."""


def decode(encoded: bytes) -> np.ndarray:
    """Decodes an image (JPEG, PNG or TIFF) to 8 bits, upright.

    Detectors have 10 to 16 bits and files pad them to 16: such a view is scaled by the smallest
    power of two that holds its levels (`scale.used_bits`), so that 12-bit data does not come out black.

    Args:
      encoded: the bytes of the image file.

    Returns:
      (rows, columns) uint8 if the file is grey, (rows, columns, 3) uint8 RGB if it has colours.

    Raises:
      ValueError: the bytes are no image that can be read, or are damaged.
    """
    if encoded.startswith(metadata.JPEG_START):
        view = whole_jpeg(encoded)
        # OpenCV turns a view upright, and knows what Adobe does with four colours.
        if metadata.ORIENTATION not in encoded and view.shape[2] < 4:
            return view[..., 0] if view.shape[2] == 1 else view
    stored = metadata.stored_pixels(encoded)
    if stored is None or stored.dtype not in (np.uint8, np.uint16):
        raise _unreadable(encoded)
    if stored.dtype == np.uint16:
        stored = np.minimum(stored >> max(0, scale.used_bits(stored) - 8), 255).astype(np.uint8)
    return stored if stored.ndim == 2 else cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)


def whole_jpeg(encoded: bytes) -> np.ndarray:
    """OpenCV's pixels of a JPEG, by a reader that tells what libjpeg complains of.

    Args:
      encoded: the bytes of the file.

    Returns:
      (rows, columns, components) uint8: grey, RGB or CMYK, as it lies in the file.

    Raises:
      ValueError: it is none, or is damaged.
    """
    frame = codestream.jpeg_frame(encoded)
    if frame is None or frame.components not in _COLOURS:
        raise _unreadable(encoded)
    try:
        view = simplejpeg.decode_jpeg(encoded, _COLOURS[frame.components], strict=True)
    except ValueError as error:
        raise ValueError(
            f"expected a whole JPEG, found one that its decoder complains of ({error}); "
            "copy it again from its source"
        ) from None
    codestream.refuse_missing_scans(encoded, frame)
    return view


def grey(view: np.ndarray) -> np.ndarray:
    """One grey channel of a view.

    Args:
      view: (rows, columns) or (rows, columns, 3) uint8 RGB.

    Returns:
      (rows, columns) uint8; the luma of ITU-R BT.601 for colours.
    """
    return view if view.ndim == 2 else cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)


def _unreadable(encoded: bytes) -> ValueError:
    return ValueError(f"expected a readable JPEG, PNG or TIFF, found {len(encoded)} bytes that are not one")
