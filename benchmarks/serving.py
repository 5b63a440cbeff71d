"""What the packaged model's answers cost beyond the bare work: decode, preprocess, forward.

    .venv/bin/python benchmarks/serving.py --recipe octoview

The bare work is a loop of our own preprocessing over a study's eight JPEGs and one call of the same
model as a TensorFlow graph, in this process. The same study goes through `predict` of the packaged
model in this process and, in a request, through `mlflow models serve`. The three take turns, round
by round, since machines change their pace; medians count. The model's weights are random: they do
not change what it costs. The last line is one JSON object: {"predict_of_bare" and "http_of_bare"
(seconds of one study over bare seconds), "studies_per_s" (predict, in one table of `--batch` studies),
"bare_s", "predict_s", "http_s"}.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from angiopipe.study import VIEW_NAMES

START_SECONDS = 900


def main(recipe: str = "octoview", size: int = 720, rounds: int = 15, batch: int = 32) -> None:
    """Measures and prints.

    Args:
      recipe: whose preprocessing and model.
      size: rows and columns of a raw view, pixels.
      rounds: times that each of the three ways scores the study.
      batch: studies of the table that throughput is measured with.
    """
    import mlflow
    import pandas as pd

    study = jpegs(size)
    row = dict(zip(VIEW_NAMES, study, strict=True))
    with tempfile.TemporaryDirectory() as name:
        folder, bare = packaged(Path(name), recipe)
        model = mlflow.pyfunc.load_model(str(folder))
        table, many = pd.DataFrame([row]), pd.DataFrame([row] * batch)
        with served(folder) as ask:
            ways: dict[str, Callable[[], object]] = {
                "bare": lambda: bare(study),
                "predict": lambda: model.predict(table),
                "http": lambda: ask(row),
            }
            seconds = {way: statistics.median(times) for way, times in in_turns(ways, rounds).items()}
        started = time.monotonic()
        model.predict(many)
        studies_per_s = batch / (time.monotonic() - started)
    for way, taken in seconds.items():
        print(f"{way}: {1000 * taken:.0f} ms a study")
    figures = {
        "predict_of_bare": seconds["predict"] / seconds["bare"],
        "http_of_bare": seconds["http"] / seconds["bare"],
        "studies_per_s": studies_per_s,
        **{f"{way}_s": taken for way, taken in seconds.items()},
    }
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def jpegs(size: int) -> list[bytes]:
    """A made-up study's eight views."""
    import cv2

    from angiopipe.cohort.synthetic import REALISTIC, make_study

    study = make_study(REALISTIC, size=size, seed=0, number=0)
    return [cv2.imencode(".jpg", view)[1].tobytes() for view in study.views]


def packaged(folder: Path, recipe_name: str) -> tuple[Path, Callable[[Sequence[bytes]], np.ndarray]]:
    """The package of a model of random weights, and the bare work of the same model."""
    import mlflow
    import tensorflow as tf

    from angiopipe import models
    from angiopipe.imaging.preprocess import preprocess_study
    from angiopipe.recipe import load_recipe
    from angiopipe.records.manifest import (
        Calibration,
        EvaluationManifest,
        ModelManifest,
        OperatingThreshold,
    )
    from angiopipe.registry import package
    from angiopipe.storage import file_sha256

    overrides = [] if recipe_name == "kium_vgg16" else ["model.weights=null"]
    recipe = load_recipe(recipe_name, overrides)
    network = models.build(recipe.model, recipe.preprocessing.shape)
    network.save_weights(folder / "model.weights.h5")
    known = {"examples_fingerprint": "none", "data_fingerprint": "none", "location": str(folder)}
    digest = file_sha256(folder / "model.weights.h5")
    model = ModelManifest(
        recipe=recipe, seed=0, best_epoch=1, validation_auroc=0.5, weights_sha256=digest, **known
    )
    point = OperatingThreshold(name="youden", rule="none", threshold=0.5)
    evaluation = EvaluationManifest(
        weights_sha256=digest, test_fingerprint="none", calibration=Calibration(), operating_points=(point,),
        metrics={}, roc=(), **known,
    )  # fmt: skip
    with package.contents(model, evaluation) as contents:
        mlflow.pyfunc.save_model(folder / "package", **contents)
    graph = tf.function(lambda views, present: network({"views": views, "present": present}, training=False))

    def bare(study: Sequence[bytes]) -> np.ndarray:
        views, present = preprocess_study(study, recipe.preprocessing)
        answer: np.ndarray = graph(tf.constant(views[None]), tf.constant(present[None])).numpy()
        return answer

    return folder / "package", bare


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, work in ways.items():
            started = time.monotonic()
            work()
            if turn:
                seconds[way].append(time.monotonic() - started)
    return seconds


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Callable[[dict[str, bytes]], Any]]:
    """A server of the package; gives what asks it about one study, base64 included."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        command, env={**os.environ, "PATH": path}, start_new_session=True, stderr=subprocess.DEVNULL
    )

    def ask(row: dict[str, bytes]) -> Any:
        encoded = {name: base64.b64encode(value).decode() for name, value in row.items()}
        body = json.dumps({"dataframe_records": [encoded]}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, headers)
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return json.loads(answer.read())

    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process)
        yield ask
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Waits until the server answers.

    Raises:
      RuntimeError: it ended, or does not answer.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"{url}: expected a server within {START_SECONDS} s, found none")


if __name__ == "__main__":
    tyro.cli(main)
