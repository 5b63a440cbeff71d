"""What a run's earlier steps leave for register: examples' manifest, model, history, evaluation, records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from angiopipe import models
from angiopipe.environment import environment
from angiopipe.evaluation.curves import roc_points
from angiopipe.evaluation.metrics import auroc_with_interval
from angiopipe.evaluation.operating_points import OperatingPoint, operating_points
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import (
    Calibration,
    EvaluationManifest,
    ExamplesManifest,
    ModelManifest,
    OperatingThreshold,
    Shard,
)
from angiopipe.step import run_folder
from angiopipe.storage import file_sha256
from angiopipe.training.loop import Epoch

RECIPE = load_recipe(
    "octoview",
    ["preprocessing.size=32", "model.widths=[4,8]", "model.dilations=[1]", "model.weights=null"],
)
FINGERPRINT, EXAMPLES = "d" * 16, "e" * 16
STUDIES = {"train": 40, "validation": 16, "test": 24}
EPOCHS = tuple(Epoch(n, 0.9 / n, 0.8 / n, 0.5 + n / 10, 1e-3 / n, 2.5, 10.0 + n) for n in (1, 2, 3))


def write_run(data_root: Path, run_id: str = "r1", seed: int = 0) -> dict[str, Any]:
    """Writes the run's files; returns the arguments of `register` for it."""
    folder = Path(run_folder(str(data_root), run_id))
    _write_examples(data_root)
    for name, seconds in {"train": 30.0, "evaluate": 4.0}.items():
        (folder / "steps").mkdir(parents=True, exist_ok=True)
        record = {"step": name, "seconds": seconds, "peak_mb": 700}
        (folder / "steps" / f"{name}.json").write_text(json.dumps(record))
    model = _write_model(folder / "model", seed)
    _write_evaluation(folder / "evaluation", model)
    return {
        "model": str(folder / "model" / "manifest.json"),
        "evaluation": str(folder / "evaluation" / "manifest.json"),
        "out": str(folder / "out.json"),
        "data_root": str(data_root),
        "run_id": run_id,
    }


def _write_examples(data_root: Path) -> None:
    location = data_root / "examples" / EXAMPLES
    shards = tuple(Shard(name=f"{s}-0", split=s, studies=n, bytes=1, sha256="0") for s, n in STUDIES.items())
    ExamplesManifest(
        fingerprint=EXAMPLES, data_fingerprint=FINGERPRINT, location=str(location), shards=shards,
        shape=RECIPE.preprocessing.shape, recipe=RECIPE.name,
        preprocessing_digest=RECIPE.preprocessing.digest(),
    ).write(str(location / "manifest.json"))  # fmt: skip


def _write_model(folder: Path, seed: int) -> ModelManifest:
    import keras

    folder.mkdir(parents=True)
    keras.utils.set_random_seed(seed)
    models.build(RECIPE.model, RECIPE.preprocessing.shape).save_weights(folder / "model.weights.h5")
    pd.DataFrame([asdict(epoch) for epoch in EPOCHS]).to_csv(folder / "history.csv", index=False)
    (folder / "environment.json").write_text(json.dumps(environment()))
    model = ModelManifest(
        location=str(folder), recipe=RECIPE, examples_fingerprint=EXAMPLES, data_fingerprint=FINGERPRINT,
        seed=seed, best_epoch=3, validation_auroc=0.8, weights_sha256=file_sha256(folder / "model.weights.h5"),
    )  # fmt: skip
    model.write(str(folder / "manifest.json"))
    return model


def _write_evaluation(folder: Path, model: ModelManifest) -> None:
    tables = {split: _predictions(split) for split in ("validation", "test")}
    folder.mkdir(parents=True)
    pd.concat(tables.values()).to_csv(folder / "predictions.csv", index=False)
    (folder / "report.html").write_text("<!doctype html><html><body>report</body></html>")
    (folder / "card.md").write_text("# octoview\n")
    pairs = {
        s: (t["true_Aneurysm"].to_numpy(), t["probability_Aneurysm"].to_numpy()) for s, t in tables.items()
    }
    points = operating_points(pairs["validation"], pairs["test"])
    EvaluationManifest(
        location=str(folder), examples_fingerprint=EXAMPLES, data_fingerprint=FINGERPRINT,
        weights_sha256=model.weights_sha256, test_fingerprint="f" * 16, calibration=Calibration(),
        operating_points=tuple(
            OperatingThreshold(name=p.name, rule=p.rule, threshold=p.threshold) for p in points
        ),
        metrics=_metrics(*pairs["test"], points), roc=roc_points(*pairs["test"]),
    ).write(str(folder / "manifest.json"))  # fmt: skip


def _predictions(split: str) -> pd.DataFrame:
    rng, studies = np.random.default_rng(len(split)), STUDIES[split]
    truth = np.arange(studies) % 2
    scores = 1 / (1 + np.exp(-rng.normal(1.5 * truth - 0.7)))
    return pd.DataFrame({"split": split, "true_Aneurysm": truth, "probability_Aneurysm": scores})


def _metrics(labels: np.ndarray, scores: np.ndarray, points: tuple[OperatingPoint, ...]) -> dict[str, float]:
    found = auroc_with_interval(labels, scores)
    metrics = {
        "test_auroc": found.auroc,
        "test_auroc_low": found.low,
        "test_auroc_high": found.high,
        "test_studies": float(len(labels)),
    }
    return {**metrics, **{f"{point.name}_threshold": point.threshold for point in points}}
