"""Curves over all thresholds, thinned to what a plot or Kubeflow can show."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

MOST_POINTS = 200

Roc = tuple[tuple[float, float, float], ...]
Curve = tuple[tuple[float, float], ...]


def roc_points(labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS) -> Roc:
    """False positive rate, true positive rate and threshold, from (0, 0) to (1, 1).

    Thresholds are finite: the point that calls no study positive has the least number above every
    score, where scikit-learn has infinity, which Kubeflow cannot store.

    Args:
      labels: (n,) 0 or 1, both present.
      scores: (n,) finite numbers.
      most: about how many points are kept.
    """
    scores = np.asarray(scores, np.float64)
    false_rate, true_rate, thresholds = roc_curve(labels, scores)
    thresholds[0] = np.nextafter(scores.max(), np.inf)
    kept = _thinned(false_rate, true_rate, most)
    return tuple(
        (float(x), float(y), float(threshold))
        for x, y, threshold in zip(false_rate[kept], true_rate[kept], thresholds[kept], strict=True)
    )


def precision_recall_points(labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS) -> Curve:
    """(recall, precision) from recall 0 to 1; arguments as of `roc_points`."""
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    precision, recall = precision[::-1], recall[::-1]
    kept = _thinned(recall, recall, most) if len(recall) > most else np.arange(len(recall))
    return tuple((float(x), float(y)) for x, y in zip(recall[kept], precision[kept], strict=True))


def _thinned(x: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """Positions of about `most` points, evenly spaced along a rising curve, its ends among them."""
    if len(x) <= most:
        return np.arange(len(x))
    along = x + y
    wanted = np.linspace(along[0], along[-1], most)
    return np.unique([0, *np.searchsorted(along, wanted), len(x) - 1])
