"""`run`: a pipeline on this machine, each step in a process of its own; no Docker, no cluster."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from angiopipe import storage
from pipelines.arguments import Options, parse
from pipelines.errors import PipelineError
from pipelines.failures import account_since, failures_since
from pipelines.graphs import load


@dataclass(frozen=True)
class RunOptions(Options):
    """Runs a pipeline on this machine, each step in a process of its own; no Docker, no cluster."""


def run_pipeline(pipeline: str, arguments: Sequence[str]) -> None:
    """Runs a pipeline here and tells what it made.

    Raises:
      PipelineError: a step failed.
    """
    _, _, values = parse("run", pipeline, RunOptions, arguments)
    values["data_root"] = storage.absolute(values["data_root"])
    started = time.time()
    made = _run_locally(load(pipeline), values, started)
    print(summary(made, time.time() - started))


def _run_locally(graph: Any, values: dict[str, Any], started: float) -> dict[str, Any]:
    """Runs the graph and returns the manifest it ends with, or the account of a graph that ends in none."""
    from kfp import local

    from pipelines.terminal import executor_lines_hidden

    data_root = values["data_root"]
    # Kubeflow keeps its own files in folders only; steps reach an object store by themselves.
    root = f"{data_root}/kubeflow" if storage.is_local(data_root) else tempfile.mkdtemp(prefix="kubeflow-")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
    try:
        with executor_lines_hidden():
            outputs = graph(**values).outputs
    except RuntimeError as error:
        raise PipelineError(failures_since(data_root, started) or str(error)) from None
    if "Output" in outputs:
        return dict(json.loads(Path(outputs["Output"].path).read_text()))
    return account_since(data_root, started)


def summary(made: dict[str, Any], seconds: float) -> str:
    """What a run ends by telling.

    Args:
      made: the manifest that the pipeline ends with, or the account.
      seconds: that it took.
    """
    told = TELLERS[made["kind"]](made)
    return f"\n{told}\nfinished     in {seconds:.0f} s".replace(f"{Path.cwd()}/", "")


def _ended(account: dict[str, Any]) -> str:
    promotion = account["promotion"]
    told = f"outcome      {account['outcome']}: {account['reason']}"
    return f"{_registered(promotion)}\n{told}" if promotion else told


def _scored(predictions: dict[str, Any]) -> str:
    studies = sum(shard["studies"] for shard in predictions["shards"])
    return f"""\
scored       {studies} studies ({predictions["quarantined"]} left out), data {predictions["data_fingerprint"]}
model        {predictions["model_name"]}, version {predictions["model_version"]}
answers      {predictions["output_uri"]}
with sources {predictions["predictions_uri"]}"""


def _registered(promotion: dict[str, Any]) -> str:
    metrics = promotion["metrics"]
    mlflow = os.path.relpath(Path(sys.executable).with_name("mlflow"))
    return f"""\
test AUROC   {metrics["test_auroc"]:.3f} (95 % interval {metrics["test_auroc_low"]:.3f} to \
{metrics["test_auroc_high"]:.3f}, {metrics["test_studies"]:.0f} studies)
registered   {promotion["model_name"]}, version {promotion["version"]}, \
alias {", ".join(promotion["aliases"]) or "none"}
gate         {"promoted" if promotion["promoted"] else "not promoted"}: {promotion["reason"]}
report       {promotion["report_uri"]}
MLflow UI    {mlflow} ui --backend-store-uri {promotion["tracking_uri"]}"""


TELLERS = {"promotion": _registered, "predictions": _scored, "outcome": _ended}
"""By the kind of what a pipeline ends with."""
