"""A real MLflow registry on SQLite, with versions that no test needs to load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: its migrations take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def tracking_uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri)


@pytest.fixture
def add_versions(client: MlflowClient, tmp_path: Path) -> Callable[[int], list[int]]:
    """Registers so many versions of the model "detector", each with a run of its own."""

    def add(count: int) -> list[int]:
        experiment = client.create_experiment(f"tests-{count}", f"{tmp_path}/artefacts")
        client.create_registered_model("detector")
        versions = []
        for _ in range(count):
            run = client.create_run(experiment)
            found = client.create_model_version("detector", f"{run.info.artifact_uri}/model", run.info.run_id)
            versions.append(int(found.version))
        return versions

    return add
