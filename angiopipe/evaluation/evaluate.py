"""The evaluate step: predictions, figures, report and model card, from validation and test studies."""

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
from angiopipe.step import record_figures, run_folder, step

# This module is imported to show a command line's help: what is slow to import waits for the work.
if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from angiopipe.evaluation.assessment import Assessment
    from angiopipe.evaluation.evaluated import Evaluated
    from angiopipe.evaluation.example_studies import ExampleStudy, Group
    from angiopipe.evaluation.predictions import Predictions
    from angiopipe.evaluation.scoring import ScoredSplit

log = logging.getLogger(__name__)


@step("evaluate")
def evaluate(
    examples: str, model: str, out: str, report: str, data_root: str, run_id: str = "local", card: str = ""
) -> EvaluationManifest:
    """Evaluates a model on the validation and test studies.

    Args:
      examples: URI of the examples' manifest.
      model: URI of the model's manifest.
      out: where the evaluation's manifest is written.
      report: where the HTML report is written.
      data_root: URI under which runs keep their data; predictions, report and model card lie in
        `runs/<run id>/evaluation/`.
      run_id: names the run.
      card: where the model card is written as Markdown too; empty leaves it in the run's folder alone.

    Returns:
      The manifest written to `out`.

    Raises:
      ValueError: the examples were not made by the model's preprocessing, lack clinical variables that
        it takes, or a split lacks studies
        with, or without, an aneurysm.
    """
    from angiopipe import models
    from angiopipe.evaluation.assessment import assess
    from angiopipe.evaluation.calibration import calibrated
    from angiopipe.evaluation.evaluated import Evaluated
    from angiopipe.evaluation.scoring import score
    from angiopipe.evaluation.slices import PROJECTIONS
    from angiopipe.training.predict import scorer

    data, trained = ExamplesManifest.read(examples), ModelManifest.read(model)
    check_preprocessing(data, trained)
    data.require_clinical(trained.recipe)
    network = models.load(trained)
    forward, batch_size = scorer(network), trained.recipe.training.batch_size
    held_out = score(forward, data, "validation", batch_size)
    frozen = score(forward, data, "test", batch_size, PROJECTIONS)
    validation, test, projections, untouched = calibrated(held_out, frozen)
    found = assess(validation, test, projections)
    _log(found)
    location = storage.join(run_folder(data_root, run_id), "evaluation")
    manifest = _manifest(location, data, trained, frozen, found)
    studies = _example_studies(network, data, test, found)
    _write(Evaluated(data, trained, manifest, validation, test, found, untouched, studies), report, card)
    manifest.write(storage.join(location, MANIFEST_NAME))
    manifest.write(out)
    seen = len(validation.indices) + len(test.indices)
    record_figures(studies_in=seen, studies_out=seen)
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


def _manifest(
    location: str, examples: ExamplesManifest, model: ModelManifest, test: ScoredSplit, found: Assessment
) -> EvaluationManifest:
    from angiopipe.evaluation.fingerprint import studies_fingerprint
    from angiopipe.evaluation.flat_metrics import flat_metrics

    return EvaluationManifest(
        location=location,
        examples_fingerprint=examples.fingerprint,
        data_fingerprint=examples.data_fingerprint,
        weights_sha256=model.weights_sha256,
        test_fingerprint=studies_fingerprint(test.indices, test.labels, test.sha256, test.clinical),
        calibration=found.calibration,
        operating_points=tuple(
            OperatingThreshold(name=point.name, rule=point.rule, threshold=point.threshold)
            for point in found.operating_points
        ),
        metrics=flat_metrics(found),
        roc=found.test.roc,
    )


def _example_studies(
    network: keras.Model, examples: ExamplesManifest, test: Predictions, found: Assessment
) -> Sequence[tuple[Group, Sequence[ExampleStudy]]]:
    from angiopipe import models
    from angiopipe.evaluation.example_studies import choose, illustrate, read_examples

    groups, evidence = choose(test, found.deciding.threshold), models.evidence(network)
    records = read_examples(examples, "test", {test.indices[row] for group in groups for row in group.rows})
    return [
        (group, [illustrate(test, row, records[test.indices[row]], evidence) for row in group.rows])
        for group in groups
    ]


def _write(evaluated: Evaluated, report: str, card: str) -> None:
    """Writes the predictions, the report and the model card."""
    from angiopipe.evaluation import card as model_card
    from angiopipe.evaluation.predictions import predictions_table, table_csv
    from angiopipe.evaluation.report import render

    manifest, page, text = evaluated.evaluation, render(evaluated), model_card.markdown(evaluated)
    table = table_csv(predictions_table((evaluated.validation, evaluated.test)))
    storage.write_text(manifest.predictions_uri, table)
    storage.write_text(manifest.card_uri, text)
    storage.write_text(manifest.card_page_uri, model_card.page(evaluated))
    if card:
        storage.write_text(card, text)
    for uri in (manifest.report_uri, report):
        storage.write_text(uri, page)


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
