"""How well each recipe learns one realistic synthetic cohort, at equal wall-clock time, on CPU.

    .venv/bin/python benchmarks/quality.py --minutes 40

450 training, 150 validation and 300 test studies of 360 x 360, always the same. Each recipe is
trained by the commands a user has, stopped after `--minutes`, and evaluated on the test studies
once. What cannot run as published is changed by `CHANGED` and printed. Seconds to a validation
AUROC count the train command's own time, imports and compilation included.
The last line is one JSON object: per recipe {"auroc", "low", "high", "location_auroc", "seconds",
"seconds_to_070", "seconds_to_080", "seconds_to_085", "peak_mb"}, and for octoview "pointing", the
share of test studies with an aneurysm whose evidence is highest within a sac.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro
from sklearn.metrics import roc_auc_score

from angiopipe.cohort.synthetic.settings import REALISTIC
from angiopipe.cohort.synthetic.synthesize import write_cohort
from angiopipe.evaluation.metrics import LEAST_STUDIES
from angiopipe.records.manifest import EvaluationManifest, ExamplesManifest, ModelManifest
from angiopipe.study import LOCATIONS, VIEW_NAMES

STUDIES, SIZE, SEED = 900, 360, 20_231
VALIDATION_SHARE, TEST_SHARE = 1 / 6, 1 / 3
TARGETS = (0.70, 0.80, 0.85)
CHANGED: dict[str, tuple[str, ...]] = {
    "kium_vgg16": (),
    # 720 x 720 takes a minute a study here; ImageNet's weights cannot be had without a network.
    "coding_vessels": ("preprocessing.size=224",),
    # A schedule that ends within the time.
    "octoview": ("training.epochs=2",),
}


@dataclass(frozen=True)
class Place:
    """Where a recipe's manifests lie."""

    folder: Path
    recipe: str

    def manifest(self, step: str) -> str:
        return str(self.folder / "quality" / f"{self.recipe}-{step}.json")


def main(
    minutes: float = 40.0,
    folder: Path = Path("data/benchmark"),
    recipes: tuple[str, ...] = tuple(CHANGED),
    overrides: tuple[str, ...] = (),
    split: str = "test",
) -> None:
    """Trains and evaluates the recipes and prints the table.

    Args:
      minutes: of training, for each recipe.
      folder: where the cohort is kept and the steps write.
      recipes: which.
      overrides: further changes, `field=value` each.
      split: "test", or "validation" while trying something out.
    """
    cohort = write_cohort(
        folder / "quality-cohort", REALISTIC, STUDIES, test_studies=0, size=SIZE, seed=SEED, processes=2
    )
    studies = ingest(cohort / "train_set", folder)
    figures = {}
    for recipe in recipes:
        changes = (*CHANGED[recipe], *overrides, f"training.minutes={minutes}")
        figures[recipe] = measure(Place(folder, recipe), studies, changes, cohort, split)
        print(recipe, json.dumps(figures[recipe]), "changed:", ", ".join(changes), flush=True)
    print(json.dumps(figures))


def ingest(train_set: Path, folder: Path) -> str:
    """The studies' manifest, split into training, validation and test."""
    inventory, studies = (str(folder / "quality" / f"{name}.json") for name in ("inventory", "studies"))
    run(folder, "validate", "--images", str(train_set / "images"), "--labels", str(train_set / "train.csv"),
        "--out", inventory, "--validation-share", str(VALIDATION_SHARE), "--test-share", str(TEST_SHARE))  # fmt: skip
    run(folder, "ingest", "--inventory", inventory, "--out", studies)
    return studies


def measure(
    place: Place, studies: str, overrides: Sequence[str], cohort: Path, split: str
) -> dict[str, float | None]:
    """One recipe's figures."""
    changed = ["--recipe", place.recipe, "--overrides", *overrides]
    examples, model, evaluation = (place.manifest(step) for step in ("examples", "model", "evaluation"))
    run(place.folder, "preprocess", "--studies", studies, "--out", examples, *changed)
    started = time.monotonic()
    run_id = f"{place.recipe}-{int(time.time())}"
    record = run(place.folder, "train", "--examples", examples, "--out", model, "--run-id", run_id, *changed)
    seconds = time.monotonic() - started
    run(place.folder, "evaluate", "--examples", examples, "--model", model, "--out", evaluation,
        "--report", str(place.folder / "quality" / f"{place.recipe}.html"), "--run-id", run_id)  # fmt: skip
    evaluated = EvaluationManifest.read(evaluation)
    history = pd.read_csv(ModelManifest.read(model).history_uri)
    elapsed = history["seconds"].cumsum() + seconds - history["seconds"].sum()
    reached = {
        f"seconds_to_{round(100 * target):03}": first(elapsed[history["validation_auroc"] >= target])
        for target in TARGETS
    }
    figures: dict[str, float | None] = {
        "auroc": evaluated.metrics[f"{split}_auroc"],
        "low": evaluated.metrics[f"{split}_auroc_low"],
        "high": evaluated.metrics[f"{split}_auroc_high"],
        "location_auroc": location_auroc(evaluated, split),
        "seconds": seconds,
        **reached,
        "peak_mb": record["peak_mb"],
    }
    if place.recipe == "octoview":
        figures["pointing"] = pointing(model, examples, cohort, split)
    return {name: None if value is None else round(value, 3) for name, value in figures.items()}


def location_auroc(evaluated: EvaluationManifest, split: str) -> float | None:
    """The mean over locations with enough studies of either class; None for a model of `Aneurysm` alone."""
    table = pd.read_csv(evaluated.predictions_uri).query("split == @split")
    found = []
    for location in LOCATIONS:
        truth, scores = table[f"true_{location}"], table[f"probability_{location}"]
        if min(truth.sum(), len(truth) - truth.sum()) >= LEAST_STUDIES and scores.notna().all():
            found.append(roc_auc_score(truth, scores))
    return float(np.mean(found)) if found else None


def first(values: pd.Series) -> float | None:
    return float(values.iloc[0]) if len(values) else None


def run(folder: Path, step: str, *arguments: str) -> dict[str, Any]:
    """Runs one command; returns the step's own record."""
    root = folder / "quality"
    # TensorFlow turns oneDNN on by itself for the newest processors only.
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1", **os.environ}
    command = [sys.executable, "-m", "angiopipe", step, *arguments, "--data-root", str(root)]
    subprocess.run(command, check=True, env=environment)
    run_id = arguments[arguments.index("--run-id") + 1] if "--run-id" in arguments else "local"
    record: dict[str, Any] = json.loads((root / "runs" / run_id / "steps" / f"{step}.json").read_text())
    return record


def pointing(model: str, examples: str, cohort: Path, split: str) -> float:
    """The share of studies with an aneurysm whose evidence map is highest within a sac's radius."""
    from angiopipe import models
    from angiopipe.training.input import batches

    trained, data = ModelManifest.read(model), ExamplesManifest.read(examples)
    maps = models.evidence(models.load(trained))
    assert maps is not None
    lesions = pd.read_csv(cohort / "truth" / "lesions.csv", dtype={"Index": str}).groupby("Index")
    size, hits = trained.recipe.preprocessing.size, []
    for batch in batches(data, split, 8):
        evidence = maps({"views": batch["views"], "present": batch["present"]}).numpy()[..., 0]
        for index, study in zip(batch["index"].numpy(), evidence, strict=True):
            if index.decode() in lesions.groups:
                view, row, column = np.unravel_index(study.argmax(), study.shape)
                stride = size / study.shape[1]
                at = (np.array([row, column]) + 0.5) * stride
                hits.append(within(lesions.get_group(index.decode()), VIEW_NAMES[view], at, cohort, size))
    return float(np.mean(hits))


def within(lesions: pd.DataFrame, view: str, at: np.ndarray, cohort: Path, size: int) -> bool:
    """Whether a position of a preprocessed view lies in one of a study's sacs.

    Args:
      lesions: the study's.
      view: the view's name.
      at: row and column in the preprocessed view, pixels.
      cohort: where the raw views are, whose size tells how they were scaled.
      size: rows and columns of a preprocessed view.
    """
    import cv2

    for sac in lesions[lesions["view"] == view].itertuples(index=False):
        raw = cv2.imread(
            str(cohort / "train_set" / "images" / f"{sac.Index}{view}.jpg"), cv2.IMREAD_GRAYSCALE
        )
        assert raw is not None
        side = max(raw.shape)
        offset = np.array([(side - rows) // 2 for rows in raw.shape])
        centre = (np.array([sac.row, sac.column]) + offset + 0.5) * size / side
        # The dome may be stretched, and a position is as coarse as the encoder's stride.
        if np.hypot(*(at - centre)) <= 1.3 * sac.radius_pixels * size / side + 2:
            return True
    return False


if __name__ == "__main__":
    tyro.cli(main)
