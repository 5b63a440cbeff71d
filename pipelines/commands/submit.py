"""`submit`: a run on Kubeflow, of a version that is uploaded if it is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.arguments import parse
from pipelines.commands.prepare import VersionOptions, prepare
from pipelines.commands.preview import preview
from pipelines.commands.wait import wait
from pipelines.kubeflow.api import Kubeflow


@dataclass(frozen=True)
class SubmitOptions(VersionOptions):
    """Uploads a pipeline's version if it is new, starts a run of it, and prints where to see it.

    Attributes:
      name: of the run; the pipeline's and the version's unless given.
      dry_run: tell what the run would ask for, and start nothing.
      wait: follow the run and end with its outcome.
      poll_seconds: between two looks while waiting.
    """

    name: str = ""
    dry_run: bool = False
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
    print("\n".join(preview(kubeflow, package, values)))
    if options.dry_run:
        print(f"version {version}: would be run; nothing was started")
        return
    pipeline_id, version_id, new = kubeflow.upload_version(package, version, settings.experiment)
    print(f"version {version}: {'uploaded' if new else 'exists already'}")
    run_id = kubeflow.start_run(options.name or f"{pipeline} {version}", pipeline_id, version_id, values)
    print(f"run     {kubeflow.run_url(run_id)}", flush=True)
    if options.wait:
        wait(kubeflow, run_id, package.tasks, values.get("data_root", ""), options.poll_seconds)
