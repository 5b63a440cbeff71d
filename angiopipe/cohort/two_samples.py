"""Two samples compared: how far apart they are, and how likely chance alone sets them so far apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

MOST_GROUPS, LEAST_EXPECTED = 10, 5
"""Groups of a distribution, and images expected in each. Source: Cochran (1954, Biometrics 10:417)."""


def population_stability(previous: Sequence[int], current: Sequence[int]) -> float:
    """The population stability index (PSI) of two binned samples, less what chance contributes.

    Neighbouring bins are joined until each group can expect five images of the smaller sample, ten
    groups at most, so that no index rests on empty bins. Without a shift, the index of G groups from n
    and m images is (G - 1)(1/n + 1/m) on average; as much is subtracted.

    Args:
      previous: (bins,) counts.
      current: (bins,) counts, of the same bins.

    Returns:
      The index, at least 0; 0 where a sample is too small for two groups.

    Source: Kullback and Leibler (1951, Ann. Math. Stat. 22:79), the symmetric divergence; Yurdakul
    (2018, Statistical Properties of Population Stability Index, Western Michigan University), its mean.
    """
    counts = _grouped(np.array([previous, current], np.float64))
    groups = counts.shape[1]
    if groups < 2:
        return 0.0
    totals = counts.sum(axis=1, keepdims=True)
    # Half an image more in each group: one that a sample lacks altogether has no infinite logarithm.
    before, now = (counts + 0.5) / (totals + 0.5 * groups)
    index = float(np.sum((now - before) * np.log(now / before)))
    return max(index - (groups - 1) * float(np.sum(1 / totals)), 0.0)


def kolmogorov_smirnov(previous: Sequence[int], current: Sequence[int]) -> float:
    """The p-value of the two-sample test on binned samples; binning makes it larger, never smaller.

    It heeds the bins' order, so that it finds a shift in fewer images than a test of the groups does.

    Args:
      previous: (bins,) counts.
      current: (bins,) counts, of the same bins.

    Source: Smirnov (1948, Ann. Math. Stat. 19:279).
    """
    counts = np.array([previous, current], np.float64)
    totals = counts.sum(axis=1)
    if not totals.all():
        return 1.0
    before, now = counts.cumsum(axis=1) / totals[:, np.newaxis]
    images = max(round(totals.prod() / totals.sum()), 1)
    from scipy import stats  # half a second, which only a comparison need wait for

    return float(stats.kstwo.sf(np.abs(now - before).max(), images))


def _grouped(counts: np.ndarray) -> np.ndarray:
    """(2, groups) float64: neighbouring bins joined by their share of both samples together.

    The samples weigh the same, however many images they have: a small one that lies elsewhere has
    groups of its own.
    """
    totals = counts.sum(axis=1, keepdims=True)
    groups = min(MOST_GROUPS, int(totals.min() // LEAST_EXPECTED))
    if groups < 2:
        return totals
    edges, held = [0], 0.0
    for end, share in enumerate((counts / totals).mean(axis=0), start=1):
        held += share
        if held >= 1 / groups:
            edges.append(end)
            held = 0.0
    # What is left over is a group if it holds half of what one should, else it joins the last.
    edges = [*(edges if held >= 0.5 / groups else edges[:-1]), counts.shape[1]]
    return np.stack([counts[:, low:high].sum(axis=1) for low, high in pairwise(edges)], axis=1)


def odds_ratio(successes: np.ndarray, failures: np.ndarray) -> tuple[float, float]:
    """The second sample's odds over the first's, and the p-value of Fisher's exact test, two-sided.

    Args:
      successes: (2,) integers.
      failures: (2,) integers.

    Source: Haldane (1956, Ann. Hum. Genet. 20:309) for the halves, without which odds could be 0.
    """
    odds = (successes + 0.5) / (failures + 0.5)
    from scipy import stats  # half a second, which only a comparison need wait for

    return float(odds[1] / odds[0]), float(stats.fisher_exact([successes, failures]).pvalue)


def more_often(successes: np.ndarray, failures: np.ndarray) -> float:
    """The p-value of Fisher's exact test that the second sample succeeds more often than the first."""
    from scipy import stats  # half a second, which only a comparison need wait for

    return float(stats.fisher_exact([successes, failures], alternative="less").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for their number: calling those up to a level errs at most that often in all.

    Source: Holm (1979, Scand. J. Stat. 6:65).
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    stricter = np.asarray(p_values, np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stricter), 1.0)
    return [float(value) for value in adjusted]
