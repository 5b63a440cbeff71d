"""Two real worker processes: they do what one does, and a killed run goes on to the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import ModelManifest
from angiopipe.storage import local_path
from tests.unit.training.conftest import TINY, blobs, write_examples  # noqa: F401 (a fixture)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc"),
]

ROOT = Path(__file__).parents[2]
# The workers' servers listen on all interfaces.
ISOLATED = str(ROOT / "infra/flink/isolated")
SECONDS = 240
SETTINGS = ("training.epochs=3", "training.batch_size=4", "training.mirror=true", "training.shift=0.1")


@pytest.fixture
def examples(tmp_path, write_examples):  # noqa: F811
    def write(recipe="octoview"):
        settings = load_recipe(recipe, TINY[recipe])
        shape = settings.preprocessing.shape
        write_examples(settings, train=blobs(shape, 14, 0), validation=blobs(shape, 9, 1))
        return str(tmp_path / "examples.json")

    return write


def _fitted(examples, out, workers, recipe, *overrides):
    """Each worker's weights and history."""
    command = [ISOLATED, sys.executable, str(Path(__file__).with_name("fit_weights.py")), examples, str(out)]
    arguments = [str(workers), recipe, *TINY[recipe], *SETTINGS, *overrides]
    run = subprocess.run(
        [*command, *arguments], cwd=ROOT, timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [dict(np.load(f"{out}-{worker}.npz")) for worker in range(2 if workers == 2 else 1)]


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("octoview", ()),
        ("octoview", ("training.accumulate=2", "training.ema=0.9", "training.steps_per_call=3")),
        ("octoview", ("training.precision=mixed_float16", "training.clipnorm=0.1")),
        ("kium_vgg16", ("training.optimizer=sgd", "training.clipnorm=0.01")),
    ],
)
def test_two_workers_do_what_one_does(tmp_path, examples, recipe, overrides):
    path = examples(recipe)
    (alone,) = _fitted(path, tmp_path / "alone", 1, recipe, *overrides)
    chief, other = _fitted(path, tmp_path / "pair", 2, recipe, *overrides)
    tolerance = 2e-3 if "training.precision=mixed_float16" in overrides else 1e-6
    for name, expected in alone.items():
        np.testing.assert_array_equal(chief[name], other[name], err_msg=name)
        if not name.startswith("weight"):
            np.testing.assert_allclose(chief[name], expected, atol=tolerance, err_msg=name)


def test_two_devices_do_what_one_does(tmp_path, examples):
    path, overrides = examples(), ("training.ema=0.9", "training.clipnorm=0.1", "training.accumulate=2")
    (alone,) = _fitted(path, tmp_path / "alone", 1, "octoview", *overrides)
    (both,) = _fitted(path, tmp_path / "both", "devices", "octoview", *overrides)
    for name in ("loss", "validation_loss", "validation_auroc"):
        np.testing.assert_allclose(both[name], alone[name], atol=1e-6, err_msg=name)


def test_deterministic_ops_give_the_same_bits_on_a_cpu(tmp_path, examples):
    path = examples()
    (plain,) = _fitted(path, tmp_path / "plain", 1, "octoview")
    (deterministic,) = _fitted(path, tmp_path / "same", 1, "octoview", "training.deterministic=true")
    for name, expected in plain.items():
        np.testing.assert_array_equal(deterministic[name], expected, err_msg=name)


def test_dropout_and_batch_normalisation_work_on_two_workers(tmp_path, examples):
    _fitted(examples(), tmp_path / "dropout", 2, "octoview", "model.dropout=0.2")
    path = examples("coding_vessels")
    chief, other = _fitted(path, tmp_path / "norm", 2, "coding_vessels", "training.epochs=1")
    for name, expected in chief.items():
        np.testing.assert_array_equal(other[name], expected, err_msg=name)


class Run:
    """`angiopipe train` as a process."""

    def __init__(self, folder: Path, run_id: str, workers: int, *overrides: str):
        self.folder, self.run_id = folder, run_id
        parameters = {
            "--examples": folder / "examples.json",
            "--out": folder / f"{run_id}.json",
            "--data-root": folder / "root",
            "--run-id": run_id,
            "--workers": workers,
        }
        flags = [str(part) for pair in parameters.items() for part in pair]
        command = [ISOLATED, sys.executable, "-m", "angiopipe", "train", *flags, "--overrides"]
        self.process = subprocess.Popen(
            [*command, *TINY["octoview"], *SETTINGS, "model.dropout=0.2", *overrides],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def weights(self) -> list[np.ndarray]:
        """The weights of a run that must end well."""
        from angiopipe import models

        _, errors = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, errors
        self.errors = errors
        return models.load(self.manifest()).get_weights()

    def manifest(self) -> ModelManifest:
        return ModelManifest.read(str(self.folder / f"{self.run_id}.json"))

    def checkpoints(self, pattern: str = "*/*/checkpoint-*.npz") -> list[Path]:
        folder = self.folder / "root" / "runs" / self.run_id / "checkpoints"
        return sorted(folder.glob(pattern))

    def wait_for_step(self, step: int, pattern: str = "*/*/checkpoint-*.npz") -> None:
        until = time.monotonic() + SECONDS
        while not any(int(path.name.split("-")[1]) >= step for path in self.checkpoints(pattern)):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.01)

    def pids(self, marker: str) -> list[int]:
        """Processes whose command line names this run and `marker`, in the order of their start."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if marker in line and str(self.folder) in line and self.run_id in line and "unshare" not in line:
                found.append(int(entry.name))
        return sorted(found)


# Long enough for the kill to come in time.
SLOW = ("training.epochs=12", "training.checkpoint_steps=1", "training.ema=0.9")


@pytest.mark.parametrize(("workers", "marker"), [(1, "angiopipe\0train"), (2, "angiopipe.training.worker")])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, examples, workers, marker):
    examples()
    expected = Run(tmp_path, "whole", workers, *SLOW).weights()
    killed = Run(tmp_path, "killed", workers, *SLOW)
    killed.wait_for_step(10)
    os.kill(killed.pids(marker)[-1], signal.SIGKILL)
    started = time.monotonic()
    _, errors = killed.process.communicate(timeout=SECONDS)
    assert time.monotonic() - started < 30
    assert killed.process.returncode != 0
    assert not killed.pids(marker)
    if workers > 1:
        assert "worker 1 of 2 ended with exit code -9, killed by SIGKILL" in errors
    assert 0 < len(killed.checkpoints()) <= 3
    again = Run(tmp_path, "killed", workers, *SLOW)
    for one, other in zip(again.weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "resumed after step" in again.errors
    assert len(again.checkpoints()) == 2


def test_workers_end_with_their_launcher(tmp_path, examples):
    examples()
    run = Run(tmp_path, "orphaned", 2, "training.epochs=500", "training.checkpoint_steps=1")
    run.wait_for_step(2)
    (launcher,) = run.pids("angiopipe\0train")
    workers = run.pids("angiopipe.training.worker")
    assert len(workers) == 2
    os.kill(launcher, signal.SIGKILL)
    run.process.communicate(timeout=30)
    assert not run.pids("angiopipe.training.worker")


def test_a_worker_s_error_is_told(tmp_path, examples):
    shard = local_path(examples()).parent / "examples" / "train-00000.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    run = Run(tmp_path, "faulty", 2)
    _, errors = run.process.communicate(timeout=SECONDS)
    assert run.process.returncode == 1
    assert "train-00000.tfrecord: expected" in errors.partition("its last lines:")[2]


def test_a_peer_that_never_comes_is_told(tmp_path):
    code = "from angiopipe.training.strategy import start_strategy; start_strategy(3)"
    config = '{"cluster": {"worker": ["127.0.0.1:4001", "127.0.0.1:4002"]}, "task": {"type": "worker", "index": 0}}'
    run = subprocess.run(
        [ISOLATED, sys.executable, "-c", code],
        env={**os.environ, "TF_CONFIG": config},
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "expected 2 workers within 3 s, found some missing; see that all of 127.0.0.1:4001" in run.stderr


def test_an_ensemble_killed_in_its_second_member_goes_on_with_it(tmp_path, examples):
    examples()
    # Dropout masks are a worker's own.
    fields = ("training.ensemble=2", "training.epochs=4", "training.checkpoint_steps=1", "model.dropout=0")
    alone = Run(tmp_path, "alone", 1, *fields)
    alone.weights()
    pair = Run(tmp_path, "pair", 2, *fields)
    pair.wait_for_step(3, "*/member-1/*/checkpoint-*.npz")
    os.kill(pair.pids("angiopipe.training.worker")[-1], signal.SIGKILL)
    pair.process.communicate(timeout=SECONDS)
    again = Run(tmp_path, "pair", 2, *fields)
    again.weights()
    assert again.errors.count("resumed after step") == 2
    expected, found = (pd.read_csv(run.manifest().history_uri) for run in (alone, again))
    for name in ("member", "epoch", "loss", "validation_loss", "validation_auroc"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)
