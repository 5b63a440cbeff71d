"""`status`: the schedules of an experiment and its last runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.arguments import Options, parse_options
from pipelines.kubeflow.answers import Object, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import is_finished
from pipelines.kubeflow.steps import seconds, state_of

_UNTOLD = "untold"


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
        cron = text(one, "trigger", "cron_schedule", "cron", default="no cron")
        name = text(one, "display_name", default=_UNTOLD)
        print(f"  {name:24} {cron:20} {text(one, 'status', default=_UNTOLD).lower()}")
    print("last runs")
    for run in kubeflow.last_runs(experiment_id, options.runs):
        created, name, run_id = (
            text(run, field, default=_UNTOLD) for field in ("created_at", "display_name", "run_id")
        )
        print(f"  {created} {_outcome(run):24} {name:40} {run_id}")


def _outcome(run: Object) -> str:
    state = state_of(run)
    if not is_finished(run):
        return "running" if state == "FAILED" else (state or _UNTOLD).lower()
    return f"{state.lower()} after {seconds(run):.0f} s"
