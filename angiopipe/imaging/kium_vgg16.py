"""The K-IUM baseline's preprocessing: grey, equalised, 224 x 224."""

from __future__ import annotations

import cv2
import numpy as np

from angiopipe.imaging.decode import grey
from angiopipe.recipe import KiumPreprocessing


def transform(view: np.ndarray, settings: KiumPreprocessing) -> np.ndarray:
    """Spreads a view's grey levels over the full range, then resizes it by cubic interpolation.

    Args:
      view: (rows, columns) grey or (rows, columns, 3) RGB, uint8.
      settings: the output's size.

    Returns:
      (size, size, 1) uint8.
    """
    equalized = cv2.equalizeHist(grey(view))
    return cv2.resize(equalized, (settings.size, settings.size), interpolation=cv2.INTER_CUBIC)[
        ..., np.newaxis
    ]
