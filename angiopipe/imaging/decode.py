"""From encoded bytes to a grey or RGB array."""

from __future__ import annotations

import cv2
import numpy as np


def decode(encoded: bytes) -> np.ndarray:
    """Decodes an image (JPEG, PNG or TIFF) to 8 bits, upright.

    Detectors have 10 to 16 bits and files pad them to 16: such a view is scaled by the smallest
    power of two that holds its highest level, so that 12-bit data does not come out black.

    Args:
      encoded: the bytes of the image file.

    Returns:
      (rows, columns) uint8 if the file is grey, (rows, columns, 3) uint8 RGB if it has colours.

    Raises:
      ValueError: the bytes are no image that OpenCV can read.
    """
    buffer = np.frombuffer(encoded, np.uint8)
    view = cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if buffer.size else None
    if view is None or view.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"expected a readable JPEG, PNG or TIFF, found {len(encoded)} bytes that are not one"
        )
    if view.dtype == np.uint16:
        view = (view >> max(0, int(view.max()).bit_length() - 8)).astype(np.uint8)
    return view if view.ndim == 2 else cv2.cvtColor(view, cv2.COLOR_BGR2RGB)


def grey(view: np.ndarray) -> np.ndarray:
    """One grey channel of a view.

    Args:
      view: (rows, columns) or (rows, columns, 3) uint8 RGB.

    Returns:
      (rows, columns) uint8; the luma of ITU-R BT.601 for colours.
    """
    return view if view.ndim == 2 else cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
