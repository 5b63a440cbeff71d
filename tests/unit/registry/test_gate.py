"""The gate's arithmetic and each of its outcomes, on answers whose right verdict is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from angiopipe.evaluation.metrics import paired_delong
from angiopipe.registry.answers import Answers
from angiopipe.registry.gate import holm, judge
from angiopipe.study import LABELS, LOCATIONS

MARGIN = 0.05


def cohort(studies: int = 400, seed: int = 0) -> np.ndarray:
    """(studies, 22) labels: half have an aneurysm, at L_ICA, R_ICA or BA in turn."""
    labels = np.zeros((studies, len(LABELS)), np.uint8)
    places = [LABELS.index(name) for name in ("L_ICA", "R_ICA", "BA")]
    for row in range(0, studies, 2):
        labels[row, [0, places[row // 2 % 3]]] = 1
    return labels


def answers(labels: np.ndarray, skill: float | dict[str, float], seed: int = 1) -> Answers:
    """Normal scores that `skill` standard deviations separate, for all labels or by name."""
    rng = np.random.default_rng(seed)
    by_label = [skill.get(name, skill["rest"]) if isinstance(skill, dict) else skill for name in LABELS]
    logits = rng.normal(0, 1, labels.shape) + labels * np.array(by_label)
    return Answers(tuple(map(str, range(len(labels)))), labels, 1 / (1 + np.exp(-logits)))


def test_a_better_model_passes():
    labels = cohort()
    found = judge(answers(labels, 2.5), answers(labels, 1.0, seed=2), MARGIN)
    assert found.outcome == "passed"
    assert found.aneurysm.difference > 0.1
    assert "above the margin of -0.05, no worse at 3 locations" in found.reason
    assert len(found.not_estimable) == len(LOCATIONS) - 3


def test_the_figures_are_paired_delongs():
    labels = cohort()
    challenger, champion = answers(labels, 1.5), answers(labels, 1.4, seed=2)
    found = judge(challenger, champion, MARGIN).aneurysm
    expected = paired_delong(labels[:, 0], challenger.probabilities[:, 0], champion.probabilities[:, 0])
    assert (found.difference, found.low, found.high) == (expected.difference, expected.low, expected.high)
    z = expected.difference / np.sqrt(expected.variance)
    assert found.p_worse == pytest.approx(stats.norm.cdf(z))
    assert stats.norm.interval(0.95, expected.difference, np.sqrt(expected.variance)) == pytest.approx(
        (found.low, found.high)
    )


def test_a_worse_model_is_refused():
    labels = cohort()
    found = judge(answers(labels, 1.0), answers(labels, 2.5, seed=2), MARGIN)
    assert found.outcome == "worse"
    assert "reaches below the margin of -0.05" in found.reason


def test_an_equal_model_passes_with_a_margin_and_not_without():
    labels = cohort()
    same = answers(labels, 1.5)
    found = judge(same, same, MARGIN)
    assert (found.outcome, found.aneurysm.difference) == ("passed", 0)
    assert "does not tell how few studies there were" in found.notes[0]
    assert judge(same, same, 0).outcome == "worse"


def test_too_few_studies_to_tell_are_no_licence():
    """Alike on average, but the interval of 24 studies is wider than the margin."""
    labels = cohort(24)
    found = judge(answers(labels, 1.5), answers(labels, 1.5, seed=2), MARGIN)
    assert found.outcome == "worse"
    assert found.aneurysm.high > 0


def test_a_location_that_got_worse_keeps_a_better_model_out():
    labels = cohort(800)
    found = judge(
        answers(labels, {"rest": 2.5, "BA": 0.0}), answers(labels, {"rest": 2.0, "BA": 2.5}, seed=2), MARGIN
    )
    assert found.outcome == "location_worse"
    assert found.aneurysm.low > -MARGIN
    assert "significantly worse at BA (0." in found.reason
    assert "L_ICA" not in found.reason


def test_locations_are_adjusted_for_their_number():
    labels = cohort()
    challenger, champion = answers(labels, 1.4), answers(labels, 1.5, seed=2)
    found = judge(challenger, champion, 0.5)
    raw = []
    for name in ("L_ICA", "R_ICA", "BA"):
        column = LABELS.index(name)
        one = paired_delong(
            labels[:, column], challenger.probabilities[:, column], champion.probabilities[:, column]
        )
        raw.append(stats.norm.cdf(one.difference / np.sqrt(one.variance)))
    assert [item.p_worse for item in found.locations] == pytest.approx(holm(raw))


def test_chance_alone_rarely_calls_a_location_worse():
    """Both models know equally much: at 5 % for all locations together, about one in twenty is refused."""
    labels = cohort(200)
    refused = sum(
        judge(answers(labels, 1.0, seed=2 * turn), answers(labels, 1.0, seed=2 * turn + 1), 0.9).outcome
        == "location_worse"
        for turn in range(200)
    )
    assert refused <= 20  # 10 expected; 20 or fewer come with 99.8 %


def test_a_model_without_locations_does_not_replace_one_with():
    labels = cohort()
    without = answers(labels, 3.0)
    without.probabilities[:, 1:] = np.nan
    found = judge(without, answers(labels, 1.0, seed=2), MARGIN)
    assert found.outcome == "locations_lost"
    assert judge(answers(labels, 3.0), without, MARGIN).outcome == "passed"
    assert judge(without, without, MARGIN).notes[-1].startswith("locations were not compared")


def test_a_test_set_with_one_aneurysm_cannot_compare():
    labels = cohort()[[0, 1, 3, 5]]
    found = judge(answers(labels, 1.0), answers(labels, 1.0), MARGIN)
    assert found.outcome == "test_too_small"
    assert "found 1 with and 3 without an aneurysm" in found.reason


def test_other_studies_or_labels_are_refused():
    labels = cohort(40)
    one = answers(labels, 1.0)
    with pytest.raises(ValueError, match="expected challenger and champion on the same studies"):
        judge(one, answers(1 - labels, 1.0), MARGIN)
    with pytest.raises(ValueError, match="only one side has 39"):
        one.of(one.indices[:-1])
    backwards = one.of(one.indices[::-1])
    assert (
        judge(backwards, backwards, MARGIN).aneurysm.challenger == judge(one, one, MARGIN).aneurysm.challenger
    )


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm's steps 4, 3, 2, 1 by hand
        ([0.5, 0.9], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)
