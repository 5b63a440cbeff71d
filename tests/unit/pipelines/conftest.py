"""A recorded Kubeflow, and settings that lead to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.settings import PREFIX
from tests.unit.pipelines.recorded_kubeflow import RecordedKubeflow, serving

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
WriteSettings = Callable[..., str]


def compiled(pipeline: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A pipeline's graph as the command writes it."""
    path = tmp_path_factory.mktemp("compiled") / f"{pipeline}.yaml"
    main(["compile", pipeline, "--out", str(path)])
    graph, _ = yaml.safe_load_all(path.read_text())
    return graph


@pytest.fixture
def kubeflow() -> Iterator[RecordedKubeflow]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def write_settings(kubeflow, tmp_path: Path) -> WriteSettings:
    """Writes settings that lead to the recorded Kubeflow, and returns the file's path."""

    def write(**fields: Any) -> str:
        content = {
            "host": kubeflow.url,
            "request_seconds": 60,
            "images": {name: f"registry.example.org/python-{name}:1@{DIGEST}" for name in ("base", "train")},
            "storage": {"data_root": f"memory://{tmp_path.name}"},
            "tracking_uri": "http://mlflow.example.org",
            "parameters": {"training": {"images": "s3://raw/images", "labels": "s3://raw/labels.csv"}},
            **fields,
        }
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write
