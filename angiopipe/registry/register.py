"""The register step: a trained and evaluated model becomes a version in MLflow's registry."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal

from angiopipe import defaults, sqlite, storage
from angiopipe.records.manifest import EvaluationManifest, Manifest, ModelManifest
from angiopipe.registry.pointed import point_mlflow_at, quieten_mlflow
from angiopipe.step import step

if TYPE_CHECKING:
    from angiopipe.registry.tracking import Tracking

log = logging.getLogger(__name__)


class RegistrationManifest(Manifest):
    """One version in the registry.

    Attributes:
      tracking_uri: of the MLflow server or database.
      model_name: the registered model.
      version: counted by MLflow from 1.
      aliases: those that point to this version.
      mlflow_run_id: the run that holds parameters, metrics and report.
      metrics: those of the evaluation.
      report_uri: of the HTML report.
    """

    kind: Literal["registration"] = "registration"
    tracking_uri: str
    model_name: str
    version: int
    aliases: tuple[str, ...]
    mlflow_run_id: str
    metrics: dict[str, float]
    report_uri: str


@step("register")
def register(
    model: str,
    evaluation: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    experiment: str = "",
    patience: float = defaults.MLFLOW_PATIENCE,
) -> RegistrationManifest:
    """Logs a run to MLflow and registers its model as challenger.

    Started again with the same run id and model it goes on with the same MLflow run, and adds nothing
    that is there already.

    Args:
      model: URI of the model's manifest.
      evaluation: URI of the evaluation's manifest.
      out: where the registration's manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      tracking_uri: MLflow's server or database; empty is MLFLOW_TRACKING_URI, else an SQLite database
        under the data root.
      model_name: the registered model to add a version to.
      experiment: the MLflow experiment to log to; empty is MLFLOW_EXPERIMENT_ID or
        MLFLOW_EXPERIMENT_NAME, else "angiopipe". MLFLOW_RUN_ID names the run, and its experiment.
      patience: seconds that MLflow may be silent before the step fails.

    Raises:
      ValueError: the evaluation is of other weights, the data root is remote and no tracking_uri is
        given, or MLflow does not accept what it is told.
      MlflowAway: MLflow stayed silent; the step can be started again.
      MlflowRefused: MLflow does not let us in.
    """
    quieten_mlflow()
    from angiopipe.registry.patience import shown, single_attempts
    from angiopipe.registry.tracking import RunKey, open_run

    trained, evaluated = ModelManifest.read(model), EvaluationManifest.read(evaluation)
    _check_same_weights(trained, evaluated)
    key = RunKey(data_root, run_id, trained.weights_sha256)
    uri = tracking_uri_of(tracking_uri, data_root)
    point_mlflow_at(uri)
    with single_attempts(), open_run(uri, patience, key, experiment, _seconds_so_far(key.folder)) as tracking:
        version = _log_and_register(tracking, trained, evaluated, model_name)
        aliases = tracking.ask("moving aliases", lambda: _make_challenger(model_name, version, run_id))
    registration = RegistrationManifest(
        tracking_uri=shown(uri),
        model_name=model_name,
        version=version,
        aliases=aliases,
        mlflow_run_id=tracking.run_id,
        metrics=evaluated.metrics,
        report_uri=evaluated.report_uri,
    )
    registration.write(out)
    registration.write(storage.join(key.folder, "registration.json"))
    log.info(
        "register: %s version %d (%s) in %s",
        model_name,
        version,
        ", ".join(aliases),
        registration.tracking_uri,
    )
    return registration


def tracking_uri_of(parameter: str, data_root: str) -> str:
    """The parameter, else MLFLOW_TRACKING_URI, else the database under the data root."""
    return parameter or os.environ.get("MLFLOW_TRACKING_URI", "") or local_tracking_uri(data_root)


def local_tracking_uri(data_root: str) -> str:
    """The SQLite database that stands in for a server on one machine."""
    if not storage.is_local(data_root):
        raise ValueError(
            f"data root {data_root}: expected a tracking_uri (or MLFLOW_TRACKING_URI) beside a remote "
            "data root, got none"
        )
    return sqlite.uri_of(storage.join(storage.absolute(data_root), "mlflow.db"))


def _check_same_weights(trained: ModelManifest, evaluated: EvaluationManifest) -> None:
    if trained.weights_sha256 != evaluated.weights_sha256:
        raise ValueError(
            f"expected an evaluation of the weights {trained.weights_sha256[:16]}, "
            f"found one of {evaluated.weights_sha256[:16]}: evaluate the model again"
        )


def _seconds_so_far(folder: str) -> float:
    """Of the run's steps, so that the run in MLflow lasts as long as the pipeline's."""
    from angiopipe.registry.run_log import step_records

    return sum(record["seconds"] for record in step_records(folder))


def _log_and_register(
    tracking: Tracking, trained: ModelManifest, evaluated: EvaluationManifest, model_name: str
) -> int:
    """Fills the run and returns the version; every part may have been done by an earlier attempt."""
    from angiopipe.registry import run_log, versions
    from angiopipe.registry.datasets import log_datasets
    from angiopipe.registry.news import source_tags

    run_log.log_settings(tracking, trained, evaluated)
    log_datasets(tracking, trained)
    run_log.log_epochs(tracking, trained)
    tags = {**run_log.tags_of(trained), **source_tags(tracking.key.folder), "run": tracking.key.run_id}
    logged = versions.begin_model(tracking, tags, run_log.settings(trained))
    run_log.log_figures(tracking, trained, evaluated, logged.model_id)
    run_log.log_files(tracking, trained, evaluated)
    versions.store_model(tracking, logged, trained, evaluated)
    auroc = {"test_auroc": f"{evaluated.metrics['test_auroc']:.4f}"}
    return versions.add_version(tracking, logged, model_name, {**tags, **auroc})


def _make_challenger(model_name: str, version: int, run_id: str) -> tuple[str, ...]:
    """Points `challenger` to the version; `champion` moves through the gate alone."""
    from mlflow import MlflowClient

    from angiopipe.registry.aliases import CHALLENGER, Aliases

    Aliases(MlflowClient(), model_name).point(CHALLENGER, version, f"registered by run {run_id}", "register")
    return (CHALLENGER,)
