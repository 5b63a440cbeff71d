"""Everything evaluation finds out about a model, from its predictions alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import average_precision_score

from angiopipe import defaults
from angiopipe.evaluation.curves import Curve, Roc, precision_recall_points, roc_points
from angiopipe.evaluation.locations import LOCATION_THRESHOLD, LocationAssessment, assess_locations
from angiopipe.evaluation.metrics import AurocInterval, auroc_with_interval, location_accuracy, none_accuracy
from angiopipe.evaluation.operating_points import OperatingPoint, operating_points
from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.reliability import Reliability, reliability
from angiopipe.evaluation.slices import Slice, assess_slices
from angiopipe.records.manifest import Calibration
from angiopipe.rules import require_both_classes


@dataclass(frozen=True)
class SplitAssessment:
    """How `Aneurysm` is predicted in one split.

    Attributes:
      studies, positives: counts.
      auroc: with its 95 % interval.
      average_precision: the area under the precision-recall curve; chance gives the prevalence.
      reliability: of the calibrated probabilities.
      uncalibrated: of the probabilities as the model gives them.
      roc, precision_recall: curves.
    """

    studies: int
    positives: int
    auroc: AurocInterval
    average_precision: float
    reliability: Reliability
    uncalibrated: Reliability
    roc: Roc
    precision_recall: Curve

    @property
    def prevalence(self) -> float:
        return self.positives / self.studies

    @property
    def brier_of_prevalence(self) -> float:
        """What always answering the prevalence scores: the figure the Brier score has to beat."""
        return self.prevalence * (1 - self.prevalence)


@dataclass(frozen=True)
class Assessment:
    """A model's figures.

    Attributes:
      calibration: the temperatures, fitted on validation.
      validation, test: of `Aneurysm`.
      operating_points: thresholds chosen on validation, judged on test.
      locations: of the test split; empty for a model that predicts no location.
      location_accuracy: the share of right decisions over test studies and locations, or None.
      location_accuracy_none: what always saying "none" scores there.
      slices: of the test split, at the operating point that decides.
    """

    calibration: Calibration
    validation: SplitAssessment
    test: SplitAssessment
    operating_points: tuple[OperatingPoint, ...]
    locations: tuple[LocationAssessment, ...]
    location_accuracy: float | None
    location_accuracy_none: float
    slices: tuple[Slice, ...]

    @property
    def estimable(self) -> tuple[AurocInterval, ...]:
        """The AUROCs of the locations that have one."""
        return tuple(location.auroc for location in self.locations if location.auroc)

    @property
    def location_auroc_mean(self) -> float | None:
        """Over the estimable locations only; None where there is none."""
        return float(np.mean([interval.auroc for interval in self.estimable])) if self.estimable else None

    @property
    def location_average_precision_mean(self) -> float | None:
        """Over the estimable locations only; None where there is none."""
        found = [location.average_precision for location in self.locations]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else None

    @property
    def deciding(self) -> OperatingPoint:
        """The operating point that decides where one decision is asked for."""
        return next(point for point in self.operating_points if point.name == defaults.OPERATING_POINT)


def assess(
    validation: Predictions, test: Predictions, projections: Mapping[str, Predictions] | None = None
) -> Assessment:
    """Works out all figures.

    Args:
      validation: calibrated predictions from every view there is.
      test: the same of the studies the figures are of.
      projections: of the test studies, from the views of one projection alone, by its letter.

    Raises:
      ValueError: a split lacks studies with, or without, an aneurysm.
    """
    counts = {part.split: (part.positives, len(part.indices)) for part in (validation, test)}
    require_both_classes(counts, "predictions")
    assessed = [_assess_split(part) for part in (validation, test)]
    points = operating_points((validation.truth, validation.scores), (test.truth, test.scores))
    deciding = next(point for point in points if point.name == defaults.OPERATING_POINT)
    called = test.probabilities[:, 1:] >= LOCATION_THRESHOLD
    return Assessment(
        calibration=test.calibration,
        validation=assessed[0],
        test=assessed[1],
        operating_points=points,
        locations=assess_locations(test),
        location_accuracy=location_accuracy(test.labels[:, 1:], called) if test.predicts_locations else None,
        location_accuracy_none=none_accuracy(test.labels[:, 1:]),
        slices=assess_slices(test, projections or {}, deciding.threshold),
    )


def _assess_split(part: Predictions) -> SplitAssessment:
    studies, positives = len(part.indices), part.positives
    return SplitAssessment(
        studies=studies,
        positives=positives,
        auroc=auroc_with_interval(part.truth, part.scores),
        average_precision=float(average_precision_score(part.truth, part.scores)),
        reliability=reliability(part.truth, part.scores),
        uncalibrated=reliability(part.truth, replace(part, calibration=Calibration()).scores),
        roc=roc_points(part.truth, part.scores),
        precision_recall=precision_recall_points(part.truth, part.scores),
    )
