"""`submit`: a run on Kubeflow, of a version that is uploaded if it is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from angiopipe import storage
from angiopipe.step import run_folder
from pipelines.arguments import parse
from pipelines.commands.prepare import VersionOptions, prepare
from pipelines.errors import PipelineError
from pipelines.failures import failures_of, in_words
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.connection import Object
from pipelines.kubeflow.following import SUCCEEDED, failed_steps, follow, seconds, was_terminated


@dataclass(frozen=True)
class SubmitOptions(VersionOptions):
    """Uploads a pipeline's version if it is new, starts a run of it, and prints where to see it.

    Attributes:
      name: of the run; the pipeline's and the version's unless given.
      wait: follow the run and end with its outcome.
      poll_seconds: between two looks while waiting.
    """

    name: str = ""
    wait: bool = False
    poll_seconds: float = 10.0


def submit(pipeline: str, arguments: Sequence[str]) -> None:
    """Starts a run on Kubeflow.

    Raises:
      PipelineError: it could not be started, or, where one waits for it, it did not succeed.
    """
    settings, options, values = parse("submit", pipeline, SubmitOptions, arguments)
    kubeflow = Kubeflow(settings)
    package, version = prepare(pipeline, settings, options, values)
    pipeline_id, version_id, new = kubeflow.upload_version(package, version, settings.experiment)
    print(f"version {version}: {'uploaded' if new else 'exists already'}")
    run_id = kubeflow.start_run(options.name or f"{pipeline} {version}", pipeline_id, version_id, values)
    print(f"run     {kubeflow.run_url(run_id)}", flush=True)
    if options.wait:
        try:
            run = follow(
                kubeflow, run_id, package.tasks, options.poll_seconds, lambda line: print(line, flush=True)
            )
        except KeyboardInterrupt:
            raise PipelineError(
                f"no longer waited for; the run goes on: {kubeflow.run_url(run_id)}"
            ) from None
        _end(run, package.tasks, values)


def _end(run: Object, steps: Sequence[str], values: dict[str, Any]) -> None:
    """Ends as the run did.

    Raises:
      PipelineError: it did not succeed.
    """
    if run["state"] == SUCCEEDED:
        print(f"succeeded after {seconds(run):.0f} s")
        return
    if was_terminated(run):
        raise PipelineError(f"run {run['run_id']} was terminated after {seconds(run):.0f} s")
    failed = ", ".join(failed_steps(run, steps)) or "no step"
    lines = [f"run {run['run_id']}: {run['state'].lower()} after {seconds(run):.0f} s; failed: {failed}"]
    raise PipelineError("\n".join(lines + _causes(values.get("data_root", ""), run["run_id"])))


def _causes(data_root: str, run_id: str) -> list[str]:
    """What the steps left behind, as far as this machine can read it."""
    if not data_root:
        return []
    folder = storage.join(run_folder(data_root, run_id), "failures")
    try:
        return [in_words(one) for one in failures_of(data_root, run_id)] or [
            f"{folder}: no step left an error, so it ended before its code ran, or was killed: see its pod's events"
        ]
    except Exception as error:  # Each store's driver has errors of its own.
        return [
            f"the cause lies in {folder}, which cannot be read from here: {type(error).__name__}: {error}"
        ]
