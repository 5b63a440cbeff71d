"""The images: each does its own steps as its own user, and the whole line in them gives what it gives here.

`make test-docker` builds them first. Containers get no network: what an image lacks, it cannot fetch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from kfp import local

from components.face import BASE_IMAGE, TRAIN_IMAGE
from pipelines.training import training
from tests.docker_engine import IMAGE_USER, engine_with

docker = pytest.importorskip("docker")

ROOT = Path(__file__).parents[2]
IMAGES = [BASE_IMAGE, TRAIN_IMAGE, f"angiopipe/tfio:{version('angiopipe')}"]
REDUCED = ["preprocessing.size=64", "training.epochs=2"]

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    with engine_with(IMAGES) as client:
        yield client


def run_line(runner: local.SubprocessRunner | local.DockerRunner, root: Path, cohort) -> Path:
    """Runs the training pipeline; returns the folder of the run."""
    (root / "kubeflow").mkdir(parents=True, exist_ok=True)
    if isinstance(runner, local.DockerRunner) and os.getuid() == 0:
        for folder in (root, root / "kubeflow"):
            os.chown(folder, IMAGE_USER, IMAGE_USER)
    local.init(runner, pipeline_root=str(root / "kubeflow"))
    training(images=cohort.images, labels=cohort.labels, data_root=str(root), overrides=REDUCED, seed=7)
    return next(root.glob("runs/*/registration.json")).parent


@pytest.fixture(scope="module")
def in_images(engine, tmp_path_factory, cohort) -> Path:
    """The folder of a run in the images, as their own user, or as ours where we are not root."""
    root = tmp_path_factory.mktemp("in-images")
    data = str(Path(cohort.images).parents[1])
    runner = local.DockerRunner(
        user=f"{os.getuid() or IMAGE_USER}:{os.getgid() or IMAGE_USER}",
        network_mode="none",
        mounts=[
            docker.types.Mount(str(root), str(root), type="bind"),
            docker.types.Mount(data, data, type="bind", read_only=True),
        ],
    )
    return run_line(runner, root, cohort)


@pytest.fixture(scope="module")
def in_processes(engine, tmp_path_factory, cohort) -> Path:
    """The folder of the same run in processes of this machine."""
    return run_line(local.SubprocessRunner(use_venv=False), tmp_path_factory.mktemp("in-processes"), cohort)


def test_the_line_in_images_gives_the_metrics_it_gives_in_processes(in_images, in_processes):
    metrics = [
        json.loads((run / "registration.json").read_text())["metrics"] for run in (in_images, in_processes)
    ]
    assert metrics[0]["test_auroc"] > 0
    assert metrics[0] == metrics[1]


def test_the_line_in_images_gives_the_predictions_it_gives_in_processes(in_images, in_processes):
    predictions = [run / "evaluation" / "predictions.csv" for run in (in_images, in_processes)]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()


def test_what_the_images_write_belongs_to_their_user(in_images):
    owners = {path.stat().st_uid for path in in_images.rglob("*")}
    assert owners == {os.getuid() or IMAGE_USER}


def test_each_image_does_its_own_steps(engine):
    done = subprocess.run(
        [ROOT / "docker/smoke/run", *IMAGES], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promote: version 1 is champion" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [*IMAGES, f"angiopipe/flink:{version('angiopipe')}"])
def test_an_image_tells_its_version_and_commit_and_is_not_root(engine, name):
    config = engine.images.get(name).attrs["Config"]
    assert config["User"] == f"{IMAGE_USER}:{IMAGE_USER}"
    assert config["Labels"]["org.opencontainers.image.version"] == version("angiopipe")
    assert re.fullmatch(r"[0-9a-f]{40}(-modified)?", config["Labels"]["org.opencontainers.image.revision"])


@pytest.mark.parametrize("name", IMAGES)
def test_every_module_in_an_image_is_compiled(engine, name):
    uncompiled = (
        "import importlib.util, pathlib, sysconfig\n"
        "for path in pathlib.Path(sysconfig.get_path('purelib')).rglob('*.py'):\n"
        "    compiled = pathlib.Path(importlib.util.cache_from_source(path))\n"
        "    stamp = int(path.stat().st_mtime).to_bytes(4, 'little')\n"
        "    if not compiled.exists() or compiled.read_bytes()[8:12] != stamp: print(path)\n"
    )
    printed = engine.containers.run(name, ["python3", "-c", uncompiled], network_mode="none", remove=True)
    assert printed.decode().split() == []
