"""MLflow goes away while the step runs: nothing is lost, nothing is there twice."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from angiopipe.registry.register import RegistrationManifest, register
from tests import finished_run
from tests.servers.lossy_proxy import lossy
from tests.servers.mlflow_server import MlflowServer

pytestmark = pytest.mark.servers


def check_whole(uri: str, registration: RegistrationManifest) -> None:
    """The run is there once, with all it should hold, and so are its model and version."""
    client, run_id = MlflowClient(uri), registration.mlflow_run_id
    run = client.get_run(run_id)
    folder = run.data.tags["run_folder"]
    same = [r for r in client.search_runs([run.info.experiment_id]) if r.data.tags["run_folder"] == folder]
    assert [r.info.run_id for r in same] == [run_id]
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "epoch/loss")) == len(finished_run.EPOCHS)
    assert len(client.get_metric_history(run_id, "test_auroc")) == 1
    assert len(run.inputs.dataset_inputs) == 3
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    assert [model.status for model in models] == ["READY"]
    assert [output.model_id for output in run.outputs.model_outputs] == [models[0].model_id]
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    # The version, and the ledger's one entry of the alias that was pointed to it.
    assert sorted((version.name, int(version.version)) for version in versions) == [
        (registration.model_name, registration.version),
        (f"{registration.model_name}-ledger", registration.version),
    ]
    assert {item.path for item in client.list_artifacts(run_id)} >= {"report.html", "card.md", "pictures"}


def test_lost_answers_make_nothing_twice(sqlite_server: MlflowServer, tmp_path: Path) -> None:
    arguments = finished_run.write_run(tmp_path, "lossy")
    with lossy(sqlite_server.uri) as (uri, lost):
        registration = register(**arguments, tracking_uri=uri, patience=120.0)
    assert lost >= {
        "POST /api/2.0/mlflow/runs/create", "POST /api/2.0/mlflow/runs/log-batch",
        "POST /api/2.0/mlflow/runs/log-inputs", "POST /api/2.0/mlflow/logged-models",
        "POST /api/2.0/mlflow/model-versions/create", "POST /api/2.0/mlflow/registered-models/create",
        "PUT /api/2.0/mlflow-artifacts/artifacts/FILE",
    }, sorted(lost)  # fmt: skip
    check_whole(sqlite_server.uri, registration)


def test_a_server_killed_in_mid_step_and_started_again(
    sqlite_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = finished_run.write_run(tmp_path, "killed", seed=1)
    logger = logging.getLogger("angiopipe")
    logger.addHandler(caplog.handler)  # the step's own log does not propagate
    with ThreadPoolExecutor(1) as background:
        step = background.submit(register, **arguments, tracking_uri=sqlite_server.uri, patience=600.0)
        until(lambda: count(sqlite_server, MODELS, "killed") == 1 or step.done())
        sqlite_server.kill()
        assert count(sqlite_server, VERSIONS, "killed") == 0  # it had not come to its end
        until(lambda: "no answer while" in caplog.text or step.done())
        assert not step.done()
        sqlite_server.start()
        registration = step.result()
    logger.removeHandler(caplog.handler)
    check_whole(sqlite_server.uri, registration)


def test_a_server_that_stays_away_and_a_later_rerun(sqlite_server: MlflowServer, tmp_path: Path) -> None:
    arguments = finished_run.write_run(tmp_path, "away", seed=2)
    step = start_command({**arguments, "tracking_uri": sqlite_server.uri, "patience": 3.0})
    until(lambda: count(sqlite_server, MODELS, "away") == 1 or step.poll() is not None)
    sqlite_server.kill()
    _, errors = step.communicate(timeout=300)
    assert step.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith(
        f"angiopipe register: MLflow at {sqlite_server.uri}: expected an answer within 3 s while"
    )
    assert "start the step again with the same run id (away)" in last
    assert "Traceback" not in errors
    sqlite_server.start()
    [begun] = [r for r in all_runs(sqlite_server.uri) if r.data.tags["run_folder"].endswith("/away")]
    assert begun.info.status == "RUNNING"
    again = register(**arguments, tracking_uri=sqlite_server.uri)
    assert again.mlflow_run_id == begun.info.run_id
    check_whole(sqlite_server.uri, again)


def start_command(arguments: dict[str, Any]) -> subprocess.Popen[str]:
    flags = [
        part for name, value in arguments.items() for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "angiopipe", "register", *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def all_runs(uri: str) -> list[Any]:
    client = MlflowClient(uri)
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))


MODELS = "select count(*) from logged_model_tags where tag_key = 'run' and tag_value = ?"
VERSIONS = "select count(*) from model_version_tags where key = 'run' and value = ?"


def count(server: MlflowServer, query: str, run: str) -> int:
    """Asks the server's database behind its back, so that it works while the server is dead."""
    with closing(sqlite3.connect(f"file:{server.log.parent}/mlflow.db?mode=ro", uri=True, timeout=30)) as db:
        return int(db.execute(query, [run]).fetchone()[0])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
