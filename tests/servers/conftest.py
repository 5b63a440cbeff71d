"""Real servers for `make test-servers`; every one is stopped by the fixture that started it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg2
import pytest

from tests import seaweedfs
from tests.servers.deployed import PASSWORD, Place, mount_secrets, password
from tests.servers.mlflow_server import MlflowServer
from tests.servers.postgres_server import postgres
from tests.unit.infra.built import ALONE, INFRA, overlay, pod


@pytest.fixture(autouse=True)
def no_mlflow_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own machine may point to an MLflow of its own."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server on SQLite that hands on artefacts; its database is `<log's folder>/mlflow.db`."""
    folder = tmp_path_factory.mktemp("mlflow")
    server = MlflowServer(folder, f"sqlite:///{folder}/mlflow.db", str(folder / "artefacts"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Around the servers of an overlay, the fixture's parameter; kind's unless it has one."""
    overlay = getattr(request, "param", "kind")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as servers:
        # The server takes the keys in its environment for its administrator's, who may make buckets by writing.
        patch.setenv("AWS_ACCESS_KEY_ID", "angiopipe")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "angiopipe")
        servers.enter_context(seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")))
        store = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        mounts = {path: tmp_path_factory.mktemp("mount") for path in ("/data", "/dump", "/tmp", "/users")}
        socket = "" if overlay == ALONE else servers.enter_context(database())
        yield Place(overlay, socket, {**mounts, "/script": INFRA / "base/mlflow"}, store)


@contextmanager
def database() -> Iterator[str]:
    """The folder of its socket; it holds MLflow's empty database and user."""
    with postgres() as uri, closing(psycopg2.connect(uri)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create role mlflow login password '{PASSWORD}'")
            cursor.execute("create database mlflow owner mlflow")
        yield connection.info.host


@pytest.fixture(scope="module")
def server(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    mount_secrets(place)
    place.run("mlflow", "users")
    [container] = pod(overlay(place.overlay), "mlflow")["spec"]["containers"]
    own = place.environment(container)
    started = MlflowServer(
        tmp_path_factory.mktemp("mlflow"),
        own["MLFLOW_BACKEND_STORE_URI"],
        own["MLFLOW_ARTIFACTS"],
        variables=own,
    )
    port = started.uri.rpartition(":")[2]
    # Where a pod is reached by its Services, here it is by loopback's address.
    hosts = own["MLFLOW_SERVER_ALLOWED_HOSTS"].replace("5000", port)
    started.environment["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"{hosts},127.0.0.1:{port}"
    started.command += [one for one in container["args"] if one.startswith("--app-name=")]
    started.start()
    yield started
    started.kill()


@pytest.fixture
def log_in(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def log_in(user: str, with_password: str = "") -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", with_password or password(place, user))

    return log_in
