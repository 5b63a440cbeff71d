"""`run`: a pipeline on this machine, each step in a process of its own; no Docker, no cluster."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from angiopipe import storage
from angiopipe.rules import tracking_uri_of
from pipelines.arguments import Options, parse, refuse_what_kubeflow_replaces
from pipelines.commands.local_runs import new_run_id, noted
from pipelines.errors import PipelineError
from pipelines.graphs import load

STEPS_BIN = Path(__file__).parents[1] / "bin"
PYTHON_VARIABLE = "ANGIOPIPE_PYTHON"
"""Tells the `python3` there which Python to start."""

MOST_CHARACTERS = 65_536
"""Of all parameters as JSON: half of what Linux lets one argument of a process have, the rest is Kubeflow's."""

DEEPEST = 300
"""Bytes that the longest path within the data root has below it, MLflow's files being the deepest."""

SCRATCH_BYTES = 1 << 20
"""What a step needs at least for files that are gone when it ends; for a model's weights it is more."""


@dataclass(frozen=True)
class RunOptions(Options):
    """Runs a pipeline on this machine, each step in a process of its own; no Docker, no cluster."""


def run_pipeline(pipeline: str, arguments: Sequence[str]) -> None:
    """Runs a pipeline here and tells what it made.

    Raises:
      PipelineError: a step failed, or Kubeflow would not hand the parameters on as they are.
      OSError: nothing can be written under the data root.
      ValueError: MLflow's database cannot lie there.
    """
    _, _, values = parse("run", pipeline, RunOptions, arguments)
    run_here(pipeline, values)


def run_here(pipeline: str, values: dict[str, Any]) -> None:
    """Runs a pipeline with these parameters and tells what it made, as `run_pipeline`."""
    values["data_root"] = storage.absolute(values["data_root"])
    refuse_what_kubeflow_replaces(values)
    if len(json.dumps(values)) > MOST_CHARACTERS:
        raise PipelineError(f"expected parameters of at most {MOST_CHARACTERS:,} characters in all, got more")
    if not values.get("tracking_uri", "none"):
        tracking_uri_of("", values["data_root"])
    started, values["run_id"] = time.time(), values.get("run_id") or new_run_id()
    made = _run_locally(pipeline, values)
    print(summary(made, time.time() - started))


def _run_locally(pipeline: str, values: dict[str, Any]) -> dict[str, Any]:
    """Runs the graph under its note and returns the manifest it ends with, or the account of a graph that ends in none."""
    from kfp import local

    from pipelines.terminal import executor_lines_hidden

    _refuse_full_scratch()
    root = _own_folder(values["data_root"])
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    with noted(pipeline, values), executor_lines_hidden() as output, _commands_as_written():
        try:
            outputs = load(pipeline)(**values).outputs
        except RuntimeError as error:
            raise PipelineError("\n".join(output.failure) or _without_reason(error, output.last)) from None
    manifest = Path(outputs["Output"].path) if "Output" in outputs else next(root.rglob("account"))
    return dict(json.loads(manifest.read_text()))


def summary(made: dict[str, Any], seconds: float) -> str:
    """What a run ends by telling.

    Args:
      made: the manifest that the pipeline ends with, or the account.
      seconds: that it took.
    """
    return f"\n{TELLERS[made['kind']](made)}\nfinished     in {seconds:.0f} s"


def _own_folder(data_root: str) -> Path:
    """Where Kubeflow keeps its files of this run: in folders only; steps reach an object store by themselves.

    Raises:
      OSError: there is no room, no right, or no folder; told before the first step.
    """
    if not storage.is_local(data_root):
        return Path(tempfile.mkdtemp(prefix="kubeflow-"))
    folder = storage.join(data_root, "kubeflow", f"{time.time_ns()}-{os.getpid()}")
    if len(os.fsencode(folder)) + DEEPEST > os.pathconf("/", "PC_PATH_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), data_root)
    storage.write_text(storage.join(folder, "begun"), f"{os.getpid()}\n")
    return Path(folder)


def _refuse_full_scratch() -> None:
    """Raises the OSError that the first step would end with, after much else, where nothing can be written for a while."""
    scratch = storage.join(tempfile.gettempdir(), f"angiopipe-{os.getpid()}")
    storage.write_bytes(scratch, bytes(SCRATCH_BYTES))
    storage.remove(scratch)


@contextmanager
def _commands_as_written() -> Iterator[None]:
    """Has Kubeflow start steps by the word `python3`, which leads to `STEPS_BIN`.

    It puts `sys.executable` in place of that word wherever it stands in a task's command, in paths and
    all other parameters too. Where both are the same, nothing changes.
    """
    python, path = sys.executable, os.environ.get("PATH", os.defpath)
    os.environ |= {
        PYTHON_VARIABLE: python,
        "PATH": f"{STEPS_BIN}{os.pathsep}{path}",
        "TMPDIR": tempfile.gettempdir(),
    }
    sys.executable = "python3"
    try:
        yield
    finally:
        sys.executable = python
        os.environ["PATH"] = path


def _without_reason(error: RuntimeError, last: str) -> str:
    """What is known of a step that could not begin, or was killed."""
    plain = re.sub(r"\x1b\[\d+m", "", str(error))
    return f"{plain} It gave no reason: it was killed, as where memory runs out, or did not begin. Its last line: {last}"


def _ended(account: dict[str, Any]) -> str:
    promotion = account["promotion"]
    told = f"outcome      {account['outcome']}: {account['reason']}"
    return f"{_registered(promotion)}\n{told}" if promotion else told


def _scored(predictions: dict[str, Any]) -> str:
    studies = sum(shard["studies"] for shard in predictions["shards"])
    return f"""\
scored       {studies} studies ({predictions["quarantined"]} left out), data {predictions["data_fingerprint"]}
model        {predictions["model_name"]}, version {predictions["model_version"]}
answers      {shlex.quote(predictions["output_uri"])}
with sources {shlex.quote(predictions["predictions_uri"])}"""


def _registered(promotion: dict[str, Any]) -> str:
    metrics = promotion["metrics"]
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    return f"""\
test AUROC   {metrics["test_auroc"]:.3f} (95 % interval {metrics["test_auroc_low"]:.3f} to \
{metrics["test_auroc_high"]:.3f}, {metrics["test_studies"]:.0f} studies)
registered   {promotion["model_name"]}, version {promotion["version"]}, \
alias {", ".join(promotion["aliases"]) or "none"}
gate         {"promoted" if promotion["promoted"] else "not promoted"}: {promotion["reason"]}
report       {shlex.quote(promotion["report_uri"])}
MLflow UI    {shlex.join([mlflow, "ui", "--backend-store-uri", promotion["tracking_uri"]])}"""


TELLERS = {"promotion": _registered, "predictions": _scored, "outcome": _ended}
"""By the kind of what a pipeline ends with."""
