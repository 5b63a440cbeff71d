"""Register against an MLflow server on PostgreSQL and S3 that asks for a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import mlflow
import pandas as pd
import psycopg2
import pytest
from mlflow import MlflowClient

from angiopipe.registry import package
from angiopipe.registry.login import MlflowRefused
from angiopipe.registry.pointed import point_mlflow_at
from angiopipe.registry.register import RegistrationManifest, register
from tests import finished_run, seaweedfs
from tests.servers.mlflow_server import MlflowServer
from tests.servers.postgres_server import postgres

pytestmark = pytest.mark.servers

ADMIN = ("admin", "a-long-password-1")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as uri:
        yield uri


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A PostgreSQL's URI with the driver named."""
    with postgres() as uri:
        yield uri.replace("postgresql://", "postgresql+psycopg2://", 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: str, bucket: str) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow")
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder}/users.db\nadmin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "not for use"}
    started = MlflowServer(folder, database, bucket, "--app-name", "basic-auth", variables=variables)
    started.start()
    yield started
    started.kill()


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return finished_run.write_run(tmp_path_factory.mktemp("root"), "shared")


@pytest.mark.parametrize(
    ("password", "told"),
    {
        "": "it asks for a password, .*; set both",
        "a-wrong-password": "it does not let .* in with this",
    }.items(),
)
def test_without_the_password_nothing_is_logged(
    server: MlflowServer, arguments: dict, monkeypatch: pytest.MonkeyPatch, password: str, told: str
) -> None:
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(MlflowRefused, match=told):
        register(**arguments, tracking_uri=server.uri)


@pytest.mark.usefixtures("logged_in")
def test_the_run_lies_in_postgres_and_its_files_in_s3(
    server: MlflowServer, arguments: dict, database: str, bucket: str
) -> None:
    registration = register(**arguments, tracking_uri=server.uri)
    assert register(**arguments, tracking_uri=server.uri) == registration
    assert rows(database, "select count(*) from metrics where key = 'epoch/loss'") == len(finished_run.EPOCHS)
    versions = "select count(*) from model_versions where name = '{}'"
    assert rows(database, versions.format(registration.model_name)) == 1
    assert rows(database, versions.format(f"{registration.model_name}-ledger")) == 1
    assert rows(database, "select count(*) from datasets") == 3
    stored = objects(bucket)
    assert sum(name.endswith(f"{registration.mlflow_run_id}/artifacts/report.html") for name in stored) == 1
    assert sum(name.endswith("model.weights.h5") and "/models/m-" in name for name in stored) == 1
    check_model(server, registration)


def check_model(server: MlflowServer, registration: RegistrationManifest) -> None:
    """What was registered loads from S3 through the server, and scores a study."""
    point_mlflow_at(server.uri)
    model = mlflow.pyfunc.load_model(f"models:/{registration.model_name}@challenger")
    scored = model.predict(package.input_example())
    assert isinstance(scored, pd.DataFrame)
    assert 0 <= scored["Aneurysm"].iloc[0] <= 1
    run = MlflowClient(server.uri).get_run(registration.mlflow_run_id)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")  # no client needs the keys of the store
    report = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="report.html"))
    assert "report" in report.read_text()


def rows(database: str, query: str) -> int:
    with psycopg2.connect(database.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def objects(bucket: str) -> list[str]:
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket.removeprefix("s3://"))
    return [item["Key"] for page in pages for item in page.get("Contents", [])]
