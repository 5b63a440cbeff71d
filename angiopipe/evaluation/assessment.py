"""Everything evaluation finds out about a model, from its predictions alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss

from angiopipe.evaluation.curves import Curve, Roc, precision_recall_points, roc_points
from angiopipe.evaluation.metrics import AurocInterval, auroc_with_interval, location_accuracy, none_accuracy
from angiopipe.evaluation.operating_points import Confusion, OperatingPoint, Proportion, operating_points
from angiopipe.evaluation.predictions import Predictions
from angiopipe.study import ANEURYSM, LOCATIONS

LEAST_STUDIES = 5
"""An AUROC over fewer studies of a class says next to nothing, so none is given."""

LOCATION_THRESHOLD = 0.5
"""A location is called from this probability on, as the competition's second figure has it."""


@dataclass(frozen=True)
class SplitAssessment:
    """How `Aneurysm` is predicted in one split.

    Attributes:
      studies, positives: counts.
      auroc: with its 95 % interval.
      average_precision: the area under the precision-recall curve; chance gives the prevalence.
      brier: the mean squared error of the probability.
      roc, precision_recall: curves.
    """

    studies: int
    positives: int
    auroc: AurocInterval
    average_precision: float
    brier: float
    roc: Roc
    precision_recall: Curve

    @property
    def prevalence(self) -> float:
        return self.positives / self.studies

    @property
    def brier_of_prevalence(self) -> float:
        """What always answering the prevalence scores: the figure `brier` has to beat."""
        return self.prevalence * (1 - self.prevalence)


@dataclass(frozen=True)
class LocationAssessment:
    """How one location is predicted in the test split.

    Attributes:
      name: one of `study.LOCATIONS`.
      auroc: None ("not estimable") under `LEAST_STUDIES` studies of either class.
      confusion: decisions at `LOCATION_THRESHOLD`.
    """

    name: str
    auroc: AurocInterval | None
    confusion: Confusion


@dataclass(frozen=True)
class Assessment:
    """A model's figures.

    Attributes:
      validation, test: of `Aneurysm`.
      operating_points: thresholds chosen on validation, judged on test.
      locations: of the test split; empty for a model that predicts no location.
      location_accuracy: the share of right decisions over test studies and locations, or None.
      location_accuracy_none: what always saying "none" scores there.
    """

    validation: SplitAssessment
    test: SplitAssessment
    operating_points: tuple[OperatingPoint, ...]
    locations: tuple[LocationAssessment, ...]
    location_accuracy: float | None
    location_accuracy_none: float

    @property
    def estimable(self) -> tuple[AurocInterval, ...]:
        """The AUROCs of the locations that have one."""
        return tuple(location.auroc for location in self.locations if location.auroc)

    @property
    def location_auroc_mean(self) -> float | None:
        """Over the estimable locations only; None where there is none."""
        return float(np.mean([interval.auroc for interval in self.estimable])) if self.estimable else None


def assess(validation: Predictions, test: Predictions) -> Assessment:
    """Works out all figures.

    Raises:
      ValueError: a split lacks studies with, or without, an aneurysm.
    """
    called = test.probabilities[:, 1:] >= LOCATION_THRESHOLD
    return Assessment(
        validation=_assess_split(validation),
        test=_assess_split(test),
        operating_points=operating_points((validation.truth, validation.scores), (test.truth, test.scores)),
        locations=_assess_locations(test) if test.predicts_locations else (),
        location_accuracy=location_accuracy(test.labels[:, 1:], called) if test.predicts_locations else None,
        location_accuracy_none=none_accuracy(test.labels[:, 1:]),
    )


def _assess_split(part: Predictions) -> SplitAssessment:
    studies, positives = len(part.indices), part.positives
    if not 0 < positives < studies:
        raise ValueError(
            f"{part.split} split: {ANEURYSM} is 1 in {positives} of {studies} studies; evaluation needs "
            "studies of both classes in validation and in test: split again, or use a larger cohort"
        )
    return SplitAssessment(
        studies=studies,
        positives=positives,
        auroc=auroc_with_interval(part.truth, part.scores),
        average_precision=float(average_precision_score(part.truth, part.scores)),
        brier=float(brier_score_loss(part.truth, part.scores)),
        roc=roc_points(part.truth, part.scores),
        precision_recall=precision_recall_points(part.truth, part.scores),
    )


def _assess_locations(test: Predictions) -> tuple[LocationAssessment, ...]:
    assessed = []
    for position, name in enumerate(LOCATIONS, start=1):
        truth, scores = test.labels[:, position], test.probabilities[:, position]
        positives = int(truth.sum())
        estimable = min(positives, len(truth) - positives) >= LEAST_STUDIES
        auroc = auroc_with_interval(truth, scores) if estimable else None
        assessed.append(LocationAssessment(name, auroc, Confusion.at(truth, scores, LOCATION_THRESHOLD)))
    return tuple(assessed)


def flat_metrics(found: Assessment) -> dict[str, float]:
    """The figures under flat names, as MLflow and Kubeflow show them; what has no value is left out."""
    test, validation = found.test, found.validation
    metrics: dict[str, float | None] = {
        "test_auroc": test.auroc.auroc,
        "test_auroc_low": test.auroc.low,
        "test_auroc_high": test.auroc.high,
        "test_average_precision": test.average_precision,
        "test_brier": test.brier,
        "test_brier_of_prevalence": test.brier_of_prevalence,
        "test_studies": test.studies,
        "test_positives": test.positives,
        "validation_auroc": validation.auroc.auroc,
        "validation_auroc_low": validation.auroc.low,
        "validation_auroc_high": validation.auroc.high,
        "validation_studies": validation.studies,
        "validation_positives": validation.positives,
    }
    if found.location_accuracy is not None:
        metrics["location_accuracy"] = found.location_accuracy
        metrics["location_accuracy_none"] = found.location_accuracy_none
        metrics["location_auroc_mean"] = found.location_auroc_mean
        metrics["location_auroc_estimable"] = len(found.estimable)
    for point in found.operating_points:
        metrics |= _point_metrics(point)
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _point_metrics(point: OperatingPoint) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {f"{point.name}_threshold": point.threshold}
    shares: dict[str, Proportion | None] = {
        "sensitivity": point.test.sensitivity,
        "specificity": point.test.specificity,
        "ppv": point.test.positive_predictive_value,
        "npv": point.test.negative_predictive_value,
    }
    for name, share in shares.items():
        if share:
            metrics[f"{point.name}_{name}"] = share.value
            metrics[f"{point.name}_{name}_low"] = share.low
            metrics[f"{point.name}_{name}_high"] = share.high
    return metrics
