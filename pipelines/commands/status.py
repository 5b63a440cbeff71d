"""`status`: the schedules of an experiment and its last runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.arguments import Options, parse_options
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.connection import Object
from pipelines.kubeflow.following import is_finished, seconds


@dataclass(frozen=True)
class StatusOptions(Options):
    """Shows the schedules of the settings' experiment and its last runs.

    Attributes:
      runs: how many.
    """

    runs: int = 10


def status(arguments: Sequence[str]) -> None:
    """Prints the schedules and the last runs.

    Raises:
      PipelineError: the server does not answer.
    """
    settings, options = parse_options("status", StatusOptions, arguments)
    kubeflow = Kubeflow(settings)
    experiment_id = kubeflow.find_experiment()
    if experiment_id is None:
        print(f"experiment {settings.experiment}: there is none yet")
        return
    print("schedules")
    for one in kubeflow.schedules(experiment_id):
        cron = one.get("trigger", {}).get("cron_schedule", {}).get("cron", "no cron")
        print(f"  {one['display_name']:24} {cron:20} {one['status'].lower()}")
    print("last runs")
    for run in kubeflow.last_runs(experiment_id, options.runs):
        print(f"  {run['created_at']} {_outcome(run):24} {run['display_name']:40} {run['run_id']}")


def _outcome(run: Object) -> str:
    if not is_finished(run):
        return "running" if run["state"] == "FAILED" else run["state"].lower()
    return f"{run['state'].lower()} after {seconds(run):.0f} s"
