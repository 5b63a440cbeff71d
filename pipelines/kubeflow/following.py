"""Follows a run to its end, a line for each step's change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from angiopipe.cluster.pending import remedy
from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import Object, entries, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.steps import (
    FAILED,
    FINAL,
    NEVER,
    PENDING,
    RUNNING,
    TAKEN_OVER,
    Seen,
    seen_steps,
    state_of,
    time_of,
)

LONG_PENDING_SECONDS = 300.0
"""From when on a step that waits is told of once more, with what to do about it."""

LOOKS = 6
"""So many looks in a row have to say the same before an answer is believed that lacks what would make it certain."""


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
      PipelineError: the server was away for too long, or does not say how the run stands.
    """
    telling, before, uncertain = _Telling(kubeflow, run_id, tell), "", 0
    while True:
        run = kubeflow.run(run_id)
        telling.look(run, steps)
        state = state_of(run)
        if is_finished(run):
            return run
        ended = time_of(run, "finished_at") > NEVER
        doubtful = not state or ended or (state in FINAL and not text(run, "finished_at"))
        uncertain = uncertain + 1 if doubtful and state == before else int(doubtful)
        if uncertain >= LOOKS and state in FINAL:
            return run
        if uncertain >= LOOKS:
            raise PipelineError(
                f"run {run_id}: expected Kubeflow to tell how it stands, found {state or 'no state'} in "
                f"{LOOKS} answers{' after its end' if ended else ''}; see {kubeflow.run_url(run_id)}"
            )
        before = state
        time.sleep(poll_seconds)


def is_finished(run: Object) -> bool:
    """Whether a run has ended for good.

    A run with an exit handler, or with a step that is tried again, is FAILED for a while and then
    RUNNING once more; only what has ended has a time at which it did.
    """
    return state_of(run) in FINAL and time_of(run, "finished_at") > NEVER


def failed_steps(run: Object, steps: Sequence[str]) -> list[str]:
    """The steps that failed, in the graph's order."""
    return [name for name, seen in seen_steps(run, steps).items() if seen.state == FAILED]


def was_terminated(run: Object) -> bool:
    """Whether somebody ended it; its last state is FAILED even then."""
    return any(text(one, "state") in ("CANCELING", "CANCELED") for one in entries(run, "state_history"))


@dataclass
class _Wait:
    """What was told of a step that is pending: since when, why, and whether what to do about it."""

    since: float
    why: str
    advised: bool = False


@dataclass
class _Telling:
    """What has been told of a run's steps, by step, so that each change is told once."""

    kubeflow: Kubeflow
    run_id: str
    tell: Callable[[str], None]
    states: dict[str, str] = field(default_factory=dict)
    waits: dict[str, _Wait] = field(default_factory=dict)

    def look(self, run: Object, steps: Sequence[str]) -> None:
        for name, seen in seen_steps(run, steps).items():
            before = self.states.get(name, "")
            if seen.state == PENDING:
                self._tell_pending(name, bool(before))
            else:
                self.waits.pop(name, None)
                if seen.state != before:
                    self._tell(name, _in_words(seen, before in FINAL))
            self.states[name] = seen.state

    def _tell_pending(self, name: str, again: bool) -> None:
        why = self.kubeflow.why_pending(self.run_id, name)
        wait = self.waits.get(name)
        if not wait or why not in ("", wait.why):
            words = "pending again" if again and not wait else "pending"
            self._tell(name, f"{words}: {why}" if why else words)
            self.waits[name] = wait = _Wait(wait.since if wait else time.monotonic(), why)
        seconds = time.monotonic() - wait.since
        if seconds > LONG_PENDING_SECONDS and not wait.advised:
            wait.advised = True
            do = remedy(wait.why) or "see the events of its pod"
            url = self.kubeflow.run_url(self.run_id)
            self._tell(
                name,
                f"pending for {seconds / 60:.0f} min, which `timeout` does not count; {do}, or end the run: {url}",
            )

    def _tell(self, name: str, what: str) -> None:
        self.tell(f"{datetime.now():%H:%M:%S} {name}: {what}")


def _in_words(seen: Seen, again: bool) -> str:
    if seen.state == TAKEN_OVER:
        return "cached: an earlier run's work is taken over"
    if seen.state in FINAL:
        return f"{seen.state.lower()} after {seen.seconds:.0f} s"
    return f"{seen.state.lower()} again" if again and seen.state == RUNNING else seen.state.lower()
