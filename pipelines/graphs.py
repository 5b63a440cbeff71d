"""The pipelines there are, by name, and what each takes."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docstring_parser

from pipelines.errors import PipelineError

PIPELINES = {
    "training": "pipelines.training",
    "retraining": "pipelines.retraining",
    "search": "pipelines.search",
    "scoring": "pipelines.scoring",
}
"""Each pipeline's module, which has a graph of the pipeline's name."""

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One of a pipeline's parameters.

    Attributes:
      name: of the function's parameter and, with dashes, of the flag.
      type: a type that Kubeflow knows: str, int, float, bool, list[str].
      default: `REQUIRED` where there is none.
      help: its line in the function's docstring.
    """

    name: str
    type: Any
    default: Any
    help: str


def load(pipeline: str) -> Any:
    """A pipeline's graph, as `@dsl.pipeline` made it.

    Raises:
      PipelineError: there is no such pipeline.
    """
    if pipeline not in PIPELINES:
        raise PipelineError(f"pipeline {pipeline!r}: expected one of {', '.join(PIPELINES)}")
    return getattr(importlib.import_module(PIPELINES[pipeline]), pipeline)


def parameters(pipeline: str) -> dict[str, Parameter]:
    """What a pipeline takes, by name, in its own order."""
    function: Callable[..., Any] = load(pipeline).pipeline_func
    types = typing.get_type_hints(function)
    documented = docstring_parser.parse(function.__doc__ or "").params
    lines = {one.arg_name: " ".join((one.description or "").split()) for one in documented}
    return {
        name: Parameter(name, types[name], one.default, lines.get(name, ""))
        for name, one in inspect.signature(function).parameters.items()
    }
