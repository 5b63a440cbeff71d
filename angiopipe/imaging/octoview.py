"""octoview's preprocessing: the whole view on a square, its background divided away."""

from __future__ import annotations

import cv2
import numpy as np

from angiopipe.imaging.decode import grey
from angiopipe.recipe import OctoviewPreprocessing

BACKGROUND_LEVEL = 200
"""Grey level of the background afterwards: vessels have most of the range, edges some headroom."""


def transform(view: np.ndarray, settings: OctoviewPreprocessing) -> np.ndarray:
    """Makes views of any size, framing and exposure comparable.

    X-ray attenuation multiplies, so dividing by the background leaves the vessels' own transmission.

    Args:
      view: (rows, columns) grey or (rows, columns, 3) RGB, uint8.
      settings: the output's size and the width of what counts as background.

    Returns:
      (size, size, 1) uint8; the background is about `BACKGROUND_LEVEL`, vessels are darker.
    """
    square = pad_square(grey(view))
    resized = cv2.resize(square, (settings.size, settings.size), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    background = cv2.GaussianBlur(
        resized, (0, 0), settings.background * settings.size, borderType=cv2.BORDER_REFLECT
    )
    flat = resized * (BACKGROUND_LEVEL / np.maximum(background, 1.0))
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8)[..., np.newaxis]


def pad_square(view: np.ndarray) -> np.ndarray:
    """Centres a view on a square of its border's median grey, so that nothing is cropped.

    Args:
      view: (rows, columns) uint8.

    Returns:
      (side, side) uint8, side = max(rows, columns).
    """
    rows, columns = view.shape
    side = max(rows, columns)
    if rows == columns:
        return view
    border = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side), np.median(border), np.uint8)
    square[top : top + rows, left : left + columns] = view
    return square
