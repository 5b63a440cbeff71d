"""Real servers for `make test-servers`; every one is stopped by the fixture that started it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.mlflow_server import MlflowServer


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
