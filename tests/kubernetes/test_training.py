"""The train step trains on the cluster: its TrainJob's pods, run by Docker, make the model that processes here make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from angiopipe.cluster.trainjob import job_name
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import MANIFEST_NAME, ModelManifest
from components.face import TRAIN_IMAGE
from tests.docker_engine import engine_with, share_with_images
from tests.kubernetes.servers import ControlPlane
from tests.unit.infra.built import INFRA
from tests.unit.training.conftest import TINY, blobs, examples_in

node = pytest.importorskip("tests.kubernetes.node", exc_type=ImportError)

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can connect two network namespaces"),
    pytest.mark.skipif(not shutil.which("nsenter") or not shutil.which("ip"), reason="no nsenter or ip"),
]

RECIPE = "octoview"
OVERRIDES = (*TINY[RECIPE], "training.epochs=2", "training.batch_size=4")
SECONDS = 400
# The order of sums depends on the number of threads, and with it the last bits of the weights.
THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data root with examples, which the image's user may write to."""
    recipe = load_recipe(RECIPE, OVERRIDES)
    shape = recipe.preprocessing.shape
    examples = examples_in(tmp_path, recipe, train=blobs(shape, 14, 0), validation=blobs(shape, 9, 1))
    examples.write(f"{examples.location}/{MANIFEST_NAME}")
    share_with_images(tmp_path, tmp_path, *tmp_path.rglob("*"))
    return tmp_path


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    for_kind = yaml.safe_load((INFRA / "overlays/kind/training.yaml").read_text())
    path.write_text(yaml.safe_dump({**for_kind, "image": TRAIN_IMAGE, "env": {**for_kind["env"], **THREADS}}))
    return path


@pytest.fixture
def start_node(cluster: ControlPlane, folder: Path) -> Iterator[Callable[[str], node.Node]]:
    """Starts a node that runs the pods of a run."""
    with engine_with([TRAIN_IMAGE]) as engine:
        started = []

        def start(run_id: str) -> node.Node:
            started.append(node.Node(cluster, engine, job_name(run_id), 2, folder))
            started[-1].start()
            return started[-1]

        yield start
        for one in started:
            one.stop()


def step(
    folder: Path, run_id: str, *more: str, within: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the train step, whose manifest is written to `<folder>/<run id>.json`."""
    options = {
        "--examples": folder / "examples.json",
        "--out": folder / f"{run_id}.json",
        "--data-root": folder,
        "--run-id": run_id,
        "--recipe": RECIPE,
        "--seed": 3,
    }
    flags = [str(part) for option in options.items() for part in option]
    return subprocess.run(
        [*within, sys.executable, "-m", "angiopipe", "train", *flags, *more, "--overrides", *OVERRIDES],
        env={**os.environ, **THREADS, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def trained(folder: Path, run_id: str, run: subprocess.CompletedProcess[str]) -> ModelManifest:
    assert run.returncode == 0, run.stdout + run.stderr
    return ModelManifest.read(str(folder / f"{run_id}.json"))


def test_two_pods_train_the_model_that_two_processes_train(cluster, folder, settings, start_node):
    pods, account = start_node("well"), cluster.kubeconfig_of("pipeline-runner", "kubeflow")
    run = step(folder, "well", "--cluster-settings", str(settings), KUBECONFIG=account)
    made = trained(folder, "well", run)
    # Two processes here listen on all interfaces.
    run = step(folder, "here", "--workers", "2", within=[str(INFRA / "flink/isolated")])
    here = trained(folder, "here", run)
    assert made.weights_sha256 == here.weights_sha256
    assert (made.best_epoch, made.validation_auroc) == (here.best_epoch, here.validation_auroc)
    assert "best epoch" in pods.logs[0]


def test_what_stops_the_pods_is_the_steps_one_error(cluster, folder, settings, start_node):
    lost = next((folder / "examples").glob("train-*"))
    lost.unlink()
    start_node("badly")
    account = cluster.kubeconfig_of("pipeline-runner", "kubeflow")
    run = step(folder, "badly", "--cluster-settings", str(settings), KUBECONFIG=account)
    assert run.returncode == 1
    assert "TrainJob angiopipe-badly" in run.stderr
    assert lost.name in run.stderr
    assert not (folder / "badly.json").exists()
    assert cluster.get("pods", "kubeflow", "-l", "angiopipe/run=badly") == []
