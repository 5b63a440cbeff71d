import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from angiopipe.faults import FaultyStudies
from angiopipe.step import killed_in_words, record_figures, show_figures, step, unfinished


@step("add")
def add(a: int, b: int, data_root: str, run_id: str = "local") -> int:
    """Adds two positive numbers."""
    logging.getLogger("angiopipe.test").info("adding %d", a)
    if a < 0:
        raise FaultyStudies("2 faults:", ["study 1: expected x", "study 2: expected y"])
    return a + b


def test_a_step_is_its_function(tmp_path):
    assert add(1, 2, data_root=str(tmp_path)) == 3
    assert add.__doc__ == "Adds two positive numbers."


def test_a_step_leaves_its_seconds_and_memory(tmp_path):
    add(1, 2, str(tmp_path), run_id="r1")
    record = json.loads((tmp_path / "runs" / "r1" / "steps" / "add.json").read_text())
    assert record["step"] == "add"
    assert record["seconds"] >= 0
    assert record["peak_mb"] > 1


def test_a_failing_step_leaves_its_error_faults_and_log(tmp_path):
    with pytest.raises(FaultyStudies, match="study 2: expected y"):
        add(-7, 2, str(tmp_path))
    failure = json.loads((tmp_path / "runs" / "local" / "failures" / "add.json").read_text())
    assert failure["error"] == "FaultyStudies"
    assert failure["faults"] == ["study 1: expected x", "study 2: expected y"]
    assert failure["last_log_lines"][-1].endswith("adding -7")
    assert not list((tmp_path / "runs" / "local" / "steps").iterdir())


def test_a_step_that_ends_well_clears_the_failure_of_an_earlier_try(tmp_path):
    with pytest.raises(FaultyStudies):
        add(-7, 2, str(tmp_path))
    add(1, 2, str(tmp_path))
    assert not list(Path(tmp_path).glob("runs/local/failures/*"))


def test_a_step_tells_its_figures(tmp_path):
    @step("count")
    def count(data_root: str, run_id: str = "local") -> None:
        record_figures(studies_in=5, studies_out=4, quarantined=1)

    count(data_root=str(tmp_path))
    shown: dict[str, float] = {}
    show_figures(shown.__setitem__, str(tmp_path), "local", "count")
    assert shown.keys() == {"seconds", "peak_mb", "studies_in", "studies_out", "quarantined"}
    assert (shown["studies_in"], shown["studies_out"], shown["quarantined"]) == (5, 4, 1)
    record_figures(studies_in=7)  # Outside a step nothing is recorded, and nothing fails.


def test_a_pod_finds_the_runs_id_in_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ANGIOPIPE_RUN_ID", "from-the-pod")
    add(1, 2, str(tmp_path), run_id="$ANGIOPIPE_RUN_ID")
    assert (tmp_path / "runs" / "from-the-pod" / "steps" / "add.json").exists()
    monkeypatch.delenv("ANGIOPIPE_RUN_ID")
    with pytest.raises(
        ValueError, match="expected the run's id in the environment variable ANGIOPIPE_RUN_ID"
    ):
        add(1, 2, str(tmp_path), run_id="$ANGIOPIPE_RUN_ID")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["from-the-pod"]


KILLED = """
import os, signal
from angiopipe.step import step

@step("train")
def train(data_root, run_id="local"):
    os.kill(os.getpid(), signal.SIGKILL)

train(data_root=os.environ["ROOT"])
"""


def test_a_step_that_was_killed_is_known_to_have_begun_until_it_ends(tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "ROOT": str(tmp_path)}, check=False
    )
    assert killed.returncode == -9
    (begun,) = unfinished(str(tmp_path), "local")
    told = killed_in_words(begun)
    assert told.startswith("train began at 20")
    assert "left neither result nor error" in told
    assert "steps.train.memory" in told

    @step("train")
    def train(data_root: str, run_id: str = "local") -> None:
        assert unfinished(data_root, run_id)

    train(data_root=str(tmp_path))
    assert not unfinished(str(tmp_path), "local")


def test_a_record_that_could_not_be_left_is_told_with_the_error(tmp_path):
    (tmp_path / "runs").write_text("a file where a folder belongs")
    with pytest.raises(FaultyStudies, match="2 faults") as caught:
        add(-7, 2, str(tmp_path))
    (note,) = caught.value.__notes__
    assert note.startswith("(no record could be left: ")
    assert str(tmp_path / "runs") in note
