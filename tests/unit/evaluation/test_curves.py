"""Curves are finite, plain, thin, and lie where scikit-learn puts them."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from angiopipe.evaluation.curves import MOST_POINTS, precision_recall_points, roc_points


def scored(studies: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, studies)
    return labels, rng.random(studies).astype(np.float32) * 0.7 + 0.3 * labels.astype(np.float32)


@pytest.mark.parametrize("studies", [10, 20_000])
def test_roc_is_finite_plain_and_short(studies: int) -> None:
    points = roc_points(*scored(studies))
    assert len(points) <= MOST_POINTS + 2
    assert all(type(value) is float and math.isfinite(value) for point in points for value in point)
    assert json.loads(json.dumps(points)) == [list(point) for point in points]
    assert points[0][:2] == (0, 0)
    assert points[-1][:2] == (1, 1)


def test_every_point_is_what_its_threshold_gives() -> None:
    labels, scores = scored(500)
    for false_rate, true_rate, threshold in roc_points(labels, scores):
        called = scores.astype(np.float64) >= threshold
        assert called[labels == 0].mean() == pytest.approx(false_rate)
        assert called[labels == 1].mean() == pytest.approx(true_rate)


def test_thinning_keeps_the_area() -> None:
    labels, scores = scored(20_000)
    x, y, _ = np.array(roc_points(labels, scores)).T
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(labels, scores), abs=2e-3)


def test_certain_scores_still_have_a_first_point_of_their_own() -> None:
    thresholds = [
        threshold for *_, threshold in roc_points(np.array([0, 1]), np.array([0.0, 1.0], np.float32))
    ]
    assert thresholds == sorted(set(thresholds), reverse=True)


@pytest.mark.parametrize("studies", [10, 20_000])
def test_precision_recall_runs_over_the_whole_recall(studies: int) -> None:
    labels, scores = scored(studies)
    points = precision_recall_points(labels, scores)
    recall, precision = np.array(points).T
    assert (recall[0], recall[-1], precision[-1]) == (0, 1, pytest.approx(labels.mean()))
    assert len(points) <= max(MOST_POINTS + 2, studies + 1)
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(
        average_precision_score(labels, scores), abs=5e-3
    )
