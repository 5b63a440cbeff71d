from collections.abc import Callable

import numpy as np
import pytest

from angiopipe.cohort.drift import Shift, drift, refuse_drift
from angiopipe.cohort.statistics import Statistics, statistics_of
from angiopipe.study import INDEX, LABELS, VIEW_NAMES
from tests.unit.cohort.made_up import made_up_labels, made_up_statistics, made_up_views


def called(shifts: tuple[Shift, ...], what: str = "") -> list[str]:
    return [s.subject for s in shifts if s.verdict != "none" and what in s.what]


def halves(studies: int, seed: int) -> tuple[Statistics, Statistics]:
    labels = made_up_labels(studies)
    views = made_up_views(labels)
    chosen = np.random.default_rng(seed).permutation(labels[INDEX])[: studies // 2]
    parts = (labels[INDEX].isin(chosen), ~labels[INDEX].isin(chosen))
    return tuple(
        statistics_of(labels[part], views[views[INDEX].isin(labels[INDEX][part])], "") for part in parts
    )


def with_sizes(change: Callable[[int], int], studies: int = 60, seed: int = 0) -> Statistics:
    labels = made_up_labels(studies, seed)
    views = made_up_views(labels, seed)
    numbers = views[INDEX].str.split("-").str[1].astype(int)
    return statistics_of(labels, views.assign(height=numbers.map(change)), "")


def test_all_views_labels_and_kinds_are_compared():
    shifts = drift(made_up_statistics(20), made_up_statistics(20, seed=1))
    assert [s.subject for s in shifts] == [*VIEW_NAMES, *VIEW_NAMES, *LABELS, *["all images"] * 3]


@pytest.mark.parametrize("studies", [24, 60, 400])
def test_two_halves_of_a_cohort_have_not_shifted(studies):
    alarms = sum(bool(called(drift(*halves(studies, seed)))) for seed in range(12 if studies < 400 else 3))
    assert alarms == 0


def test_false_alarms_stay_within_their_probability():
    # 150 comparisons at 0.01 give 1.5 alarms on average; more than 6 have a probability below 0.001.
    cohorts = [made_up_statistics(40, seed) for seed in range(18)]
    pairs = [(a, b) for n, a in enumerate(cohorts) for b in cohorts[n + 1 :]][:150]
    assert sum(bool(called(drift(*pair))) for pair in pairs) <= 6


@pytest.mark.parametrize("studies", [60, 400])
def test_a_darker_cohort_has_shifted_in_every_view_and_only_there(studies):
    shifts = drift(made_up_statistics(studies), made_up_statistics(studies, seed=1, darker=25))
    assert [s.subject for s in shifts if s.verdict == "shifted"] == list(VIEW_NAMES)
    assert called(shifts, "mean grey level") == called(shifts) == list(VIEW_NAMES)


def test_thirty_studies_suffice_to_see_that_all_are_darker():
    shifts = drift(made_up_statistics(30), made_up_statistics(30, seed=1, darker=25))
    assert len(called(shifts, "mean grey level")) >= 5
    with pytest.raises(ValueError, match="figures have shifted"):
        refuse_drift(shifts, 0.25)


def test_prevalence_must_differ_much_and_beyond_chance():
    def of(studies: int, positives: int) -> Statistics:
        base = made_up_statistics(2)
        counts = base.splits["train"].model_copy(update={"studies": studies, "positives": {
            label: positives if label == "BA" else 0 for label in LABELS}})  # fmt: skip
        empty = base.splits["test"].model_copy(update={"studies": 0, "positives": dict.fromkeys(LABELS, 0)})
        splits = {"train": counts, "validation": empty, "test": empty}
        return base.model_copy(update={"splits": splits})

    def verdict(before: Statistics, now: Statistics) -> str:
        return next(s.verdict for s in drift(before, now) if s.subject == "BA")

    assert verdict(of(1000, 20), of(1000, 80)) == "shifted"
    assert verdict(of(1000, 80), of(1000, 20)) == "shifted"
    assert verdict(of(1000, 100), of(1000, 160)) == "moderate"
    assert verdict(of(100_000, 10_000), of(100_000, 11_000)) == "none"
    assert verdict(of(30, 1), of(30, 4)) == "none"


def test_new_sizes_and_formats_are_told():
    shifts = {
        s.what: s for s in drift(with_sizes(lambda n: 720), with_sizes(lambda n: 1024 if n < 20 else 720))
    }
    assert shifts["image sizes"].verdict == "shifted"
    assert shifts["image sizes"].value == pytest.approx(1 / 3)
    assert shifts["image sizes"].now == "1024 x 720 (160)"
    assert shifts["file formats"].verdict == "none"


def test_sizes_that_are_always_different_are_not_new():
    before, now = with_sizes(lambda n: 500 + n), with_sizes(lambda n: 800 + n, seed=1)
    assert called(drift(before, now)) == []


def test_absent_views_do_not_shift():
    labels = made_up_labels(30)
    views = made_up_views(labels)
    without = statistics_of(labels, views[views["view"] != "LI-A"], "")
    shifts = drift(made_up_statistics(30), without)
    assert called(shifts) == []
    assert shifts[0].now == "no images"


def test_a_shift_beyond_the_threshold_stops_the_run_and_all_are_named():
    shifts = drift(made_up_statistics(60), made_up_statistics(60, seed=1, darker=25, prevalence=0.5))
    with pytest.raises(ValueError, match="of 41 figures have shifted since the previous run") as caught:
        refuse_drift(shifts, 0.25)
    faults = str(caught.value).splitlines()[1:]
    assert len(faults) == len([s for s in shifts if s.verdict == "shifted"]) > 20
    assert faults[0].startswith("  LI-A, mean grey level: expected PSI below 0.25, found ")
    assert any("BA, prevalence: expected odds ratio between 0.5 and 2, found" in fault for fault in faults)
    assert "run once without a drift threshold" in str(caught.value)


def test_a_higher_threshold_tolerates_more_and_none_tolerates_all():
    shifts = drift(made_up_statistics(60), made_up_statistics(60, seed=1, darker=25))
    refuse_drift(shifts, None)
    refuse_drift(shifts, 100.0)
    with pytest.raises(ValueError, match="RV-B, mean grey level"):
        refuse_drift(shifts, 0.25)


def test_no_threshold_is_so_low_that_chance_stops_a_run():
    refuse_drift(drift(*halves(24, 0)), 0.0)
