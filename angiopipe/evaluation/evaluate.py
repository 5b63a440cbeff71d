"""The evaluate step: predictions, figures and report of a model on validation and test studies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from angiopipe import storage
from angiopipe.records.manifest import (
    MANIFEST_NAME,
    EvaluationManifest,
    ExamplesManifest,
    ModelManifest,
    OperatingThreshold,
)
from angiopipe.step import run_folder, step

# This module is imported to show a command line's help: what is slow to import waits for the work.
if TYPE_CHECKING:
    from collections.abc import Sequence

    from angiopipe.evaluation.assessment import Assessment
    from angiopipe.evaluation.example_studies import ExampleStudy, Group
    from angiopipe.evaluation.predictions import Predictions
    from angiopipe.evaluation.scoring import ScoredSplit
    from angiopipe.records.manifest import Calibration

log = logging.getLogger(__name__)


@step("evaluate")
def evaluate(
    examples: str, model: str, out: str, report: str, data_root: str, run_id: str = "local"
) -> EvaluationManifest:
    """Evaluates a model on the validation and test studies.

    Args:
      examples: URI of the examples' manifest.
      model: URI of the model's manifest.
      out: where the evaluation's manifest is written.
      report: where the HTML report is written.
      data_root: URI under which runs keep their data; predictions and report lie in
        `runs/<run id>/evaluation/`.
      run_id: names the run.

    Returns:
      The manifest written to `out`.

    Raises:
      ValueError: the examples were not made by the model's preprocessing, or a split lacks studies
        with, or without, an aneurysm.
    """
    from angiopipe import models
    from angiopipe.evaluation.assessment import assess
    from angiopipe.evaluation.calibration import fit_calibration
    from angiopipe.evaluation.predictions import predictions_table, table_csv
    from angiopipe.evaluation.report import Evaluated, render
    from angiopipe.evaluation.scoring import ALL_VIEWS, score
    from angiopipe.training.predict import scorer

    data, trained = ExamplesManifest.read(examples), ModelManifest.read(model)
    check_preprocessing(data, trained)
    forward = scorer(models.load(trained))
    scored = [
        score(forward, data, split, trained.recipe.training.batch_size) for split in ("validation", "test")
    ]
    calibration, _ = fit_calibration(scored[0].labels, scored[0].logits[ALL_VIEWS])
    validation, test = (_predictions(part, calibration) for part in scored)
    found = assess(validation, test)
    _log(found)
    location = storage.join(run_folder(data_root, run_id), "evaluation")
    manifest = _manifest(location, data, trained, scored[1], calibration, found)
    storage.write_text(manifest.predictions_uri, table_csv(predictions_table((validation, test))))
    page = render(Evaluated(data, trained, validation, test, found, _example_studies(data, test, found)))
    storage.write_text(manifest.report_uri, page)
    storage.write_text(report, page)
    manifest.write(storage.join(location, MANIFEST_NAME))
    manifest.write(out)
    return manifest


def check_preprocessing(examples: ExamplesManifest, model: ModelManifest) -> None:
    """Raises ValueError unless the examples were made by the preprocessing the model was trained on."""
    expected = model.recipe.preprocessing.digest()
    if examples.preprocessing_digest != expected:
        raise ValueError(
            f"examples {examples.fingerprint}: expected the preprocessing {expected} of the model's recipe "
            f"{model.recipe.name}, got {examples.preprocessing_digest} ({examples.recipe}): preprocess the "
            "studies with the model's recipe"
        )


def _predictions(part: ScoredSplit, calibration: Calibration) -> Predictions:
    from angiopipe.evaluation.predictions import Predictions
    from angiopipe.evaluation.scoring import ALL_VIEWS

    return Predictions(
        part.split, part.indices, part.labels, part.logits[ALL_VIEWS], part.present, calibration
    )


def _manifest(
    location: str,
    examples: ExamplesManifest,
    model: ModelManifest,
    test: ScoredSplit,
    calibration: Calibration,
    found: Assessment,
) -> EvaluationManifest:
    from angiopipe.evaluation.assessment import flat_metrics
    from angiopipe.evaluation.fingerprint import studies_fingerprint

    return EvaluationManifest(
        location=location,
        examples_fingerprint=examples.fingerprint,
        data_fingerprint=examples.data_fingerprint,
        weights_sha256=model.weights_sha256,
        test_fingerprint=studies_fingerprint(test.indices, test.labels, test.sha256),
        calibration=calibration,
        operating_points=tuple(
            OperatingThreshold(name=point.name, rule=point.rule, threshold=point.threshold)
            for point in found.operating_points
        ),
        metrics=flat_metrics(found),
        roc=found.test.roc,
    )


def _example_studies(
    examples: ExamplesManifest, test: Predictions, found: Assessment
) -> Sequence[tuple[Group, Sequence[ExampleStudy]]]:
    from angiopipe.evaluation.example_studies import choose, illustrate, read_examples

    groups = choose(test, found.operating_points[0].threshold)
    records = read_examples(examples, "test", {test.indices[row] for group in groups for row in group.rows})
    return [
        (group, [illustrate(test, row, records[test.indices[row]]) for row in group.rows]) for group in groups
    ]


def _log(found: Assessment) -> None:
    auroc = found.test.auroc
    log.info(
        "AUROC %.3f (95 %% interval %.3f to %.3f) over %d test studies, %d with an aneurysm",
        auroc.auroc, auroc.low, auroc.high, found.test.studies, found.test.positives,
    )  # fmt: skip
    if found.location_accuracy is not None:
        log.info(
            "accuracy over locations %.3f; always saying none scores %.3f",
            found.location_accuracy, found.location_accuracy_none,
        )  # fmt: skip
