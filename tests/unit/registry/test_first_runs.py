"""The first runs of a data root, at the same time: MLflow's database is made once, and every run is in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from angiopipe.registry.connect import registry
from angiopipe.registry.patience import Patience
from angiopipe.registry.tracking import RunKey, open_run
from angiopipe.rules import tracking_uri_of
from tests.odd_paths import ALL
from tests.small_disks import Mount, fill, make_read_only

FIRST = """
import sys
from angiopipe.registry.pointed import quieten_mlflow
from angiopipe.rules import tracking_uri_of
from angiopipe.registry.tracking import RunKey, open_run
import mlflow.store.tracking.sqlalchemy_store
quieten_mlflow()
root, run_id = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with open_run(tracking_uri_of("", root), 60, RunKey(root, run_id, run_id)) as tracking:
    print(tracking.run_id)
"""
ROUNDS, TOGETHER = 2, 2


def test_runs_that_are_first_at_once_all_find_the_database_whole(tmp_path):
    for attempt in range(ROUNDS):
        root = tmp_path / f"{attempt} {ALL}"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", FIRST, str(root), str(number)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for number in range(TOGETHER)
        ]  # fmt: skip
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * TOGETHER
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ended = [process.communicate(timeout=300) for process in processes]
        assert [process.returncode for process in processes] == [0] * TOGETHER, ended
        client, _ = registry("", str(root))
        (experiment,) = (one for one in client.search_experiments() if one.name == "angiopipe")
        found = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
        assert found == {printed.strip() for printed, _ in ended}
        assert sorted(path.name for path in root.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_files_of_a_run_lie_under_a_data_root_of_any_name(tmp_path):
    root = tmp_path / ALL
    with open_run(tracking_uri_of("", str(root)), 60, RunKey(str(root), "r", "w")) as tracking:
        (tmp_path / "report.html").write_text("report")
        tracking.client.log_artifact(tracking.run_id, str(tmp_path / "report.html"))
        downloaded = tracking.client.download_artifacts(tracking.run_id, "report.html")
    assert Path(downloaded).read_text() == "report"
    assert [path.parent.name for path in (root / "mlartifacts").rglob("report.html")] == ["artifacts"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ALL, "report.html"])


@pytest.fixture
def database(mount: Mount, empty_database: Path) -> Path:
    """MLflow's database on a disk of its own."""
    return shutil.copy(empty_database, mount("3m") / "mlflow.db")


def test_a_full_disk_under_the_database_is_told_at_once(database, capfd):
    fill(database.parent)
    begun = time.monotonic()
    with pytest.raises(OSError, match="No space left on device") as caught:
        open_run(f"sqlite:///{database}", 300, RunKey(str(database.parent), "r", "w"))
    assert time.monotonic() - begun < 60
    assert caught.value.filename == str(database)
    assert "Traceback" not in capfd.readouterr().err


def test_a_read_only_database_can_be_asked_and_its_refusal_to_take_more_is_told_at_once(database):
    uri = f"sqlite:///{database}"
    make_read_only(database.parent)
    client, _ = registry(uri, "")
    assert client.search_experiments()
    with pytest.raises(OSError, match="Read-only file system") as caught:
        open_run(uri, 300, RunKey(str(database.parent), "r", "w"))
    assert caught.value.filename == str(database)
    with pytest.raises(OSError, match="Read-only file system"):
        Patience(uri, 300, "")("creating", lambda: client.create_experiment("new"))
