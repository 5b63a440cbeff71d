"""How well scores separate studies with and without an aneurysm, and how sure that figure is.

The AUROC, its interval and its paired comparison follow DeLong, DeLong & Clarke-Pearson (1988,
Biometrics 44:837), computed by midranks in O(n log n) as Sun & Xu (2014, IEEE Signal Processing
Letters 21:1389) have it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEAST_STUDIES = 5
"""Figures over fewer studies of a class say next to nothing, so none are given."""

NO_VARIANCE = 1e-15
"""A variance this small is rounding: real ones are at least about 1 / studies squared."""


class Placements(NamedTuple):
    """DeLong's structural components: how each study fares against all studies of the other class.

    Attributes:
      positives: (positives,) float64, the share of negatives that score below each positive.
      negatives: (negatives,) float64, the share of positives that score above each negative.
        A tie counts one half in both.
    """

    positives: np.ndarray
    negatives: np.ndarray

    @property
    def auroc(self) -> float:
        return float(self.positives.mean())

    @property
    def variance(self) -> float:
        """Of the AUROC; NaN where a class has a single study."""
        if min(len(self.positives), len(self.negatives)) < 2:
            return math.nan
        shares = (np.var(part, ddof=1) / len(part) for part in self)
        return float(sum(shares))


@dataclass(frozen=True)
class AurocInterval:
    """An AUROC and its confidence interval.

    Attributes:
      auroc: the area under the ROC curve.
      low, high: the interval, within [0, 1].
      variance: of the AUROC, by `method`.
      positives, negatives: studies of each class.
      method: "DeLong", or "Newcombe" where the placements have no variance to go by.
    """

    auroc: float
    low: float
    high: float
    variance: float
    positives: int
    negatives: int
    method: str


@dataclass(frozen=True)
class PairedDifference:
    """Two models' AUROCs on the same studies.

    Attributes:
      first, second: the AUROCs.
      difference: `first - second`.
      low, high: its confidence interval.
      variance: of the difference.
      p_value: two-sided, of the hypothesis that the AUROCs are equal.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    variance: float
    p_value: float


def midranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing the mean of theirs: (n,) numbers to (n,) float64."""
    _, position, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[position], np.float64)


def placements(labels: np.ndarray, scores: np.ndarray) -> Placements:
    """The structural components of scores.

    Args:
      labels: (n,) 0 or 1.
      scores: (n,) finite numbers, higher for an aneurysm.

    Raises:
      ValueError: a class is missing, a score is not finite, or the lengths differ.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(
            f"expected a score for each label, got {scores.shape} scores for {labels.shape} labels"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"expected finite scores, got {np.count_nonzero(~np.isfinite(scores))} that are not")
    positive = labels == 1
    count = int(positive.sum())
    others = len(labels) - count
    if not count or not others:
        raise ValueError(f"AUROC needs studies of both classes, got {count} positive and {others} negative")
    ranks = midranks(scores)
    above = (ranks[positive] - midranks(scores[positive])) / others
    below = 1 - (ranks[~positive] - midranks(scores[~positive])) / count
    return Placements(above, below)


def auroc_with_interval(labels: np.ndarray, scores: np.ndarray, confidence: float = 0.95) -> AurocInterval:
    """The AUROC with DeLong's interval on the logit scale, so that it stays within [0, 1].

    Where DeLong's variance is zero or undefined (perfect separation, all scores equal, one study
    in a class), the interval is Newcombe's, which does not pretend to certainty.

    Args:
      labels: (n,) 0 or 1.
      scores: (n,) finite numbers, higher for an aneurysm.
      confidence: coverage of the interval, between 0 and 1.

    Raises:
      ValueError: a class is missing, a score is not finite, or the lengths differ.
    """
    parts = placements(labels, scores)
    auroc, variance, z = parts.auroc, parts.variance, normal_quantile(confidence)
    positives, negatives = len(parts.positives), len(parts.negatives)
    if variance > NO_VARIANCE and 0 < auroc < 1:
        centre, reach = math.log(auroc / (1 - auroc)), z * math.sqrt(variance) / (auroc * (1 - auroc))
        low, high = _logistic(centre - reach), _logistic(centre + reach)
        return AurocInterval(auroc, low, high, variance, positives, negatives, "DeLong")
    low = _newcombe_low(auroc, positives, negatives, z)
    high = 1 - _newcombe_low(1 - auroc, positives, negatives, z)
    variance = _newcombe_variance(auroc, positives, negatives)
    return AurocInterval(auroc, low, high, variance, positives, negatives, "Newcombe")


def paired_delong(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, confidence: float = 0.95
) -> PairedDifference:
    """Compares the AUROCs of two models on the same studies.

    Where both models place every study alike there is no variance: the p-value is then 1 for equal
    AUROCs and 0 for different ones, and says nothing about how few studies there were.

    Args:
      labels: (n,) 0 or 1.
      first: (n,) finite scores of one model.
      second: (n,) finite scores of the other, of the same studies.
      confidence: coverage of the difference's interval.

    Raises:
      ValueError: a class has fewer than two studies, a score is not finite, or the lengths differ.
    """
    a, b = placements(labels, first), placements(labels, second)
    if min(len(a.positives), len(a.negatives)) < 2:
        raise ValueError(
            "a paired comparison needs two studies of each class, "
            f"got {len(a.positives)} positive and {len(a.negatives)} negative studies"
        )
    # Var(A - B) of the paired components holds the covariance without spelling it out.
    variance = Placements(a.positives - b.positives, a.negatives - b.negatives).variance
    difference = a.auroc - b.auroc
    if variance <= NO_VARIANCE:
        p_value = 0.0 if abs(difference) > math.sqrt(NO_VARIANCE) else 1.0
        return PairedDifference(a.auroc, b.auroc, difference, difference, difference, 0.0, p_value)
    error = math.sqrt(variance)
    reach = normal_quantile(confidence) * error
    p_value = math.erfc(abs(difference) / error / math.sqrt(2))
    return PairedDifference(
        a.auroc, b.auroc, difference, difference - reach, difference + reach, variance, p_value
    )


def location_accuracy(labels: np.ndarray, decisions: np.ndarray) -> float:
    """The share of right decisions over all studies and locations, the competition's second figure.

    Args:
      labels: (n, locations) 0 or 1, what is true.
      decisions: (n, locations) 0 or 1, what is said.
    """
    return float(np.mean(np.asarray(labels, bool) == np.asarray(decisions, bool)))


def none_accuracy(labels: np.ndarray) -> float:
    """The location accuracy of always saying "none": the floor under `location_accuracy`.

    Args:
      labels: (n, locations) 0 or 1.
    """
    return location_accuracy(labels, np.zeros_like(labels))


def normal_quantile(confidence: float) -> float:
    """Standard errors to each side of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _logistic(x: float) -> float:
    # The two forms are the same number; each is used where its exponential cannot overflow.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _newcombe_variance(theta: float, positives: int, negatives: int) -> float:
    """Variance of an AUROC whose true value is `theta`.

    Source: method 5 of Newcombe (2006, Statistics in Medicine 25:559), which symmetrises the
    variance of Hanley & McNeil (1982) by the mean of the class sizes.
    """
    mean = (positives + negatives) / 2
    spread = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (positives * negatives)


def _newcombe_low(auroc: float, positives: int, negatives: int, z: float) -> float:
    """The least `theta` that lies within z of its standard errors below `auroc`, by bisection."""
    low, high = 0.0, auroc
    for _ in range(60):
        middle = (low + high) / 2
        error = math.sqrt(_newcombe_variance(middle, positives, negatives))
        low, high = (middle, high) if auroc - middle > z * error else (low, middle)
    return low
