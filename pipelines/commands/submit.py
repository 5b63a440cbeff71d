"""`submit`: a run on Kubeflow, of a version that is uploaded if it is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.arguments import parse
from pipelines.commands.prepare import VersionOptions, prepare
from pipelines.commands.preview import preview
from pipelines.commands.wait import wait
from pipelines.kubeflow.answers import text
from pipelines.kubeflow.api import Kubeflow
from pipelines.package import Package


@dataclass(frozen=True)
class StartOptions(VersionOptions):
    """What a command takes that starts a run.

    Attributes:
      name: of the run; named after the pipeline and the version unless given.
      wait: follow the run and end with its outcome.
      poll_seconds: between two looks while waiting.
    """

    name: str = ""
    wait: bool = False
    poll_seconds: float = 10.0


@dataclass(frozen=True)
class SubmitOptions(StartOptions):
    """Uploads a pipeline's version if it is new, starts a run of it, and prints where to see it.

    Attributes:
      dry_run: tell what the run would ask for, and start nothing.
    """

    dry_run: bool = False


def submit(pipeline: str, arguments: Sequence[str]) -> None:
    """Starts a run on Kubeflow.

    Raises:
      PipelineError: it could not be started, or, where one waits for it, it did not succeed.
    """
    settings, options, values = parse("submit", pipeline, SubmitOptions, arguments)
    kubeflow = Kubeflow(settings)
    package, version = prepare(pipeline, settings, options, values)
    print("\n".join(preview(kubeflow, package, values)))
    if options.dry_run:
        print(f"version {version}: would be run; nothing was started")
        return
    start(kubeflow, package, version, values, options)


def start(
    kubeflow: Kubeflow,
    package: Package,
    version: str,
    values: dict[str, Any],
    options: StartOptions,
    resumes: str = "",
) -> None:
    """Uploads a version if it is new and starts a run of it.

    Args:
      kubeflow: where it runs.
      package: of the pipeline.
      version: the package's name there.
      values: of the pipeline's parameters.
      options: the run's name, and whether it is waited for.
      resumes: the name of the work that the run goes on with.

    Raises:
      PipelineError: it could not be started, or, where one waits for it, it did not succeed.
    """
    pipeline_id, version_id, new = kubeflow.upload_version(package, version, kubeflow.settings.experiment)
    print(f"version {version}: {'uploaded' if new else 'exists already'}")
    name = options.name or f"{package.name} {version}" + (f", resumes {resumes}" if resumes else "")
    run_id = kubeflow.start_run(name, pipeline_id, version_id, values)
    goes_on = f", goes on with the work of {resumes}" if resumes else ""
    print(f"run     {kubeflow.run_url(run_id)}{goes_on}", flush=True)
    if options.wait:
        wait(kubeflow, run_id, package.tasks, text(values, "data_root"), options.poll_seconds)
