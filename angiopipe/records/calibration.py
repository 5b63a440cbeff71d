"""From a model's logits to probabilities, in NumPy alone: evaluation and the packaged predictor share it."""

from __future__ import annotations

import numpy as np

from angiopipe.records.manifest import Calibration
from angiopipe.study import LABELS


def probabilities(logits: np.ndarray, calibration: Calibration | None = None) -> np.ndarray:
    """The sigmoids of logits, each divided by its temperature.

    Args:
      logits: (studies, 1) or (studies, 22).
      calibration: the temperatures, as evaluation fitted them; None takes the logits as they are.

    Returns:
      (studies, 22) float32 in the order of `study.LABELS`; NaN where the model has no output.
    """
    result = np.full((len(logits), len(LABELS)), np.nan, np.float32)
    calibration = calibration or Calibration()
    temperatures = np.full(logits.shape[1], calibration.locations)
    temperatures[0] = calibration.aneurysm
    scaled = logits.astype(np.float64) / temperatures
    exponentials = np.exp(-np.abs(scaled))
    result[:, : logits.shape[1]] = np.where(scaled >= 0, 1, exponentials) / (1 + exponentials)
    return result
