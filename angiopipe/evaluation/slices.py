"""Whether the model is as good for some studies as for others.

The data holds no age, sex or hospital, so slices are by what it does hold: where the aneurysm lies,
which views there are, and how large they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import average_precision_score

from angiopipe.evaluation.metrics import LEAST_STUDIES, AurocInterval, auroc_with_interval
from angiopipe.evaluation.operating_points import Confusion, Proportion
from angiopipe.evaluation.predictions import Predictions
from angiopipe.study import LOCATIONS, VIEWS

MOST_SIZES = 4
"""More sizes than these are grouped into thirds of the studies."""

PROJECTIONS: dict[str, np.ndarray] = {
    projection: np.array([view.projection == projection for view in VIEWS], np.uint8) for projection in "AB"
}
"""The views of each projection, as `scoring.score` selects them."""

_SIDES = {"left": "L_", "right": "R_", "midline": "BA"}
_PROJECTION_NAMES = {"A": "antero-posterior alone", "B": "lateral alone"}


@dataclass(frozen=True)
class Slice:
    """How `Aneurysm` is predicted for some of the test studies, or from some of their views.

    Attributes:
      group: what studies are told apart by: "side", "projection", "missing views" or "image size".
      name: which of them.
      studies, positives: counts.
      auroc, average_precision: None under `LEAST_STUDIES` studies of either class.
      sensitivity, specificity: at the operating point; None under `LEAST_STUDIES` studies of the class.
    """

    group: str
    name: str
    studies: int
    positives: int
    auroc: AurocInterval | None
    average_precision: float | None
    sensitivity: Proportion | None
    specificity: Proportion | None


def assess_slices(
    test: Predictions, projections: Mapping[str, Predictions], threshold: float
) -> tuple[Slice, ...]:
    """All slices of the test studies.

    - side: studies with an aneurysm on that side, against all studies without one. A study with
      aneurysms on both sides counts for both.
    - projection: all studies, scored as if only the views of that projection existed.
    - missing views: studies that lack so many of the eight.
    - image size: by the shorter side, in pixels, of a study's smallest view before preprocessing.

    Args:
      test: predictions from every view there is.
      projections: predictions from the views of one projection alone, by its letter.
      threshold: of the operating point.
    """
    parts = [*_by_side(test), *_by_projection(projections), *_by_missing_views(test), *_by_size(test)]
    return tuple(_assess(group, name, part, threshold) for group, name, part in parts if part.indices)


def _by_side(test: Predictions) -> Iterator[tuple[str, str, Predictions]]:
    for name, prefix in _SIDES.items():
        columns = [1 + place for place, location in enumerate(LOCATIONS) if location.startswith(prefix)]
        there = test.labels[:, columns].any(axis=1)
        yield "side", name, _some(test, there | (test.truth == 0))


def _by_projection(projections: Mapping[str, Predictions]) -> Iterator[tuple[str, str, Predictions]]:
    for letter, part in projections.items():
        seen = (part.present * PROJECTIONS[letter]).any(axis=1)
        yield "projection", _PROJECTION_NAMES[letter], _some(part, seen)


def _by_missing_views(test: Predictions) -> Iterator[tuple[str, str, Predictions]]:
    missing = len(VIEWS) - test.present.sum(axis=1, dtype=np.int64)
    for count in np.unique(missing):
        yield "missing views", str(count) if count else "none", _some(test, missing == count)


def _by_size(test: Predictions) -> Iterator[tuple[str, str, Predictions]]:
    sizes = np.where(test.sizes.min(axis=2) > 0, test.sizes.min(axis=2), np.iinfo(np.int64).max).min(axis=1)
    if len(distinct := np.unique(sizes)) <= MOST_SIZES:
        for size in distinct:
            yield "image size", f"{size} pixels", _some(test, sizes == size)
        return
    low, high = (int(cut) for cut in np.quantile(sizes, [1 / 3, 2 / 3], method="lower"))
    yield "image size", f"up to {low} pixels", _some(test, sizes <= low)
    yield "image size", f"{low + 1} to {high} pixels", _some(test, (sizes > low) & (sizes <= high))
    yield "image size", f"over {high} pixels", _some(test, sizes > high)


def _some(part: Predictions, chosen: np.ndarray) -> Predictions:
    rows = np.flatnonzero(chosen)
    return replace(
        part,
        indices=tuple(part.indices[row] for row in rows),
        labels=part.labels[rows],
        logits=part.logits[rows],
        present=part.present[rows],
        sizes=part.sizes[rows],
    )


def _assess(group: str, name: str, part: Predictions, threshold: float) -> Slice:
    studies, positives = len(part.indices), part.positives
    estimable = min(positives, studies - positives) >= LEAST_STUDIES
    confusion = Confusion.at(part.truth, part.scores, threshold)
    return Slice(
        group=group,
        name=name,
        studies=studies,
        positives=positives,
        auroc=auroc_with_interval(part.truth, part.scores) if estimable else None,
        average_precision=float(average_precision_score(part.truth, part.scores)) if estimable else None,
        sensitivity=confusion.sensitivity if positives >= LEAST_STUDIES else None,
        specificity=confusion.specificity if studies - positives >= LEAST_STUDIES else None,
    )
