"""Follows a run to its end, a line for each step's change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.connection import Object

SUCCEEDED = "SUCCEEDED"
FINAL = frozenset({SUCCEEDED, "SKIPPED", "FAILED", "CANCELED"})
NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""When a run was finished that is not."""


def follow(
    kubeflow: Kubeflow,
    run_id: str,
    steps: Sequence[str],
    poll_seconds: float,
    tell: Callable[[str], None] = print,
) -> Object:
    """Waits for a run to end and tells each change of its steps.

    Args:
      kubeflow: where it runs.
      run_id: of the run.
      steps: the names of the graph's tasks; Argo's wrappers around them are not told of.
      poll_seconds: between two looks.
      tell: takes a line.

    Returns:
      The run as it ended.

    Raises:
      PipelineError: the server was away for too long.
    """
    told: dict[str, str] = {}
    while True:
        run = kubeflow.run(run_id)
        seen = {one.get("display_name", ""): one for one in _tasks(run)}
        for name in steps:
            state = seen.get(name, {}).get("state", "")
            if state and state != told.get(name):
                tell(f"{datetime.now():%H:%M:%S} {name}: {_in_words(seen[name], bool(told.get(name)))}")
                told[name] = state
        if is_finished(run):
            return run
        time.sleep(poll_seconds)


def is_finished(run: Object) -> bool:
    """Whether a run has ended for good.

    A run with an exit handler, or with a step that is tried again, is FAILED for a while and then
    RUNNING once more; only what has ended has a time at which it did.
    """
    return run.get("state") in FINAL and _time(run.get("finished_at")) > NEVER


def failed_steps(run: Object, steps: Sequence[str]) -> list[str]:
    """The steps that failed, in the graph's order."""
    failed = {one.get("display_name") for one in _tasks(run) if one.get("state") == "FAILED"}
    return [name for name in steps if name in failed]


def was_terminated(run: Object) -> bool:
    """Whether somebody ended it; its last state is FAILED even then."""
    return any(one["state"] in ("CANCELING", "CANCELED") for one in run.get("state_history", ()))


def seconds(task: Object) -> float:
    """How long a task or run took, as far as it is known."""
    began = task.get("start_time") or task.get("created_at")
    ended = task.get("end_time") or task.get("finished_at")
    return max(0.0, (_time(ended) - _time(began)).total_seconds())


def _tasks(run: Object) -> list[Object]:
    return run.get("run_details", {}).get("task_details", [])


def _in_words(task: Object, again: bool) -> str:
    state = task["state"]
    if state in FINAL:
        return f"{state.lower()} after {seconds(task):.0f} s"
    return f"{state.lower()} again" if again and state == "RUNNING" else state.lower()


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else NEVER
