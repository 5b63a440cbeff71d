"""The scheduled pipeline on Kubeflow's local runner: news, no news, and a fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from tests.odd_paths import ALL

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SMALL = ["preprocessing.size=32", "model.widths=[4,4,8,8,8]", "model.dense=[16,16,8]", "training.epochs=1"]


def retrain(root: Path, cohort, *overrides: str) -> tuple[dict, subprocess.CompletedProcess[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "run", "retraining", "--images", cohort.images, "--labels",
         cohort.labels, "--data-root", str(root), "--recipe", "kium_vgg16", "--overrides", *SMALL, *overrides],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    newest = max(root.glob("runs/*/outcome.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text()), done


def test_a_schedule_trains_rests_and_tells_what_is_wrong(own_cohort, tmp_path):
    root = tmp_path / ALL
    first, done = retrain(root, own_cohort)
    assert done.returncode == 0, done.stdout + done.stderr
    assert first["outcome"] == "promoted"
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    version = client.get_model_version_by_alias("aneurysm-detector", "champion")
    assert version.tags["source_fingerprint"] == first["news"]["source_fingerprint"]

    second, done = retrain(root, own_cohort)
    assert (second["outcome"], second["news"]["version"]) == ("nothing to do", 1)
    assert "Executing task 'validate'" not in done.stdout
    assert "outcome      nothing to do: data" in done.stdout
    assert len(client.search_model_versions("name = 'aneurysm-detector'")) == 1

    image = next(Path(own_cohort.images).glob("1001LI-A*"))
    image.write_bytes(image.read_bytes()[:300])
    third, done = retrain(root, own_cohort)
    assert done.returncode == 1
    assert third["outcome"] == "failed"
    assert third["failure"]["step"] == "validate"
    assert "study 1001, view LI-A" in third["failure"]["faults"][0]
    assert "validate failed" in done.stderr
    # The champion's data is what new data is compared with.
    assert Path(third["news"]["previous_statistics"]).is_file()
