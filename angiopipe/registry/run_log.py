"""What a run holds in MLflow: settings, figures per epoch, data, code, environment, pages, pictures."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Metric, Param, RunTag

from angiopipe import storage
from angiopipe.environment import code, environment
from angiopipe.records.manifest import EvaluationManifest, Manifest, ModelManifest
from angiopipe.registry import pictures
from angiopipe.registry.datasets import dataset_name
from angiopipe.registry.tracking import Tracking
from angiopipe.tables import read_own_table

MOST_PARAMS, MOST_METRICS = 100, 1000
"""MLflow takes no more in one request."""


def log_settings(tracking: Tracking, trained: ModelManifest, evaluated: EvaluationManifest) -> None:
    """Parameters (the recipe's fields under the names that overrides use) and tags."""
    params = [Param(name, value) for name, value in settings(trained).items()]
    named = {**tags_of(trained), "test_fingerprint": evaluated.test_fingerprint, **_code_tags(tracking)}
    tags = [RunTag(name, value) for name, value in named.items()]

    def log() -> None:
        for start in range(0, len(params), MOST_PARAMS):
            tracking.client.log_batch(tracking.run_id, params=params[start : start + MOST_PARAMS])
        tracking.client.log_batch(tracking.run_id, tags=tags)

    tracking.ask("logging parameters", log)


def settings(trained: ModelManifest) -> dict[str, str]:
    """All that was set: the recipe's fields by their dotted names, and the seed."""
    fields = {**_flat(trained.recipe.model_dump(mode="json")), "seed": trained.seed}
    return {name: str(value) for name, value in fields.items()}


def tags_of(trained: ModelManifest) -> dict[str, str]:
    """What a model, its run and its version are found by."""
    return {
        "recipe": trained.recipe.name,
        "recipe_digest": trained.recipe.digest(),
        "data_fingerprint": trained.data_fingerprint,
        "examples_fingerprint": trained.examples_fingerprint,
        "weights_sha256": trained.weights_sha256,
    }


def log_epochs(tracking: Tracking, trained: ModelManifest) -> None:
    """The training history as `epoch/<column>`, or `member-<k>/epoch/<column>` of an ensemble, each epoch a step.

    Their times are the run's start and the epochs' seconds, the same in every attempt, so that an
    epoch logged twice is one point.
    """
    table = read_own_table(storage.read_bytes(trained.history_uri), trained.history_uri)
    history = pd.DataFrame(table.numbers(table.columns), columns=list(table.columns))
    _log_metrics(tracking, "logging the epochs", epoch_metrics(history, tracking.run.info.start_time))


def epoch_metrics(history: pd.DataFrame, start: int) -> list[Metric]:
    """A training history's figures.

    Args:
      history: a row an epoch; an ensemble's has a column `member`.
      start: when the first epoch began, milliseconds.
    """
    ended = start + (1000 * history["seconds"].cumsum()).astype(int)
    return [
        Metric(f"{_member(row)}epoch/{name}", float(row[name]), int(time), int(row["epoch"]))
        for (_, row), time in zip(history.iterrows(), ended, strict=True)
        for name in history.columns.drop(["epoch", "member"], errors="ignore")
    ]


def _member(row: pd.Series) -> str:
    return f"member-{int(row['member'])}/" if "member" in row else ""


def log_figures(
    tracking: Tracking, trained: ModelManifest, evaluated: EvaluationManifest, model_id: str
) -> None:
    """The evaluation's metrics, linked to the model, and each step's seconds and peak memory."""
    figures = {**evaluated.metrics, **_step_figures(tracking.key.folder), **_epochs_kept(trained)}

    def log() -> None:
        known = tracking.client.get_run(tracking.run_id).data.metrics
        new = {name: value for name, value in figures.items() if known.get(name) != value}
        _log_batches(tracking, [_figure(name, value, trained, model_id) for name, value in new.items()])

    tracking.ask("logging the evaluation", log)


def _epochs_kept(trained: ModelManifest) -> dict[str, float]:
    """`best_epoch`, or each member's with its AUROC on the fold that it was trained without."""
    if not trained.members:
        return {"best_epoch": trained.best_epoch}
    figures: dict[str, float] = {}
    for number, one in enumerate(trained.members):
        figures |= {
            f"member-{number}/best_epoch": one.best_epoch,
            f"member-{number}/fold_auroc": one.fold_auroc,
        }
    return figures


def log_files(tracking: Tracking, trained: ModelManifest, evaluated: EvaluationManifest) -> None:
    """The evaluation's pages and tables, the history, the steps' records, environment and pictures."""
    for uri in [*_offered(evaluated), trained.history_uri]:
        with storage.staged(uri) as path:
            _log_file(tracking, path)
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as name:
        folder = Path(name)
        _write_environment(folder / "environment.json", trained)
        pictures.draw(evaluated, folder)
        for path in sorted(folder.iterdir()):
            _log_file(tracking, path, "pictures" if path.suffix == ".png" else None)


def _offered(manifest: Manifest) -> Iterator[str]:
    """The files a manifest names by properties that end in `_uri`, those that exist."""
    for name in sorted(dir(type(manifest))):
        if name.endswith("_uri") and isinstance(getattr(type(manifest), name), property):
            uri = getattr(manifest, name)
            if storage.exists(uri):
                yield uri


def _log_file(tracking: Tracking, path: Path, folder: str | None = None) -> None:
    tracking.ask(
        f"storing {path.name}", lambda: tracking.client.log_artifact(tracking.run_id, str(path), folder)
    )


def _write_environment(path: Path, trained: ModelManifest) -> None:
    """The training's own environment where it left one, else this process's."""
    left = storage.exists(trained.environment_uri)
    found = json.loads(storage.read_text(trained.environment_uri)) if left else environment()
    path.write_text(json.dumps(found, indent=1) + "\n")


def _code_tags(tracking: Tracking) -> dict[str, str]:
    tags = {f"code.{name}": value for name, value in code().items() if value}
    return {**tags, **tracking.key.tags}


def _step_figures(folder: str) -> dict[str, float]:
    """`step/<name>/seconds` and `step/<name>/peak_mb` of the steps that have ended."""
    figures: dict[str, float] = {}
    for record in step_records(folder):
        for name in ("seconds", "peak_mb"):
            figures[f"step/{record['step']}/{name}"] = float(record[name])
    return figures


def step_records(folder: str) -> list[dict[str, Any]]:
    """What the run's steps left about themselves, but for this one."""
    uris = storage.list_files(storage.join(folder, "steps"))
    records = [json.loads(storage.read_text(uri)) for uri in uris if uri.endswith(".json")]
    return [record for record in records if record["step"] != "register"]


def _figure(name: str, value: float, trained: ModelManifest, model_id: str) -> Metric:
    linked: dict[str, str] = {}
    if name.startswith("test_"):
        linked = {"dataset_name": dataset_name("test"), "dataset_digest": trained.data_fingerprint}
    return Metric(name, float(value), int(1000 * time.time()), 0, model_id=model_id, **linked)


def _log_metrics(tracking: Tracking, what: str, metrics: Sequence[Metric]) -> None:
    tracking.ask(what, lambda: _log_batches(tracking, metrics))


def _log_batches(tracking: Tracking, metrics: Sequence[Metric]) -> None:
    for start in range(0, len(metrics), MOST_METRICS):
        tracking.client.log_batch(tracking.run_id, metrics=metrics[start : start + MOST_METRICS])


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under their dotted names, as recipe overrides spell them."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        path = f"{prefix}{name}"
        flat.update(_flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value})
    return flat
