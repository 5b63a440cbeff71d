"""DeLong against its definition, by simulation and by bootstrap; the location accuracies."""

import math
import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from angiopipe.evaluation.metrics import (
    auroc_with_interval,
    location_accuracy,
    midranks,
    none_accuracy,
    paired_delong,
    placements,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def binormal(rng: np.random.Generator, studies: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    labels = (np.arange(studies) % 3 == 0).astype(np.uint8)
    return labels, rng.normal(0, 1, studies) + shift * labels


def compared(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(positives, negatives): 1 where the positive scores higher, 0.5 at a tie."""
    positives, negatives = scores[labels == 1][:, None], scores[labels == 0][None]
    return (positives > negatives) + 0.5 * (positives == negatives)


def test_midranks_share_the_mean_rank_of_ties() -> None:
    assert midranks(np.array([10, 30, 20, 20])).tolist() == [1, 4, 2.5, 2.5]


@pytest.mark.parametrize("decimals", [8, 0], ids=["no ties", "many ties"])
def test_placements_equal_the_comparison_of_every_pair(rng: np.random.Generator, decimals: int) -> None:
    labels, scores = binormal(rng, 100, 1.0)
    scores = scores.round(decimals)
    pairs = compared(labels, scores)
    found = placements(labels, scores)
    np.testing.assert_allclose(found.positives, pairs.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.negatives, pairs.mean(axis=0), atol=1e-12)
    assert found.auroc == pytest.approx(roc_auc_score(labels, scores))
    variance = np.var(pairs.mean(1), ddof=1) / pairs.shape[0] + np.var(pairs.mean(0), ddof=1) / pairs.shape[1]
    assert found.variance == pytest.approx(variance)


def test_interval_is_symmetric_on_the_logit_scale(rng: np.random.Generator) -> None:
    found = auroc_with_interval(*binormal(rng, 90, 1.0))
    low, middle, high = (math.log(x / (1 - x)) for x in (found.low, found.auroc, found.high))
    assert found.method == "DeLong"
    assert (found.positives, found.negatives) == (30, 60)
    assert middle - low == pytest.approx(high - middle)
    assert middle - low == pytest.approx(
        1.959964 * math.sqrt(found.variance) / (found.auroc * (1 - found.auroc)), rel=1e-5
    )


def test_interval_covers_the_true_auroc_as_often_as_it_says(rng: np.random.Generator) -> None:
    true = 0.5 * (1 + math.erf(1.0 / 2))  # of two unit normals, one apart
    intervals = [auroc_with_interval(*binormal(rng, 90, 1.0)) for _ in range(1500)]
    assert np.mean([found.low <= true <= found.high for found in intervals]) == pytest.approx(0.95, abs=0.02)


def test_wider_confidence_gives_a_wider_interval(rng: np.random.Generator) -> None:
    labels, scores = binormal(rng, 60, 1.0)
    narrow, wide = (auroc_with_interval(labels, scores, confidence) for confidence in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_perfect_separation_is_not_certainty() -> None:
    few = auroc_with_interval(np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    many = auroc_with_interval(np.repeat([0, 1], 300), np.arange(600))
    assert (few.auroc, few.high, few.method) == (1, 1, "Newcombe")
    assert few.low < 0.65
    assert 0.98 < many.low < 1


def test_newcombe_bound_solves_its_equation() -> None:
    found = auroc_with_interval(np.repeat([0, 1], [8, 4]), np.arange(12))
    theta, mean = found.low, 6
    spread = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    assert 1 - theta == pytest.approx(1.959964 * math.sqrt(theta * (1 - theta) * spread / 32), rel=1e-5)


def test_always_wrong_mirrors_always_right() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    right, wrong = (auroc_with_interval(labels, scores) for scores in (np.arange(5), -np.arange(5)))
    assert wrong.low == 0
    assert wrong.high == pytest.approx(1 - right.low)


@pytest.mark.parametrize("labels", [[0, 1, 0, 0], [1, 0, 1, 0]], ids=["one positive", "equal scores"])
def test_degenerate_scores_have_an_honest_interval(labels: list[int]) -> None:
    found = auroc_with_interval(np.array(labels), np.full(4, 0.3))
    assert found.auroc == 0.5
    assert 0 <= found.low < 0.25
    assert 0.75 < found.high <= 1


@pytest.mark.parametrize("label", [0, 1])
def test_a_missing_class_is_named(label: int) -> None:
    counts = f"got {7 * label} positive and {7 * (1 - label)} negative"
    with pytest.raises(ValueError, match=f"both classes, {counts}"):
        auroc_with_interval(np.full(7, label), np.arange(7))


def test_scores_must_be_finite_and_as_many_as_labels() -> None:
    with pytest.raises(ValueError, match="finite scores, got 1 that"):
        auroc_with_interval(np.array([0, 1]), np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match=r"a score for each label, got \(3,\)"):
        auroc_with_interval(np.array([0, 1]), np.arange(3))


def test_a_million_studies_take_seconds(rng: np.random.Generator) -> None:
    labels, scores = binormal(rng, 1_000_000, 1.0)
    started = time.monotonic()
    auroc_with_interval(labels, scores)
    assert time.monotonic() - started < 10


def test_paired_difference_agrees_with_a_bootstrap(rng: np.random.Generator) -> None:
    labels, first = binormal(rng, 240, 1.2)
    second = first + rng.normal(0, 1.0, len(labels))
    found = paired_delong(labels, first, second)
    differences = []
    for _ in range(800):
        drawn = np.concatenate([rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in (0, 1)])
        a, b = (placements(labels[drawn], scores[drawn]).auroc for scores in (first, second))
        differences.append(a - b)
    assert found.difference == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
    assert math.sqrt(found.variance) == pytest.approx(np.std(differences), rel=0.12)
    assert found.low == pytest.approx(np.quantile(differences, 0.025), abs=0.015)
    assert found.high == pytest.approx(np.quantile(differences, 0.975), abs=0.015)


def test_paired_variance_is_that_of_the_covariance_matrix(rng: np.random.Generator) -> None:
    labels, first = binormal(rng, 120, 1.0)
    second = 0.5 * first + rng.normal(0, 1, len(labels))
    pairs = [compared(labels, scores) for scores in (first, second)]
    covariance = np.cov([p.mean(1) for p in pairs]) / 40 + np.cov([p.mean(0) for p in pairs]) / 80
    found = paired_delong(labels, first, second)
    assert found.variance == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


def test_paired_test_rejects_equal_models_as_seldom_as_it_says() -> None:
    rng, rejected = np.random.default_rng(1), []
    for _ in range(3000):
        labels, latent = binormal(rng, 120, 1.0)
        first, second = latent + rng.normal(0, 0.7, (2, len(labels)))
        rejected.append(paired_delong(labels, first, second).p_value < 0.05)
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.015)


def test_a_model_does_not_differ_from_itself(rng: np.random.Generator) -> None:
    labels, scores = binormal(rng, 60, 1.0)
    found = paired_delong(labels, scores, 2 * scores + 1)
    assert (found.difference, found.variance, found.p_value) == (0, 0, 1)


def test_exchanging_the_models_changes_the_sign_alone(rng: np.random.Generator) -> None:
    labels, first = binormal(rng, 60, 1.0)
    second = rng.normal(size=60)
    there, back = paired_delong(labels, first, second), paired_delong(labels, second, first)
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.p_value < 0.05


def test_paired_comparison_needs_two_of_each_class() -> None:
    with pytest.raises(ValueError, match="two studies of each class, got 1 positive and 2 negative"):
        paired_delong(np.array([0, 0, 1]), np.arange(3), np.arange(3))


def test_location_accuracy_counts_every_study_and_location() -> None:
    labels = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    assert location_accuracy(labels, np.array([[1, 1, 0, 0], [0, 0, 0, 0]])) == 7 / 8
    assert none_accuracy(labels) == 7 / 8
    assert none_accuracy(np.zeros((3, 21))) == 1
