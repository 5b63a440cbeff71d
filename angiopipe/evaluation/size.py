"""Experimental: an aneurysm's size, read off the maps of evidence where they allow it.

Around the highest evidence of a study lies the region whose positions show a sac more likely than
not. The sum of their probabilities is its area; the largest diameter is a line through the diameter
of a disc of that area. Other views' regions, smaller thresholds, thresholds relative to the peak and
the region's mere number of positions came out no better on the studies that the line was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

FLOOR = 0.0
"""Log odds of a sac that a region's positions have at least; without any, there is no estimate."""

SLOPE, OFFSET_MM = 0.775, 2.368
"""Largest diameter of the dome = OFFSET_MM + SLOPE x diameter of the disc.

Least squares over synthetic studies as those of pretraining, with the weights in the package; that
is why it leans towards the usual size. Source: `benchmarks/size.py --fit --studies 120`.
"""


def estimate_mm(
    evidence: np.ndarray, present: np.ndarray, sides: Sequence[int], mm_per_pixel: float
) -> float:
    """The largest diameter of the aneurysm that a study's maps show best; experimental.

    Args:
      evidence: (8, h, h) float32 log odds of any aneurysm at each position of a study's views, which
        were padded to squares: the first channel of `models.evidence`.
      present: (8,) uint8, 1 where there is a view.
      sides: (8,) the longer of rows and columns of each view before preprocessing, pixels.
      mm_per_pixel: of those pixels, at the isocentre; NaN if unknown.

    Returns:
      mm; NaN where it is not known: no spacing, too little evidence, or a region at the border of its view.
    """
    return OFFSET_MM + SLOPE * disc_mm(evidence, present, sides, mm_per_pixel)


def disc_mm(evidence: np.ndarray, present: np.ndarray, sides: Sequence[int], mm_per_pixel: float) -> float:
    """The diameter of the disc of the region around the highest evidence, mm; otherwise as `estimate_mm`."""
    seen = np.where(np.asarray(present, bool)[:, None, None], evidence, -np.inf)
    view, row, column = (int(place) for place in np.unravel_index(seen.argmax(), seen.shape))
    position_mm = mm_per_pixel * sides[view] / evidence.shape[-1]
    return position_mm * disc_diameter(seen[view], (row, column))


def disc_diameter(evidence: np.ndarray, peak: tuple[int, int]) -> float:
    """The diameter of the disc whose area is that of the sac shown around a peak.

    Args:
      evidence: (h, h) float32 log odds.
      peak: row and column of a position.

    Returns:
      In positions; NaN where the peak is below `FLOOR`, and where the region reaches the border,
      beyond which the sac may go on.
    """
    if not evidence[peak] >= FLOOR:
        return float("nan")
    _, parts = cv2.connectedComponents((evidence >= FLOOR).astype(np.uint8), connectivity=8)
    region = parts == parts[peak]
    if region[[0, -1]].any() or region[:, [0, -1]].any():
        return float("nan")
    area = (1.0 / (1.0 + np.exp(-evidence[region].astype(np.float64)))).sum()
    return float(2.0 * np.sqrt(area / np.pi))
