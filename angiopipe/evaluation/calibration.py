"""Whether probabilities mean what they say, and the temperatures that make them.

A temperature is the one number that logits are divided by; it leaves the order of the studies, and
with it every AUROC, as it is. It is fitted on validation studies alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit

from angiopipe.evaluation.metrics import LEAST_STUDIES
from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.scoring import ALL_VIEWS, ScoredSplit
from angiopipe.records.manifest import Calibration
from angiopipe.study import ANEURYSM

LOWEST, HIGHEST = 0.05, 20.0
"""A temperature at these bounds is no calibration: the scores separate nothing, or everything."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
      value: what logits are divided by.
      untouched: why it is 1 although a fit was asked for; empty where it was fitted.
    """

    value: float
    untouched: str = ""


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> Temperature:
    """The temperature with the least cross-entropy.

    The targets are Platt's, a little inside 0 and 1: on separable studies the cross-entropy of plain
    labels falls for ever as the temperature goes to zero.

    Args:
      labels: (n,) 0 or 1.
      logits: (n,) finite numbers.

    Source: temperature scaling, Guo et al. 2017; targets, Platt 1999, "Probabilistic outputs for
    support vector machines".
    """
    labels, logits = np.asarray(labels).ravel(), np.asarray(logits, np.float64).ravel()
    positives = int(np.count_nonzero(labels))
    negatives = len(labels) - positives
    if min(positives, negatives) < LEAST_STUDIES:
        return Temperature(
            1.0,
            f"validation has {positives} with and {negatives} without, fewer than {LEAST_STUDIES} of a class",
        )
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(log_temperature: float) -> float:
        return cross_entropy(targets, logits / np.exp(log_temperature))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    value = float(np.exp(found.x))
    if not LOWEST * 1.01 < value < HIGHEST / 1.01:
        return Temperature(
            1.0, f"no temperature between {LOWEST:g} and {HIGHEST:g} fits the validation studies"
        )
    return Temperature(value)


def cross_entropy(targets: np.ndarray, logits: np.ndarray) -> float:
    """The mean cross-entropy (log loss) of logits against targets in [0, 1]."""
    return float(-np.mean(targets * log_expit(logits) + (1 - targets) * log_expit(-logits)))


def fit_calibration(labels: np.ndarray, logits: np.ndarray) -> tuple[Calibration, tuple[str, ...]]:
    """Temperatures of a model, from validation studies.

    Args:
      labels: (n, 22) 0 or 1.
      logits: (n, 22), the locations NaN for a model that predicts none.

    Returns:
      The temperatures, and a sentence for each that could not be fitted.
    """
    fits = {ANEURYSM: fit_temperature(labels[:, 0], logits[:, 0])}
    if np.isfinite(logits[:, 1:]).all():
        fits["the locations"] = fit_temperature(labels[:, 1:], logits[:, 1:])
    untouched = tuple(
        f"The logits of {name} are not calibrated: {fit.untouched}."
        for name, fit in fits.items()
        if fit.untouched
    )
    temperatures = [fit.value for fit in fits.values()]
    return Calibration(
        aneurysm=temperatures[0], locations=temperatures[-1] if len(fits) > 1 else 1.0
    ), untouched


def calibrated(
    validation: ScoredSplit, test: ScoredSplit
) -> tuple[Predictions, Predictions, dict[str, Predictions], tuple[str, ...]]:
    """Predictions with temperatures fitted on validation.

    Returns:
      Those of validation and of test from every view there is; of test from each other selection of
      views, by its name; and a sentence for each temperature that could not be fitted.
    """
    calibration, untouched = fit_calibration(validation.labels, validation.logits[ALL_VIEWS])
    others = {name: predicted(test, calibration, name) for name in test.logits if name != ALL_VIEWS}
    return predicted(validation, calibration), predicted(test, calibration), others, untouched


def predicted(scored: ScoredSplit, calibration: Calibration, selection: str = ALL_VIEWS) -> Predictions:
    """What a model says of studies, given a selection of their views."""
    return Predictions(
        split=scored.split,
        indices=scored.indices,
        labels=scored.labels,
        logits=scored.logits[selection],
        present=scored.present,
        sizes=scored.sizes,
        calibration=calibration,
    )
