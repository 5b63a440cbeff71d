"""Compiles and runs the pipelines: `python -m pipelines compile|run PIPELINE`."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

PIPELINES = {"training": "pipelines.training", "scoring": "pipelines.scoring"}
"""Each pipeline's module, which has a graph of the pipeline's name."""


def compile_pipeline(pipeline: str, out: Path | None = None) -> None:
    """Writes a pipeline's IR YAML, the package that Kubeflow takes.

    Args:
      pipeline: which one.
      out: the file to write; `<pipeline>.yaml` unless given.
    """
    from kfp import compiler

    path = out or Path(f"{pipeline}.yaml")
    compiler.Compiler().compile(_graph(pipeline), str(path))
    print(f"compiled {pipeline} to {path}")


def run_pipeline(pipeline: str, arguments: Sequence[str]) -> None:
    """Runs a pipeline on this machine, each step in a process of its own; no Docker, no cluster.

    Args:
      pipeline: which one.
      arguments: its parameters as flags, such as `--images DIR --labels CSV --data-root DIR`.
    """
    parameters = tyro.cli(
        _parameters(pipeline), prog=f"python -m pipelines run {pipeline}", args=list(arguments)
    )
    data_root = Path(parameters["data_root"]).absolute()
    started = time.time()
    made = _run_locally(pipeline, {**parameters, "data_root": str(data_root)}, data_root, started)
    print(_summary(json.loads(Path(made).read_text()), time.time() - started))


def _run_locally(pipeline: str, parameters: dict[str, Any], data_root: Path, started: float) -> str:
    """Runs the graph and returns the path of the manifest it ends with."""
    from kfp import local

    from pipelines.terminal import executor_lines_hidden

    graph = _graph(pipeline)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(data_root / "kubeflow"))
    try:
        with executor_lines_hidden():
            return str(graph(**parameters).outputs["Output"].path)
    except RuntimeError as error:
        sys.exit(_failure(data_root, started) or str(error))


def _parameters(pipeline: str) -> Callable[..., dict[str, Any]]:
    """A function of the pipeline's parameters that returns them, for the command line."""
    function = _graph(pipeline).pipeline_func

    @functools.wraps(function)
    def collect(**parameters: Any) -> dict[str, Any]:
        return parameters

    collect.__annotations__ = {**function.__annotations__, "return": dict[str, Any]}
    return collect


def _graph(pipeline: str) -> Any:
    if pipeline not in PIPELINES:
        sys.exit(f"pipeline {pipeline!r}: expected one of {', '.join(PIPELINES)}")
    return getattr(importlib.import_module(PIPELINES[pipeline]), pipeline)


def _failure(data_root: Path, started: float) -> str:
    """What the step that failed since `started` left behind."""
    for path in data_root.glob("runs/*/failures/*.json"):
        if path.stat().st_mtime >= started:
            failure = json.loads(path.read_text())
            return f"\n{failure['step']} failed: {failure['message']}\n(the whole record: {path})"
    return ""


def _summary(made: dict[str, Any], seconds: float) -> str:
    told = _scored(made) if made["kind"] == "predictions" else _registered(made)
    return f"\n{told}\nfinished     in {seconds:.0f} s".replace(f"{Path.cwd()}/", "")


def _scored(predictions: dict[str, Any]) -> str:
    studies = sum(shard["studies"] for shard in predictions["shards"])
    return f"""\
scored       {studies} studies ({predictions["quarantined"]} left out), data {predictions["data_fingerprint"]}
model        {predictions["model_name"]}, version {predictions["model_version"]}
answers      {predictions["output_uri"]}
with sources {predictions["predictions_uri"]}"""


def _registered(registration: dict[str, Any]) -> str:
    metrics = registration["metrics"]
    mlflow = os.path.relpath(Path(sys.executable).with_name("mlflow"))
    return f"""\
test AUROC   {metrics["test_auroc"]:.3f} (95 % interval {metrics["test_auroc_low"]:.3f} to \
{metrics["test_auroc_high"]:.3f}, {metrics["test_studies"]:.0f} studies)
registered   {registration["model_name"]}, version {registration["version"]}, \
alias {", ".join(registration["aliases"])}
report       {registration["report_uri"]}
MLflow UI    {mlflow} ui --backend-store-uri {registration["tracking_uri"]}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Dispatches to a command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match list(arguments):
        case ["run", pipeline, *rest]:
            run_pipeline(pipeline, rest)
        case ["compile", pipeline, *rest]:
            tyro.cli(
                functools.partial(compile_pipeline, pipeline), prog="python -m pipelines compile", args=rest
            )
        case _:
            sys.exit(f"usage: python -m pipelines compile|run {'|'.join(PIPELINES)} [--help]")


if __name__ == "__main__":
    main()
