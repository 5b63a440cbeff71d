"""Several first runs on one data root at once: whoever comes first makes MLflow's database, and all use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from angiopipe import storage

FIRST_RUN = """
import sys
from angiopipe.registry.tracking import RunKey, open_run
for uri in sys.argv[2:]:
    print("ready", flush=True)
    sys.stdin.readline()
    root = uri.removeprefix("sqlite:///").rpartition("/")[0]
    try:
        open_run(uri, 60, RunKey(root, sys.argv[1], "weights"))
        print("begun", flush=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}".replace(chr(10), " "), flush=True)
"""


@pytest.mark.slow
def test_two_first_runs_at_once_both_begin(tmp_path):
    roots = [tmp_path / str(number) for number in range(3)]
    uris = [f"sqlite:///{root}/mlflow.db" for root in roots]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_RUN, name, *uris],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        for uri in uris:
            assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
            for racer in racers:
                racer.stdin.write("go\n")
                racer.stdin.flush()
            assert [racer.stdout.readline() for racer in racers] == ["begun\n"] * 2
            client = MlflowClient(uri)
            (experiment,) = [one for one in client.search_experiments() if one.name == "angiopipe"]
            assert len(client.search_runs([experiment.experiment_id])) == 2
        assert [racer.wait(60) for racer in racers] == [0, 0]
    finally:
        for racer in racers:
            racer.kill()


def test_a_file_that_was_half_made_is_made_anew(tmp_path):
    """As where whoever made it was killed: its name is not there, and what it had begun is no obstacle."""
    path = tmp_path / "folder" / "database"
    begun = path.with_name(f"{storage.UNFINISHED}{path.name}")
    begun.parent.mkdir()
    begun.write_text("half")
    storage.make_whole(path, lambda made: Path(made).write_text("whole"))
    assert path.read_text() == "whole"
    assert not begun.exists()
    storage.make_whole(path, lambda made: pytest.fail("it is there"))
