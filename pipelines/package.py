"""The package that Kubeflow takes: a pipeline's compiled graph, the same bytes for the same input."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import PipelineError
from pipelines.graphs import load
from pipelines.placement import placed
from pipelines.settings import Settings

SCHEMA_VERSION = "2.1.0"
"""The only one that Kubeflow Pipelines 2.17 takes."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Five times as fast, where PyYAML was built with libyaml."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
      name: the pipeline's.
      content: YAML, the graph first and Kubernetes' part second.
    """

    name: str
    content: bytes

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        """The content, parsed: a server that is sent broken YAML never answers.

        Raises:
          PipelineError: it is not a package.
        """
        try:
            documents = list(yaml.load_all(self.content, _LOADER))
        except yaml.YAMLError as error:
            raise PipelineError(f"package of {self.name}: expected YAML, found {error}") from None
        found = documents[0].get("schemaVersion") if documents and isinstance(documents[0], dict) else None
        if found != SCHEMA_VERSION:
            raise PipelineError(
                f"package of {self.name}: expected a pipeline of schema version {SCHEMA_VERSION}, found {found}"
            )
        return documents

    @property
    def tasks(self) -> list[str]:
        """The steps' names, in the order in which they can run, those of conditions included."""
        spec = self.documents[0]
        return _in_order(spec["root"], spec["components"])

    @property
    def images(self) -> list[str]:
        executors = self.documents[0]["deploymentSpec"]["executors"].values()
        return sorted({one["container"]["image"] for one in executors if "container" in one})

    @property
    def digest(self) -> str:
        """The first 8 hexadecimal digits of the content's SHA-256."""
        return hashlib.sha256(self.content).hexdigest()[:8]


def compile_package(
    pipeline: str, settings: Settings, values: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> Package:
    """Compiles a pipeline for a cluster.

    Args:
      pipeline: which one.
      settings: where and on what it runs.
      values: of its parameters, which become their defaults.
      given: values that a run is given instead, and that decide what its steps need.
    """
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.yaml"
        compiler.Compiler().compile(
            placed(load(pipeline), settings, {**values, **(given or {})}),
            str(path),
            pipeline_parameters=dict(values),
        )
        return Package(pipeline, path.read_bytes())


def _in_order(dag: dict[str, Any], components: dict[str, Any]) -> list[str]:
    tasks: dict[str, Any] = dag["dag"]["tasks"]
    ordered: list[str] = []
    waiting = dict(tasks)
    while waiting:
        ready = [
            name for name, one in waiting.items() if not set(one.get("dependentTasks", ())) & waiting.keys()
        ]
        for name in ready:
            component = components[waiting.pop(name)["componentRef"]["name"]]
            ordered += _in_order(component, components) if "dag" in component else [name]
    return ordered
