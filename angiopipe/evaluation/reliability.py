"""How far probabilities may be believed: predicted against observed shares, and the scores of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from angiopipe.evaluation.operating_points import Proportion, wilson

BINS = 10
"""Of about as many studies each: with equally wide ones most would be nearly empty."""

LEAST_IN_BIN = 10
"""Fewer studies in a bin leave its observed share anywhere, so small splits get fewer bins."""

_DRAWS = 500


@dataclass(frozen=True)
class Bin:
    """Studies with similar probabilities.

    Attributes:
      predicted: their mean probability.
      observed: the share of them that has an aneurysm.
    """

    predicted: float
    observed: Proportion


@dataclass(frozen=True)
class Reliability:
    """How well probabilities fit what was observed.

    Attributes:
      bins: from the least probability to the greatest.
      ece: the expected calibration error, the mean distance of predicted from observed over studies.
      ece_by_chance: what `ece` would be on average if every probability were exactly right: bins of
        so few studies scatter.
      brier: the mean squared error of the probability.
      log_loss: the mean cross-entropy, which temperatures are fitted by.
      mean: of the probabilities, to compare with the prevalence.
    """

    bins: tuple[Bin, ...]
    ece: float
    ece_by_chance: float
    brier: float
    log_loss: float
    mean: float


def reliability(labels: np.ndarray, scores: np.ndarray) -> Reliability:
    """Compares probabilities with what was observed.

    Args:
      labels: (n,) 0 or 1, both present.
      scores: (n,) probabilities.

    Source: the error over bins of equal counts, Nixon et al. 2019, "Measuring calibration in deep learning".
    """
    scores = np.asarray(scores, np.float64)
    members = _bin_of(scores)
    rng = np.random.default_rng(0)
    by_chance = [_ece(rng.random(len(scores)) < scores, scores, members) for _ in range(_DRAWS)]
    return Reliability(
        bins=_bins(np.asarray(labels), scores, members),
        ece=_ece(labels, scores, members),
        ece_by_chance=float(np.mean(by_chance)),
        brier=float(brier_score_loss(labels, scores)),
        log_loss=float(log_loss(labels, scores)),
        mean=float(scores.mean()),
    )


def _bin_of(scores: np.ndarray) -> np.ndarray:
    """(n,) which bin each study is in; equal scores are never parted."""
    bins = int(np.clip(len(scores) // LEAST_IN_BIN, 1, BINS))
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    _, members = np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)
    return np.asarray(members)


def _bins(labels: np.ndarray, scores: np.ndarray, members: np.ndarray) -> tuple[Bin, ...]:
    bins = []
    for number in range(int(members.max()) + 1):
        inside = members == number
        observed = wilson(int(labels[inside].sum()), int(inside.sum()))
        if observed:
            bins.append(Bin(float(scores[inside].mean()), observed))
    return tuple(bins)


def _ece(labels: np.ndarray, scores: np.ndarray, members: np.ndarray) -> float:
    surplus = np.bincount(members, weights=scores - np.asarray(labels, np.float64))
    return float(np.abs(surplus).sum() / len(scores))
