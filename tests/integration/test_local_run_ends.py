"""A local run that is stopped, or whose disk is full: one line, no process left behind, nothing half-written."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.small_disks import Mount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("signals_heard"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
ROOT = Path(__file__).parents[2]
MARK = "ANGIOPIPE_TEST_RUN"
"""A variable that a run's processes inherit, by which they are found."""


def begin(cohort, root: Path) -> subprocess.Popen[str]:
    """A training pipeline, in a process group of its own, as a shell starts it."""
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "run",
        "training",
        "--images",
        cohort.images,
        "--labels",
        cohort.labels,
    ]
    return subprocess.Popen(
        [*command, "--data-root", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1", MARK: str(root)},
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], words: str) -> None:
    for line in process.stdout or ():
        if words in line:
            return
    raise AssertionError(process.communicate())


def processes_of(root: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={root}" in (entry / "environ").read_text(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def assert_gone(root: Path) -> None:
    until = time.monotonic() + 30
    while processes_of(root):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert not list(root.rglob(".writing-*"))


@pytest.mark.parametrize(
    ("task", "number", "whole_group"),
    [
        ("validate", signal.SIGINT, True),  # Ctrl-C, which the terminal sends to all.
        ("ingest", signal.SIGTERM, False),
        ("validate", signal.SIGKILL, False),
    ],
)
def test_a_stopped_run_ends_in_one_line_with_its_steps(cohort, tmp_path, task, number, whole_group):
    root = tmp_path / "root"
    process = begin(cohort, root)
    read_until(process, "Executing task")
    while task == "ingest" and not list(root.glob("runs/*/inventory/views.parquet")):
        time.sleep(0.05)
    time.sleep(1)  # The step's own process is under way.
    assert len(processes_of(root)) > 1
    (os.killpg if whole_group else os.kill)(process.pid, number)
    printed, errors = process.communicate(timeout=60)
    assert_gone(root)
    assert "Traceback" not in printed + errors
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert process.returncode == 128 + number
    (line,) = errors.splitlines()
    first, _, command = line.partition("; to go on from there: ")
    assert first == f"python -m pipelines run training: stopped by {number.name}; what was finished is kept"
    (run,) = (path.parent.name for path in root.glob("runs/*/run.json"))
    assert command == f"python -m pipelines resume {run} --data-root {shlex.quote(str(root))}"


def test_a_full_disk_is_one_line_that_names_the_file(cohort, mount: Mount):
    disk = mount("600k")
    process = begin(cohort, disk / "root")
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in printed
    (line,) = errors.splitlines()
    assert line.startswith(f"ingest failed: {disk}/root/studies/")
    assert ".tfrecord: no space left on device; free some space there or choose another place" in line
    assert_gone(disk / "root")
