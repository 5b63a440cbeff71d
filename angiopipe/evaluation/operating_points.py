"""Thresholds: chosen on validation studies, judged on test studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.metrics import roc_curve

from angiopipe.evaluation.metrics import normal_quantile

CALLS_NONE = float(np.nextafter(np.float32(1), np.float32(2)))
"""A threshold above every probability, which are float32."""


@dataclass(frozen=True)
class Proportion:
    """A share of studies with its Wilson interval.

    Attributes:
      successes, total: the share is `successes / total`.
      low, high: the interval, within [0, 1].
    """

    successes: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.successes / self.total


def wilson(successes: int, total: int, confidence: float = 0.95) -> Proportion | None:
    """A proportion with its score interval; None where there is nothing to take a share of.

    Source: Wilson (1927, JASA 22:209).
    """
    if total == 0:
        return None
    z = normal_quantile(confidence)
    share, weight = successes / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return Proportion(successes, total, max(0.0, centre - reach), min(1.0, centre + reach))


@dataclass(frozen=True)
class Confusion:
    """What a threshold decides: counts of studies."""

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int

    @classmethod
    def at(cls, labels: np.ndarray, scores: np.ndarray, threshold: float) -> Confusion:
        """The decisions of `scores >= threshold`; `labels` (n,) 0 or 1, `scores` (n,)."""
        positive, called = np.asarray(labels) == 1, np.asarray(scores) >= threshold
        counts = (positive & called, positive & ~called, ~positive & called, ~positive & ~called)
        return cls(*(int(np.count_nonzero(cell)) for cell in counts))

    @property
    def sensitivity(self) -> Proportion | None:
        return wilson(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Proportion | None:
        return wilson(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def positive_predictive_value(self) -> Proportion | None:
        return wilson(self.true_positives, self.true_positives + self.false_positives)

    @property
    def negative_predictive_value(self) -> Proportion | None:
        return wilson(self.true_negatives, self.true_negatives + self.false_negatives)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it does.

    Attributes:
      name: a short name, part of the metrics' names.
      rule: how the threshold was chosen, for a reader.
      threshold: a study is called positive from this probability on.
      validation: its decisions on the studies it was chosen on.
      test: its decisions on studies it has not seen.
    """

    name: str
    rule: str
    threshold: float
    validation: Confusion
    test: Confusion


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the greatest sensitivity + specificity; of equals, the most specific.

    Source: Youden (1950, Cancer 3:32).
    """
    false_rate, true_rate, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _below(scores, float(thresholds[1:][np.argmax((true_rate - false_rate)[1:])]))


def sensitivity_threshold(labels: np.ndarray, scores: np.ndarray, wanted: float) -> float:
    """The highest threshold that finds at least the share `wanted` of the positive studies."""
    _, true_rate, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _below(scores, float(thresholds[np.argmax(true_rate >= wanted)]))


def specificity_threshold(labels: np.ndarray, scores: np.ndarray, wanted: float) -> float:
    """The lowest threshold that clears at least the share `wanted` of the negative studies.

    Where even the highest score would call too many of them, it is above 1 and calls none.
    """
    false_rate, _, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    lowest = float(thresholds[np.flatnonzero(1 - false_rate >= wanted)[-1]])
    return _below(scores, lowest) if np.isfinite(lowest) else CALLS_NONE


RULES: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "youden": ("Greatest sensitivity + specificity (Youden)", youden_threshold),
    "sensitivity_90": ("Sensitivity of at least 90 %", partial(sensitivity_threshold, wanted=0.90)),
    "sensitivity_95": ("Sensitivity of at least 95 %", partial(sensitivity_threshold, wanted=0.95)),
    "specificity_90": ("Specificity of at least 90 %", partial(specificity_threshold, wanted=0.90)),
}


def operating_points(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> tuple[OperatingPoint, ...]:
    """One operating point for each of `RULES`.

    Args:
      validation: (n,) labels and (n,) scores; thresholds come from these alone.
      test: (m,) labels and (m,) scores.
    """
    points = []
    for name, (rule, choose) in RULES.items():
        threshold = choose(*validation)
        confusions = (Confusion.at(labels, scores, threshold) for labels, scores in (validation, test))
        points.append(OperatingPoint(name, rule, threshold, *confusions))
    return tuple(points)


def _below(scores: np.ndarray, score: float) -> float:
    """Halfway from `score` to the next lower one (or 0), so that rounding a table changes no decision."""
    lower = np.asarray(scores, np.float64)
    lower = lower[lower < score]
    return (score + (float(lower.max()) if len(lower) else 0.0)) / 2
