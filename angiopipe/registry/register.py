"""The register step: a trained and evaluated model becomes a version in MLflow's registry."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Literal

from angiopipe import defaults, storage
from angiopipe.records.manifest import EvaluationManifest, Manifest, ModelManifest
from angiopipe.step import run_folder, step

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
    experiment: str = defaults.EXPERIMENT,
) -> RegistrationManifest:
    """Logs a run to MLflow and registers its model as challenger, as champion too if there is none.

    Args:
      model: URI of the model's manifest.
      evaluation: URI of the evaluation's manifest.
      out: where the registration's manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      tracking_uri: MLflow's server or database; empty is an SQLite database under the data root.
      model_name: the registered model to add a version to.
      experiment: the MLflow experiment to log to.

    Raises:
      ValueError: the evaluation is of other weights, or the data root is remote and no
        tracking_uri is given.
    """
    # MLflow reads these when it is imported; its bars of two files are noise in a step's log.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A hospital's machine tells nobody what it registers.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    trained, evaluated = ModelManifest.read(model), EvaluationManifest.read(evaluation)
    if trained.weights_sha256 != evaluated.weights_sha256:
        raise ValueError(
            f"expected an evaluation of the weights {trained.weights_sha256[:16]}, "
            f"found one of {evaluated.weights_sha256[:16]}: evaluate the model again"
        )
    tracking_uri = tracking_uri or local_tracking_uri(data_root)
    mlflow.set_tracking_uri(tracking_uri)
    _open_experiment(experiment, tracking_uri, data_root)
    with mlflow.start_run(run_name=run_id) as run:
        _log_run(trained, evaluated)
        version = _register_version(trained, evaluated, model_name, run_id)
    registration = RegistrationManifest(
        tracking_uri=tracking_uri,
        model_name=model_name,
        version=version,
        aliases=_move_aliases(model_name, version),
        mlflow_run_id=run.info.run_id,
        metrics=evaluated.metrics,
        report_uri=evaluated.report_uri,
    )
    registration.write(out)
    registration.write(storage.join(run_folder(data_root, run_id), "registration.json"))
    log.info(
        "register: %s version %d (%s) in %s",
        model_name,
        version,
        ", ".join(registration.aliases),
        tracking_uri,
    )
    return registration


def local_tracking_uri(data_root: str) -> str:
    """The SQLite database that stands in for a server on one machine."""
    if not storage.is_local(data_root):
        raise ValueError(
            f"data root {data_root}: expected a tracking_uri beside a remote data root, got none"
        )
    return f"sqlite:///{storage.absolute(data_root)}/mlflow.db"


def _open_experiment(name: str, tracking_uri: str, data_root: str) -> None:
    """Makes the experiment if need be; on SQLite its artefacts lie beside the database."""
    import mlflow

    if mlflow.get_experiment_by_name(name) is None:
        beside = f"{storage.absolute(data_root)}/mlartifacts" if tracking_uri.startswith("sqlite") else None
        mlflow.create_experiment(name, artifact_location=beside)
    mlflow.set_experiment(name)


def _log_run(trained: ModelManifest, evaluated: EvaluationManifest) -> None:
    import mlflow

    mlflow.set_tags({"recipe": trained.recipe.name, "data_fingerprint": trained.data_fingerprint})
    mlflow.log_params({**_flat(trained.recipe.model_dump(mode="json")), "seed": trained.seed})
    mlflow.log_metrics(evaluated.metrics)
    for uri in (evaluated.report_uri, evaluated.predictions_uri, trained.history_uri):
        with storage.staged(uri) as path:
            mlflow.log_artifact(str(path))


def _register_version(
    trained: ModelManifest, evaluated: EvaluationManifest, model_name: str, run_id: str
) -> int:
    import mlflow

    from angiopipe.registry import package

    with package.contents(trained, evaluated) as contents:
        logged = mlflow.pyfunc.log_model(name="model", **contents)
    version = mlflow.register_model(
        logged.model_uri,
        model_name,
        tags={
            "recipe": trained.recipe.name,
            "recipe_digest": trained.recipe.digest(),
            "data_fingerprint": trained.data_fingerprint,
            "examples_fingerprint": trained.examples_fingerprint,
            "weights_sha256": trained.weights_sha256,
            "run": run_id,
            "test_auroc": f"{evaluated.metrics['test_auroc']:.4f}",
        },
    )
    return int(version.version)


def _move_aliases(model_name: str, version: int) -> tuple[str, ...]:
    """Points `challenger` to the version, and `champion` too where nothing is champion yet."""
    from mlflow import MlflowClient

    client = MlflowClient()
    client.set_registered_model_alias(model_name, "challenger", str(version))
    if "champion" in client.get_registered_model(model_name).aliases:
        return ("challenger",)
    client.set_registered_model_alias(model_name, "champion", str(version))
    return ("champion", "challenger")


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under their dotted names, as recipe overrides spell them."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        path = f"{prefix}{name}"
        flat.update(_flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value})
    return flat
