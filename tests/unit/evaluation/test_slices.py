"""Slices: who belongs where, and that too few are not estimated."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.slices import PROJECTIONS, Slice, assess_slices
from angiopipe.study import LABELS, VIEWS


@pytest.fixture
def test_studies(predicted: Callable[..., Predictions]) -> Predictions:
    return predicted("test", 90)


def named(slices: tuple[Slice, ...], group: str) -> dict[str, Slice]:
    return {part.name: part for part in slices if part.group == group}


def test_a_side_is_its_aneurysms_against_all_studies_without(test_studies: Predictions) -> None:
    left = [LABELS.index(label) for label in LABELS if label.startswith("L_")]
    there = test_studies.labels[:, left].any(axis=1)
    sides = named(assess_slices(test_studies, {}, 0.5), "side")
    rows = there | (test_studies.truth == 0)
    assert (sides["left"].studies, sides["left"].positives) == (rows.sum(), there.sum())
    assert sides["left"].auroc is not None
    assert sides["left"].auroc.auroc == pytest.approx(roc_auc_score(there[rows], test_studies.scores[rows]))
    called = test_studies.scores >= 0.5
    assert sides["left"].sensitivity is not None
    assert sides["left"].sensitivity.value == called[there].mean()
    # random_labels draws from the first six locations alone: BA has no aneurysm
    midline = sides["midline"]
    assert (midline.studies, midline.positives, midline.auroc, midline.sensitivity) == (45, 0, None, None)
    assert midline.specificity is not None


def test_a_study_with_both_sides_counts_for_both(test_studies: Predictions) -> None:
    counts = [
        named(assess_slices(part, {}, 0.5), "side") for part in (test_studies, both_sides(test_studies))
    ]
    assert counts[1]["left"].positives + counts[1]["right"].positives == 45 + 1
    assert counts[0]["left"].positives + counts[0]["right"].positives == 45


def both_sides(part: Predictions) -> Predictions:
    labels = part.labels.copy()
    labels[0, 1:] = 0
    labels[0, [LABELS.index("L_MCA"), LABELS.index("R_VA")]] = 1
    return replace(part, labels=labels)


def test_a_projection_counts_the_studies_that_have_it(test_studies: Predictions) -> None:
    present = test_studies.present.copy()
    present[:3] = PROJECTIONS["B"]
    part = replace(test_studies, present=present)
    found = named(assess_slices(part, {"A": part, "B": part}, 0.5), "projection")
    assert {name: one.studies for name, one in found.items()} == {
        "antero-posterior alone": 87, "lateral alone": 90,
    }  # fmt: skip
    assert [view.projection for view, kept in zip(VIEWS, PROJECTIONS["A"], strict=True) if kept] == ["A"] * 4


def test_missing_views_are_counted(test_studies: Predictions) -> None:
    present = test_studies.present.copy()
    present[:20, 3] = 0
    present[:4, 4] = 0
    found = named(assess_slices(replace(test_studies, present=present), {}, 0.5), "missing views")
    assert {name: part.studies for name, part in found.items()} == {"none": 70, "1": 16, "2": 4}
    assert found["2"].auroc is None
    assert found["1"].auroc is not None


def test_sizes_are_those_of_the_smallest_view(test_studies: Predictions) -> None:
    sizes = test_studies.sizes.copy()
    sizes[:30, 2] = (512, 600)
    sizes[30:, 2] = 0  # absent
    found = named(assess_slices(replace(test_studies, sizes=sizes), {}, 0.5), "image size")
    assert {name: part.studies for name, part in found.items()} == {"512 pixels": 30, "700 pixels": 60}


def test_many_sizes_become_thirds(test_studies: Predictions) -> None:
    sizes = np.broadcast_to(np.arange(401, 491)[:, None, None], test_studies.sizes.shape)
    found = named(assess_slices(replace(test_studies, sizes=sizes), {}, 0.5), "image size")
    assert [part.studies for part in found.values()] == [30, 30, 30]
    assert list(found) == ["up to 430 pixels", "431 to 460 pixels", "over 460 pixels"]
