"""How each of the 21 locations is predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from angiopipe.evaluation.metrics import LEAST_STUDIES, AurocInterval, auroc_with_interval
from angiopipe.evaluation.operating_points import Confusion, Proportion, wilson
from angiopipe.evaluation.predictions import Predictions
from angiopipe.study import LOCATIONS

LOCATION_THRESHOLD = 0.5
"""A location is called from this probability on, as the competition's second figure has it."""


@dataclass(frozen=True)
class LocationAssessment:
    """How one location is predicted in the test split.

    Attributes:
      name: one of `study.LOCATIONS`.
      prevalence: the share of studies with an aneurysm there.
      auroc, average_precision: None ("not estimable") under `LEAST_STUDIES` studies of either class.
      sensitivity: at `LOCATION_THRESHOLD`; None under `LEAST_STUDIES` studies with an aneurysm there.
      confusion: decisions at `LOCATION_THRESHOLD`.
    """

    name: str
    prevalence: Proportion
    auroc: AurocInterval | None
    average_precision: float | None
    sensitivity: Proportion | None
    confusion: Confusion


def assess_locations(test: Predictions) -> tuple[LocationAssessment, ...]:
    """One assessment a location; empty for a model that predicts none."""
    if not test.predicts_locations:
        return ()
    return tuple(
        _assess_location(name, test.labels[:, position], test.probabilities[:, position])
        for position, name in enumerate(LOCATIONS, start=1)
    )


def _assess_location(name: str, truth: np.ndarray, scores: np.ndarray) -> LocationAssessment:
    positives = int(truth.sum())
    estimable = min(positives, len(truth) - positives) >= LEAST_STUDIES
    prevalence = wilson(positives, len(truth))
    assert prevalence is not None  # a split has studies
    confusion = Confusion.at(truth, scores, LOCATION_THRESHOLD)
    return LocationAssessment(
        name=name,
        prevalence=prevalence,
        auroc=auroc_with_interval(truth, scores) if estimable else None,
        average_precision=float(average_precision_score(truth, scores)) if estimable else None,
        sensitivity=confusion.sensitivity if positives >= LEAST_STUDIES else None,
        confusion=confusion,
    )
