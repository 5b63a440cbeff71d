"""Coding Vessels' preprocessing: centre crop, 720 x 720, inverted, sharpened, more contrast, RGB.

Sharpness and contrast follow Pillow's ImageEnhance, computed with OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np

from angiopipe.imaging.decode import grey
from angiopipe.recipe import CodingVesselsPreprocessing

# Source: Pillow's ImageFilter.SMOOTH.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def transform(view: np.ndarray, settings: CodingVesselsPreprocessing) -> np.ndarray:
    """Applies the whole chain to one view.

    A grey view stays grey to the end, where it is repeated: the same pixels for a third of the work.

    Args:
      view: (rows, columns) grey or (rows, columns, 3) RGB, uint8.
      settings: size, sharpness and contrast.

    Returns:
      (size, size, 3) uint8 RGB.
    """
    square = center_crop(view)
    resized = cv2.resize(square, (settings.size, settings.size), interpolation=cv2.INTER_LINEAR)
    enhanced = contrast(sharpen(cv2.bitwise_not(resized), settings.sharpness), settings.contrast)
    return enhanced if enhanced.ndim == 3 else cv2.cvtColor(enhanced, cv2.COLOR_GRAY2RGB)


def center_crop(view: np.ndarray) -> np.ndarray:
    """The largest centred square of a view.

    Args:
      view: (rows, columns, ...) of any dtype.

    Returns:
      (side, side, ...), side = min(rows, columns).
    """
    rows, columns = view.shape[:2]
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    return np.ascontiguousarray(view[top : top + side, left : left + side])


def sharpen(view: np.ndarray, factor: float) -> np.ndarray:
    """Pillow's ImageEnhance.Sharpness: away from a smoothed copy by `factor`.

    Args:
      view: (rows, columns) or (rows, columns, 3) uint8.
      factor: 0 smooths, 1 changes nothing, 2 doubles what smoothing takes away.

    Returns:
      The shape of `view`, uint8.
    """
    smooth = cv2.filter2D(view, -1, _SMOOTH)
    # Pillow's 3 x 3 filters copy the outermost rows and columns.
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        smooth[edge] = view[edge]
    return cv2.addWeighted(view, factor, smooth, 1 - factor, 0)


def contrast(view: np.ndarray, factor: float) -> np.ndarray:
    """Pillow's ImageEnhance.Contrast: away from the mean grey level by `factor`.

    Args:
      view: (rows, columns) or (rows, columns, 3) uint8.
      factor: 0 gives plain grey, 1 changes nothing.

    Returns:
      The shape of `view`, uint8.
    """
    mean = int(grey(view).mean() + 0.5)
    levels = np.clip(mean + factor * (np.arange(256) - mean), 0, 255).astype(np.uint8)
    return cv2.LUT(view, levels)
