"""Reliability: right probabilities are called right, wrong ones wrong, by figures worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from angiopipe.evaluation.reliability import reliability


def test_figures_of_two_bins_worked_out_by_hand() -> None:
    scores = np.repeat([0.2, 0.8], 10)
    labels = np.repeat([0, 1, 0, 1], [7, 3, 4, 6])
    found = reliability(labels, scores)
    assert [(part.predicted, part.observed.successes, part.observed.total) for part in found.bins] == [
        (pytest.approx(0.2), 3, 10), (pytest.approx(0.8), 6, 10),
    ]  # fmt: skip
    assert found.ece == pytest.approx((10 * 0.1 + 10 * 0.2) / 20)
    assert found.brier == pytest.approx(brier_score_loss(labels, scores))
    assert found.log_loss == pytest.approx(log_loss(labels, scores))
    assert found.mean == pytest.approx(0.5)


def test_the_error_of_right_probabilities_is_what_chance_alone_makes() -> None:
    rng = np.random.default_rng(1)
    errors, expected = [], []
    for _ in range(60):
        scores = rng.uniform(0.05, 0.95, 200)
        found = reliability((rng.random(200) < scores).astype(int), scores)
        errors.append(found.ece)
        expected.append(found.ece_by_chance)
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.08)
    overconfident = reliability((rng.random(200) < scores).astype(int), np.clip(3 * scores - 1, 0.01, 0.99))
    assert overconfident.ece > 2 * overconfident.ece_by_chance


def test_bins_hold_about_as_many_studies_and_never_part_equal_scores() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(235)
    totals = [part.observed.total for part in reliability(rng.integers(0, 2, 235), scores).bins]
    assert len(totals) == 10
    assert max(totals) - min(totals) <= 1
    tied = np.concatenate([np.full(90, 0.5), rng.random(10)])
    assert any(part.observed.total >= 90 for part in reliability(rng.integers(0, 2, 100), tied).bins)


@pytest.mark.parametrize("studies", [2, 7, 25])
def test_few_studies_share_few_bins(studies: int) -> None:
    found = reliability(np.arange(studies) % 2, np.linspace(0.1, 0.9, studies))
    assert len(found.bins) == max(1, studies // 10)
    assert sum(part.observed.total for part in found.bins) == studies


def test_all_scores_equal_is_one_bin() -> None:
    found = reliability(np.array([0, 1, 1, 1] * 10), np.full(40, 0.5))
    assert len(found.bins) == 1
    assert found.ece == pytest.approx(0.25)
