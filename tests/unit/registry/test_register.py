"""What a run holds in MLflow, and that a rerun adds nothing; on SQLite."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from angiopipe.records.manifest import EvaluationManifest, Member, ModelManifest, ensemble_sha256
from angiopipe.registry.register import RegistrationManifest, register
from angiopipe.registry.tracking import LostRun, RunKey, open_run
from angiopipe.storage import file_sha256
from tests import finished_run

NAME = "aneurysm-detector"


class Registered(NamedTuple):
    """A run that was registered, and how."""

    arguments: dict[str, Any]
    registration: RegistrationManifest
    client: MlflowClient

    @property
    def evaluation(self) -> EvaluationManifest:
        return EvaluationManifest.read(self.arguments["evaluation"])

    @property
    def run(self) -> Run:
        return self.client.get_run(self.registration.mlflow_run_id)

    def contents(self) -> dict[str, Any]:
        """Everything that a rerun could double."""
        run, client = self.run, self.client
        return {
            "runs": [run.info.run_id for run in client.search_runs([run.info.experiment_id])],
            "versions": [v.version for v in client.search_model_versions(f"name = '{NAME}'")],
            "models": [m.model_id for m in client.search_logged_models([run.info.experiment_id])],
            "outputs": [output.model_id for output in run.outputs.model_outputs],
            "inputs": len(run.inputs.dataset_inputs),
            "metrics": {
                name: [
                    (m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)
                ]
                for name in run.data.metrics
            },
        }


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    root = tmp_path_factory.mktemp("data's root")  # A quotation mark breaks naive filters.
    arguments = finished_run.write_run(root)
    registration = register(**arguments)
    return Registered(arguments, registration, MlflowClient(registration.tracking_uri))


def files(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    found = set[str]()
    for item in client.list_artifacts(run_id, folder):
        found |= files(client, run_id, item.path) if item.is_dir else {item.path}
    return found


@pytest.mark.slow
def test_an_ensembles_run_tells_each_members_epoch_and_none_of_its_own(tmp_path: Path) -> None:
    arguments = finished_run.write_run(tmp_path)
    model, evaluation = (
        ModelManifest.read(arguments["model"]),
        EvaluationManifest.read(arguments["evaluation"]),
    )
    members = []
    for number, (epoch, auroc) in enumerate([(2, 0.6), (3, 0.7)]):
        weights = shutil.copy(model.weights_uri, f"{model.location}/member-{number}.weights.h5")
        sha256 = file_sha256(Path(weights))
        members.append(
            Member(weights=Path(weights).name, weights_sha256=sha256, best_epoch=epoch, fold_auroc=auroc)
        )
    named = {"weights_sha256": ensemble_sha256(members)}
    model.model_copy(update={**named, "best_epoch": 0, "members": tuple(members)}).write(arguments["model"])
    evaluation.model_copy(update=named).write(arguments["evaluation"])
    registration = register(**arguments)
    metrics = MlflowClient(registration.tracking_uri).get_run(registration.mlflow_run_id).data.metrics
    assert "best_epoch" not in metrics
    for number, member in enumerate(members):
        assert metrics[f"member-{number}/best_epoch"] == member.best_epoch
        assert metrics[f"member-{number}/fold_auroc"] == member.fold_auroc


@pytest.mark.slow
def test_parameters_are_the_recipes_fields(registered: Registered) -> None:
    params = registered.run.data.params
    assert params["preprocessing.size"] == "32"
    assert params["training.learning_rate"] == str(finished_run.RECIPE.training.learning_rate)
    assert params["seed"] == "0"


@pytest.mark.slow
def test_every_epoch_is_a_step(registered: Registered) -> None:
    client, run = registered.client, registered.run
    for name in ("loss", "validation_loss", "validation_auroc", "learning_rate", "studies_per_second"):
        history = client.get_metric_history(run.info.run_id, f"epoch/{name}")
        assert [(m.step, m.value) for m in history] == [
            (epoch.epoch, pytest.approx(getattr(epoch, name))) for epoch in finished_run.EPOCHS
        ]
        assert history[1].timestamp - history[0].timestamp == 2500  # an epoch's seconds


@pytest.mark.slow
def test_figures_and_steps(registered: Registered) -> None:
    metrics = registered.run.data.metrics
    assert metrics.items() >= registered.registration.metrics.items()
    assert metrics["step/train/seconds"] == 30
    assert metrics["step/train/peak_mb"] == 700
    assert metrics["best_epoch"] == 3
    info = registered.run.info
    assert info.status == "FINISHED"
    assert info.end_time - info.start_time >= 34_000  # the steps' seconds before this one


@pytest.mark.slow
def test_the_data_set_is_an_input_of_each_split(registered: Registered) -> None:
    inputs = registered.run.inputs.dataset_inputs
    assert {i.tags[0].value: json.loads(i.dataset.profile)["studies"] for i in inputs} == finished_run.STUDIES
    assert {i.tags[0].key for i in inputs} == {"mlflow.data.context"}
    assert {i.dataset.digest for i in inputs} == {finished_run.FINGERPRINT}
    location = json.loads(inputs[0].dataset.source)["uri"]
    assert location == f"{registered.arguments['data_root']}/examples/{finished_run.EXAMPLES}"


@pytest.mark.slow
def test_pages_tables_and_pictures(registered: Registered) -> None:
    client, run_id = registered.client, registered.run.info.run_id
    points = registered.evaluation.operating_points
    assert files(client, run_id) == {
        "card.md", "environment.json", "history.csv", "predictions.csv", "report.html", "pictures/roc.png",
        *(f"pictures/confusion_{point.name}.png" for point in points),
    }  # fmt: skip
    assert len(points) > 1
    for name in ("roc", "confusion_youden"):
        path = Path(client.download_artifacts(run_id, f"pictures/{name}.png"))
        assert path.read_bytes().startswith(b"\x89PNG")
    environment = json.loads(Path(client.download_artifacts(run_id, "environment.json")).read_text())
    assert environment["hardware"]["cores"] >= 1
    assert environment["packages"]["mlflow"]


@pytest.mark.slow
def test_metrics_of_the_test_split_belong_to_the_model_and_the_data(registered: Registered) -> None:
    version = registered.client.get_model_version_by_alias(NAME, "challenger")
    assert version.tags["weights_sha256"] == registered.run.data.tags["weights_sha256"]
    model = registered.client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.status == "READY"
    linked = {metric.key: metric for metric in model.metrics}
    assert linked["test_auroc"].value == registered.registration.metrics["test_auroc"]
    assert linked["test_auroc"].dataset_name == "angiograms-test"
    assert linked["test_auroc"].dataset_digest == finished_run.FINGERPRINT


@pytest.mark.slow
def test_a_rerun_goes_on_with_the_same_run_and_adds_nothing(registered: Registered) -> None:
    before = registered.contents()
    assert register(**registered.arguments) == registered.registration
    assert registered.contents() == before
    assert registered.run.info.status == "FINISHED"


@pytest.mark.slow
def test_other_weights_under_the_same_run_id_are_another_run(registered: Registered, tmp_path: Path) -> None:
    other = finished_run.write_run(tmp_path, seed=1)
    again = register(**{**registered.arguments, "model": other["model"], "evaluation": other["evaluation"]})
    assert again.mlflow_run_id != registered.registration.mlflow_run_id
    assert again.version == registered.registration.version + 1


@pytest.mark.slow
def test_a_registration_leaves_the_next_one_its_own_database(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "other")]
    registrations = [register(**finished_run.write_run(root)) for root in roots]
    assert [made.tracking_uri for made in registrations] == [f"sqlite:///{root}/mlflow.db" for root in roots]
    assert [made.version for made in registrations] == [1, 1]


@pytest.mark.slow
def test_mlflows_own_variables_are_honoured(
    registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = registered.client
    experiment = client.create_experiment("of the platform", str(tmp_path / "artefacts"))
    injected = client.create_run(experiment, run_name="of the platform").info.run_id
    arguments = finished_run.write_run(tmp_path, "r2", seed=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered.registration.tracking_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    began = register(**arguments)
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    found = register(**arguments)
    assert client.get_run(began.mlflow_run_id).info.experiment_id == experiment
    assert found.mlflow_run_id == injected
    assert found.version == began.version  # the same model of the same run is not registered twice
    run = client.get_run(injected)
    assert run.data.metrics["epoch/loss"] == pytest.approx(0.3)
    assert run.info.status == "RUNNING"  # it ends with whoever started it
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_an_unknown_run_id_is_named(registered: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
    with pytest.raises(ValueError, match=f"looking for the run MLFLOW_RUN_ID={'f' * 32}: .*not found"):
        register(**registered.arguments)


@pytest.mark.slow
def test_files_that_were_lost_are_stored_anew_and_add_no_version(registered: Registered) -> None:
    [output] = registered.run.outputs.model_outputs
    [folder] = Path(registered.arguments["data_root"]).rglob(output.model_id)
    before = set(folder.rglob("*"))
    shutil.rmtree(folder)
    assert register(**registered.arguments) == registered.registration
    assert set(folder.rglob("*")) == before


def test_a_run_that_is_not_there_any_more_is_told_and_begun_anew(
    registered: Registered, tmp_path: Path
) -> None:
    """As of a database that was restored to an earlier point."""
    key = RunKey(str(tmp_path), "flying", "f" * 64)
    with pytest.raises(LostRun) as lost, open_run(registered.registration.tracking_uri, 5, key) as tracking:
        forget(registered.registration.tracking_uri, tracking.run_id)
        tracking.ask("logging", lambda: tracking.client.log_param(tracking.run_id, "a", "b"))
    assert f"expected the run {tracking.run_id}, which this step had begun, found none" in str(lost.value)
    assert "start the step again with the same run id (flying)" in str(lost.value)
    with open_run(registered.registration.tracking_uri, 5, key) as again:
        assert again.run_id != tracking.run_id


def forget(uri: str, run_id: str) -> None:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        for table in ("tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", [run_id])


def test_a_run_that_failed_is_marked(registered: Registered, tmp_path: Path) -> None:
    arguments = finished_run.write_run(tmp_path, "broken", seed=3)
    (tmp_path / "runs" / "broken" / "model" / "history.csv").unlink()
    with pytest.raises(FileNotFoundError):
        register(**{**arguments, "tracking_uri": registered.registration.tracking_uri})
    [run] = registered.client.search_runs(
        [registered.run.info.experiment_id], "attributes.run_name = 'broken'"
    )
    assert run.info.status == "FAILED"
