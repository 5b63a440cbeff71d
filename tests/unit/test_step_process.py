"""A step's process on this machine: it ends in words, and with whoever reads its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from angiopipe.step_process import FAILED
from tests.small_disks import Mount, fill

ROOT = Path(__file__).parents[2]
STEP = """
import sys, time
from angiopipe.step import step

@step("look")
def look(data_root, run_id="r1"):
    print("looking", flush=True)
    {}

look(sys.argv[1])
"""


def begin(tmp_path: Path, body: str, data_root: Path | str) -> subprocess.Popen[str]:
    """A module with one step, run as a local pipeline runs it; the step's name is the last argument."""
    (tmp_path / "looking.py").write_text(STEP.format(body))
    return subprocess.Popen(
        [sys.executable, "-m", "angiopipe.step_process", "-m", "looking", str(data_root), "look"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip


def test_a_failure_is_told_in_marked_lines_with_its_record(tmp_path):
    process = begin(
        tmp_path, "raise ValueError('2 faults:\\n  study 1: no view\\n  study 2: no view')", tmp_path
    )
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    record = tmp_path / "runs" / "r1" / "failures" / "look.json"
    assert printed.splitlines() == [
        "looking",
        f"{FAILED}look failed: 2 faults:",
        f"{FAILED}  study 1: no view",
        f"{FAILED}  study 2: no view",
        f"{FAILED}(the whole record: {record})",
    ]
    assert record.exists()


def test_where_no_record_can_be_written_the_error_is_told_all_the_same(tmp_path, mount: Mount):
    disk = mount("64k")
    fill(disk)
    printed, _ = begin(tmp_path, "raise ValueError('expected 8 views')", disk / "root").communicate(
        timeout=60
    )
    record = disk / "root" / "runs" / "r1" / "failures" / "look.json"
    assert printed.splitlines() == [
        "looking",
        f"{FAILED}look failed: expected 8 views (no record could be left: {record}: no space left on device; free some "
        "space there or choose another place, and start again)",
    ]


def test_a_defect_shows_its_traceback(tmp_path):
    printed, _ = begin(tmp_path, "{}['views']", tmp_path).communicate(timeout=60)
    assert "Traceback (most recent call last):" in printed
    assert f"{FAILED}look failed: KeyError: 'views'; a defect of angiopipe: report it" in printed


@pytest.mark.parametrize("body", ["time.sleep(60)", "import threading; threading.Event().wait(60)"])
def test_it_ends_when_nobody_reads_it_any_more(tmp_path, body):
    process = begin(tmp_path, body, tmp_path)
    assert process.stdout.readline() == "looking\n"
    process.stdout.close()  # As when the pipeline was killed.
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in (tmp_path / "runs" / "r1" / "failures" / "look.json").read_text()
