"""Output that nobody reads to its end, on real pipes: `status | head` and its like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def closed_after(lines: int, module: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the errors of a command whose output is closed after so many lines."""
    command = [sys.executable, "-m", module, *arguments]
    reading, writing = os.pipe()
    process = subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as output:
        for _ in range(lines):
            while output.read(1) not in (b"\n", b""):
                pass
    assert process.stderr
    errors = process.stderr.read()
    return process.wait(60), errors


@pytest.mark.parametrize("lines", [0, 1])
def test_a_status_that_is_not_read_to_its_end_ends_in_no_traceback(kubeflow, write_settings, lines):
    settings = write_settings()
    kubeflow.experiments["angiopipe"] = "e"
    run = {
        "run_id": "r" * 36,
        "display_name": "n" * 80,
        "created_at": "2026-11-22T07:17:35Z",
        "state": "FAILED",
    }
    kubeflow.runs = [run] * 2000
    code, errors = closed_after(lines, "pipelines", "status", "--settings", settings, "--runs", "2000")
    assert (code, errors) == (141, "")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("pipelines", ["compile", "training", "--help"]),
        ("pipelines", ["status", "--help"]),
        ("pipelines", ["run", "search", "--help"]),
        ("angiopipe", ["--help"]),
        ("angiopipe", ["validate", "--help"]),
    ],
)
def test_help_that_is_not_read_ends_in_no_traceback(module, arguments):
    assert closed_after(0, module, *arguments) == (141, "")
