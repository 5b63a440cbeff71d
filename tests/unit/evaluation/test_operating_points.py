"""Wilson intervals against published ones; thresholds come from validation alone."""

import numpy as np
import pytest

from angiopipe.evaluation.operating_points import (
    Confusion,
    operating_points,
    sensitivity_threshold,
    specificity_threshold,
    wilson,
    youden_threshold,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe (1998, Statistics in Medicine 17:857), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_published_intervals(successes: int, total: int, low: float, high: float) -> None:
    found = wilson(successes, total)
    assert found is not None
    assert found.value == successes / total
    assert found.low == pytest.approx(low, abs=6e-5)
    assert found.high == pytest.approx(high, abs=6e-5)


def test_a_share_of_nothing_is_not_estimable() -> None:
    assert wilson(0, 0) is None
    confusion = Confusion.at(np.array([0, 1]), np.array([0.1, 0.2]), 0.5)
    assert confusion.positive_predictive_value is None
    assert confusion.sensitivity is not None


def test_confusion_counts_the_threshold_as_positive() -> None:
    found = Confusion.at(np.array([1, 1, 0, 0, 0]), np.array([0.5, 0.4, 0.5, 0.4, 0.1]), 0.5)
    assert found == Confusion(1, 1, 1, 2)


def test_youden_is_the_best_of_all_thresholds() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 80), rng.random(80).round(2)

    def index(threshold: float) -> float:
        called = scores >= threshold
        return called[labels == 1].mean() - called[labels == 0].mean()

    assert index(youden_threshold(labels, scores)) == pytest.approx(max(index(t) for t in np.unique(scores)))


def test_sensitivity_threshold_is_the_highest_that_finds_enough() -> None:
    labels, scores = np.array([1] * 10 + [0] * 2), np.array([*np.linspace(0.1, 1, 10), 0.05, 0.15])
    threshold = sensitivity_threshold(labels, scores, 0.9)
    assert np.mean(scores[:10] >= threshold) == 0.9
    assert threshold == pytest.approx((0.2 + 0.15) / 2)


def test_specificity_threshold_is_the_lowest_that_clears_enough() -> None:
    labels, scores = np.array([0] * 10 + [1] * 2), np.array([*np.linspace(0, 0.9, 10), 0.85, 0.99])
    threshold = specificity_threshold(labels, scores, 0.9)
    assert np.mean(scores[:10] < threshold) == 0.9
    assert threshold == pytest.approx((0.85 + 0.8) / 2)
    assert specificity_threshold(labels, scores, 0.95) == pytest.approx((0.99 + 0.9) / 2)


def test_where_the_surest_studies_are_healthy_none_is_called() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 0.3, 0.2], np.float32)
    threshold = specificity_threshold(labels, scores, 0.9)
    assert Confusion.at(labels, scores, threshold) == Confusion(0, 2, 0, 2)


def test_thresholds_lie_between_scores() -> None:
    labels, scores = np.array([0, 1, 1]), np.array([0.2, 0.6, 0.9], np.float32)
    assert youden_threshold(labels, scores) == pytest.approx(0.4)
    assert 0 < sensitivity_threshold(np.array([1, 0]), np.array([0.2, 0.6]), 0.9) < 0.2


def test_thresholds_come_from_validation_alone() -> None:
    rng = np.random.default_rng(2)
    validation = rng.integers(0, 2, 50), rng.random(50)
    tests = [(rng.integers(0, 2, 50), rng.random(50) * scale) for scale in (1.0, 0.01)]
    first, second = (operating_points(validation, test) for test in tests)
    assert [point.threshold for point in first] == [point.threshold for point in second]
    assert [point.validation for point in first] == [point.validation for point in second]
    assert [point.test for point in first] != [point.test for point in second]
    assert [point.name for point in first] == [
        "youden", "sensitivity_90", "sensitivity_95", "specificity_90",
    ]  # fmt: skip
    for point, (labels, scores) in zip(second, [tests[1]] * 4, strict=True):
        assert point.test == Confusion.at(labels, scores, point.threshold)
