"""A killed worker of a TrainJob: the step launches it again, and it goes on from its checkpoint to the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from angiopipe.cluster.trainjob import job_name
from angiopipe.environment import usable_cores
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, ModelManifest
from tests.integration.test_workers import ISOLATED, ROOT, SECONDS, SETTINGS, examples  # noqa: F401
from tests.unit.training.conftest import TINY, write_examples  # noqa: F401 (fixtures)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc"),
]


CHECKPOINTS = ("training.epochs=3", "training.checkpoint_steps=1", "training.ema=0.9")


def test_a_killed_worker_is_launched_again_and_goes_on_to_the_end(tmp_path, examples):  # noqa: F811
    path = examples()
    made = ExamplesManifest.read(path)
    made.write(f"{made.location}/{MANIFEST_NAME}")
    threads = str(max(1, usable_cores() // 2))
    settings = {
        "namespace": "kubeflow",
        "image": "none",
        "workers": 2,
        "gpus": 0,
        "env": {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads},
    }
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(settings))
    overrides = [*TINY["octoview"], *SETTINGS, *CHECKPOINTS, "model.dropout=0.2"]
    command = [ISOLATED, sys.executable, str(Path(__file__).with_name("pods_as_processes.py"))]
    run = subprocess.run(
        [*command, tmp_path, "3", "killed", tmp_path / "cluster.yaml", *overrides],
        cwd=ROOT,
        timeout=SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "worker 1 was the first to fail, exit code 137 (Error, killed by SIGKILL)" in run.stderr
    assert "TrainJob is launched again in 10 s, from the checkpoint after step " in run.stderr
    assert re.search(r"^\S+ worker 0 \| \S+ resumed after step [1-9]", run.stderr, re.MULTILINE)
    assert f"TrainJob {job_name('killed', 1)} has ended well" in run.stderr
    assert ModelManifest.read(str(tmp_path / "killed.json")).epochs_kept
