"""A search that is killed goes on from its trial's checkpoint; the whole pipeline ends at the gate."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import ModelManifest
from angiopipe.training.search import SearchManifest
from tests.integration.test_training_pipeline import REDUCED
from tests.unit.training.conftest import TINY, blobs, write_examples  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 300
TRIALS = 2


@pytest.fixture
def begin(tmp_path, write_examples):  # noqa: F811
    recipe = load_recipe("octoview", TINY["octoview"])
    shape = recipe.preprocessing.shape
    write_examples(recipe, train=blobs(shape, 14, 0), validation=blobs(shape, 9, 1))

    def begin():
        parameters = {
            "--examples": tmp_path / "examples.json",
            "--out": tmp_path / "search.json",
            "--data-root": tmp_path / "root",
            "--trials": TRIALS,
        }
        flags = [str(part) for pair in parameters.items() for part in pair]
        # Long enough for the kill to come in time.
        fields = ("training.epochs=12", "training.batch_size=4", "training.checkpoint_steps=1")
        command = [sys.executable, "-m", "angiopipe", "search", *flags]
        return subprocess.Popen(
            [
                *command,
                "--space",
                "training.learning_rate=log(1e-3,1e-2)",
                "--overrides",
                *TINY["octoview"],
                *fields,
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def _wait_for_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    until = time.monotonic() + SECONDS
    while not any(int(path.name.split("-")[1]) >= step for path in folder.rglob("checkpoint-*.npz")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_killed_search_goes_on(begin, tmp_path):
    killed = begin()
    _wait_for_step(killed, tmp_path / "root" / "searches", 10)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=SECONDS)
    # An hour passes.
    with sqlite3.connect(tmp_path / "root" / "searches.db") as database:
        changed = database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
        assert changed.rowcount == 1
    again = begin()
    _, errors = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, errors
    assert "resumed after step" in errors
    trials = pd.read_csv(SearchManifest.read(str(tmp_path / "search.json")).trials_uri)
    assert list(trials["state"]) == ["interrupted", "complete", "complete"]
    assert trials["training.learning_rate"][0] == trials["training.learning_rate"][1]
    assert list(trials["epochs"][1:]) == [12, 12]
    assert trials["training.learning_rate"].nunique() == TRIALS


def test_the_whole_pipeline_searches_trains_the_best_and_goes_through_the_gate(cohort, tmp_path):
    root, best = tmp_path / "root", "training.learning_rate="
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "run", "search", "--images", cohort.images, "--labels",
         cohort.labels, "--data-root", str(root), "--recipe", "kium_vgg16", "--trials", str(TRIALS),
         "--startup-trials", "1", "--space", 'training.optimizer=["sgd"]', f"{best}log(1e-3,1e-1)",
         "--overrides", *REDUCED["kium_vgg16"], "training.epochs=1"],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (promotion,) = (json.loads(path.read_text()) for path in root.glob("runs/*/promotion.json"))
    auroc = f"{promotion['metrics']['test_auroc']:.3f} (95 % interval"
    for told in (
        f"test AUROC   {auroc}",
        "registered   aneurysm-detector, version 1, alias champion, challenger",
        "gate         promoted: there is no champion to compare with",
        f"report       {promotion['report_uri']}",
    ):
        assert told in done.stdout
    (found,) = (SearchManifest.read(str(path)) for path in root.glob("searches/*/manifest.json"))
    assert found.trials == TRIALS
    (trained,) = (ModelManifest.read(str(path)) for path in root.glob("runs/*/model/manifest.json"))
    assert trained.recipe == load_recipe("kium_vgg16", found.overrides)
    assert found.overrides[-1].startswith(best)
    assert trained.recipe.training.learning_rate != load_recipe("kium_vgg16").training.learning_rate
