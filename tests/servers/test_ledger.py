"""The ledger through a real MLflow server: moves over HTTP, and processes that promote at once."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.champion import describe
from tests.unit.registry.racers import race

pytestmark = pytest.mark.servers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """MLflow's own server with two workers on an SQLite database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "2",
        ),
        *(
            "--backend-store-uri",
            f"sqlite:///{tmp_path}/mlflow.db",
            "--artifacts-destination",
            str(tmp_path / "a"),
        ),
    ]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait(uri, process, tmp_path / "server.log")
        yield uri
    finally:
        process.terminate()
        process.wait(30)


def _wait(uri: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def test_the_ledger_over_http(server):
    client = MlflowClient(server)
    experiment = client.create_experiment("tests")
    client.create_registered_model("detector")
    for _ in range(3):
        run = client.create_run(experiment)
        client.create_model_version("detector", f"{run.info.artifact_uri}/model", run.info.run_id)
    champions = race(server, [1, 2, 3], rounds=4)
    aliases = Aliases(client, "detector")
    found = aliases.read(CHAMPION)
    assert [item.entry.target for item in found.counted] == champions
    assert len(found.lost) == 4 * 2
    assert found.missing == ()
    assert aliases.current(CHAMPION) == champions[-1]
    table = describe(aliases)
    assert table.count("promote (lost)") == 8
    assert table.splitlines()[-2] == f"champion: version {champions[-1]}"
