"""A model's files and its version in the registry, each made once however often the step is run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from angiopipe.records.manifest import EvaluationManifest, ModelManifest
from angiopipe.registry.tracking import RUN_FOLDER_TAG, WEIGHTS_TAG, Tracking


def begin_model(tracking: Tracking, tags: Mapping[str, str], params: Mapping[str, str]) -> LoggedModel:
    """The run's model in MLflow, as an earlier attempt left it, or new and still without files.

    Metrics can be linked to it from then on.
    """
    client, info = tracking.client, tracking.run.info

    def find_or_create() -> LoggedModel:
        found = client.search_logged_models(
            [info.experiment_id],
            f"source_run_id = '{info.run_id}' AND tags.{WEIGHTS_TAG} = '{tracking.key.weights_sha256}'",
        )
        model = found[0] if found else None
        if model is None:
            model = client.create_logged_model(
                info.experiment_id, "model", info.run_id, {**tags, **tracking.key.tags}, dict(params)
            )
        # MLflow refuses an output that it has.
        outputs = client.get_run(info.run_id).outputs
        if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            client.log_outputs(info.run_id, [LoggedModelOutput(model.model_id, step=0)])
        return model

    return tracking.ask("adding the model to the run", find_or_create)


def store_model(
    tracking: Tracking, model: LoggedModel, trained: ModelManifest, evaluated: EvaluationManifest
) -> None:
    """Packages the model and stores its files, unless an earlier attempt has stored them all and they are still there."""
    client = tracking.client
    if model.status == LoggedModelStatus.READY and tracking.ask(
        "looking for the model's files", lambda: has_files(f"models:/{model.model_id}")
    ):
        return
    with _packaged(tracking.run_id, model, trained, evaluated) as folder:
        tracking.ask(
            "storing the model's files", lambda: client.log_model_artifacts(model.model_id, str(folder))
        )
    tracking.ask("finishing the model", lambda: client.finalize_logged_model(model.model_id, "READY"))


def has_files(uri: str) -> bool:
    """Whether the store has a model's files, `models:/...`, told by its MLmodel: some stores keep empty folders."""
    import mlflow

    return any(file.path.rpartition("/")[2] == "MLmodel" for file in mlflow.artifacts.list_artifacts(uri))


def add_version(tracking: Tracking, model: LoggedModel, name: str, tags: Mapping[str, str]) -> int:
    """The version of registered model `name` that is this run's model; added unless it is there.

    Returns:
      The version's number, counted by MLflow from 1.
    """
    client, key = tracking.client, tracking.key
    source = f"models:/{model.model_id}"

    def find_or_create() -> ModelVersion:
        versions = client.search_model_versions(
            f"name = '{name}' AND tags.{WEIGHTS_TAG} = '{key.weights_sha256}'"
        )
        for version in versions:
            if version.tags.get(RUN_FOLDER_TAG) == key.folder:
                return version
        _ensure_registered_model(tracking, name)
        return client.create_model_version(
            name, source, tracking.run_id, {**tags, **key.tags}, model_id=model.model_id
        )

    return int(tracking.ask(f"adding a version to {name}", find_or_create).version)


def _ensure_registered_model(tracking: Tracking, name: str) -> None:
    try:
        tracking.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _packaged(
    run_id: str, model: LoggedModel, trained: ModelManifest, evaluated: EvaluationManifest
) -> Iterator[Path]:
    """A folder with the model as MLflow loads it: predictor, code, weights, requirements, example."""
    import mlflow

    from angiopipe.registry import package

    described = mlflow.models.Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        run_id=run_id,
        model_id=model.model_id,
    )
    with (
        tempfile.TemporaryDirectory(prefix="angiopipe-") as parent,
        package.contents(trained, evaluated) as contents,
    ):
        folder = Path(parent) / "model"
        mlflow.pyfunc.save_model(str(folder), mlflow_model=described, **contents)
        yield folder
