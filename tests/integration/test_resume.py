"""A pipeline on this machine whose registry fails it, and that is gone on with once it is there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SMALL = ["training.epochs=1", "preprocessing.size=64", "model.widths=[4,4,4,4]", "model.weights=null"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def test_a_failed_register_does_not_train_again(cohort, tmp_path):
    root = tmp_path / "root's folder"
    (root / "mlflow.db").mkdir(parents=True)  # In the way of MLflow's database.
    options = ["--images", cohort.images, "--labels", cohort.labels, "--data-root", str(root)]
    failed = run("run", "training", *options, "--overrides", *SMALL)
    assert failed.returncode == 1
    assert "register failed: " in failed.stderr
    last = failed.stderr.splitlines()[-1]
    command = shlex.split(last.partition("; to go on from there: ")[2])
    assert command[:3] == ["python", "-m", "pipelines"], failed.stderr
    (folder,) = (root / "runs").iterdir()
    weights = folder / "model" / "model.weights.h5"
    written = weights.stat().st_mtime_ns
    (root / "mlflow.db").rmdir()
    resumed = run(*command[3:])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "trained already by this run, reused" in resumed.stdout
    assert resumed.stdout.count("unchanged, reused") == 2
    assert "gate         promoted" in resumed.stdout
    assert [path.name for path in (root / "runs").iterdir()] == [folder.name]
    assert weights.stat().st_mtime_ns == written
    assert json.loads((folder / "run.json").read_text())["succeeded"] is True
    assert not list((folder / "failures").iterdir())
    again = run(*command[3:])
    assert (again.returncode, "found it succeeded" in again.stderr) == (1, True)
