"""Views small enough to lie in a page."""

from __future__ import annotations

import base64

import cv2
import numpy as np

JPEG_QUALITY = 80


def thumbnail(view: np.ndarray, pixels: int) -> str:
    """A view as a data URI of a small JPEG.

    Args:
      view: (rows, columns) or (rows, columns, channels) uint8, one channel (grey) or three (RGB).
      pixels: the longer side's length at most.
    """
    longest = max(view.shape[:2])
    if longest > pixels:
        share = pixels / longest
        view = cv2.resize(view, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    if view.ndim == 3 and view.shape[2] == 3:
        view = cv2.cvtColor(view, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
