"""The figures under flat names, as MLflow and Kubeflow show them."""

from __future__ import annotations

from angiopipe.evaluation.assessment import Assessment, SplitAssessment
from angiopipe.evaluation.locations import LocationAssessment
from angiopipe.evaluation.metrics import AurocInterval
from angiopipe.evaluation.operating_points import OperatingPoint, Proportion
from angiopipe.evaluation.slices import Slice

Metrics = dict[str, float | None]


def flat_metrics(found: Assessment) -> dict[str, float]:
    """Every figure by name; what has no value, such as what is not estimable, is left out."""
    metrics: Metrics = {
        **_split("test", found.test),
        **_split("validation", found.validation),
        "temperature_aneurysm": found.calibration.aneurysm,
    }
    if found.location_accuracy is not None:
        metrics |= {
            "temperature_locations": found.calibration.locations,
            "location_accuracy": found.location_accuracy,
            "location_accuracy_none": found.location_accuracy_none,
            "location_auroc_mean": found.location_auroc_mean,
            "location_average_precision_mean": found.location_average_precision_mean,
            "location_auroc_estimable": len(found.estimable),
        }
    for point in found.operating_points:
        metrics |= _point(point)
    for location in found.locations:
        metrics |= _location(location)
    for part in found.slices:
        metrics |= _slice(part)
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _split(name: str, split: SplitAssessment) -> Metrics:
    return {
        **_interval(f"{name}_auroc", split.auroc),
        f"{name}_average_precision": split.average_precision,
        f"{name}_brier": split.reliability.brier,
        f"{name}_brier_uncalibrated": split.uncalibrated.brier,
        f"{name}_brier_of_prevalence": split.brier_of_prevalence,
        f"{name}_log_loss": split.reliability.log_loss,
        f"{name}_log_loss_uncalibrated": split.uncalibrated.log_loss,
        f"{name}_ece": split.reliability.ece,
        f"{name}_ece_uncalibrated": split.uncalibrated.ece,
        f"{name}_ece_by_chance": split.reliability.ece_by_chance,
        f"{name}_studies": split.studies,
        f"{name}_positives": split.positives,
    }


def _point(point: OperatingPoint) -> Metrics:
    metrics: Metrics = {f"{point.name}_threshold": point.threshold}
    shares = {
        "sensitivity": point.test.sensitivity,
        "specificity": point.test.specificity,
        "ppv": point.test.positive_predictive_value,
        "npv": point.test.negative_predictive_value,
    }
    for name, share in shares.items():
        metrics |= _share(f"{point.name}_{name}", share)
    return metrics


def _location(location: LocationAssessment) -> Metrics:
    name = f"location_{location.name}"
    metrics: Metrics = {
        f"{name}_prevalence": location.prevalence.value,
        f"{name}_average_precision": location.average_precision,
        f"{name}_sensitivity": location.sensitivity.value if location.sensitivity else None,
    }
    return metrics | _interval(f"{name}_auroc", location.auroc)


def _slice(part: Slice) -> Metrics:
    name = f"slice_{part.group}_{part.name}".replace(" ", "_")
    return {f"{name}_studies": part.studies, f"{name}_auroc": part.auroc.auroc if part.auroc else None}


def _interval(name: str, interval: AurocInterval | None) -> Metrics:
    if interval is None:
        return {}
    return {name: interval.auroc, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _share(name: str, share: Proportion | None) -> Metrics:
    return {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high} if share else {}
