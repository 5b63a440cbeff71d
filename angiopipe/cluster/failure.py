"""What a failed job's error says, and whether another try may end well."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence

from angiopipe.cluster.errors import WorkerFailed
from angiopipe.cluster.sightings import Sighting, first
from angiopipe.ending import TRY_AGAIN

_REMEDIES = {
    "OOMKilled": "it needed more than its memory; raise memory, or lower training.batch_size",
    "StartError": "its program could not be started; correct the image, which must hold python and angiopipe",
    "ContainerCannotRun": "its program could not be started; correct the image",
    "Deleted": "its pod was deleted from outside; start again to resume from the last checkpoint",
    "Disrupted": "the cluster took its node or pod away; start again to resume from the last checkpoint",
    "Evicted": "its node ran out of room; raise memory, or start again to resume from the last checkpoint",
}
_OWN_LIMIT = re.compile(r"exceed")
"""In an eviction's message: the pod took more than its own share, and would again."""

_WILL_FAIL_AGAIN = ("OOMKilled", "StartError", "ContainerCannotRun", "DeadlineExceeded")
_NODES_WORD = (
    "ContainerStatusUnknown",
    "Unknown",
    "Evicted",
    "Terminated",
    "NodeShutdown",
    "Shutdown",
    "NodeLost",
)
"""Reasons for which a node gives its pod whatever exit code."""

_KILLED_FROM_OUTSIDE = tuple(
    128 + one for one in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
)


def worker_failed(
    job: str, sightings: Sequence[Sighting], workers: int, condition: Mapping[str, str]
) -> WorkerFailed:
    """The error that tells a failed job's cause.

    Args:
      job: its name.
      sightings: one of each pod.
      workers: how many there should have been.
      condition: the TrainJob's, which names neither pod nor exit code.
    """
    cause = first(sightings)
    if cause is None:
        return WorkerFailed(
            f"TrainJob {job}: expected {workers} workers to end well, found {condition.get('reason', 'Failed')}: "
            f"{condition.get('message', '')}; no worker was seen to fail; see the events of the JobSet {job}",
            None,
            None,
            condition.get("reason", "Failed"),
            [],
            # Pods that failed stay, so these were taken away.
            passing=condition.get("reason") == "ReachedMaxRestarts",
        )
    ended = cause.pod.ended
    code, reason = (ended.exit_code, ended.reason) if ended else (None, "")
    if cause.taken_away:
        reason = "Disrupted" if cause.pod.disrupted else "Deleted"
    remedy = _REMEDIES.get(reason, "see its last lines")
    if cause.lost_peer and not cause.taken_away:
        remedy = (
            "it lost its peers, none of which was seen to fail, so one of them may hang or its node be gone; start "
            "again to resume from the last checkpoint"
        )
    message = (
        f"TrainJob {job}: expected {workers} workers to end well, found that worker {cause.pod.worker} was the "
        f"first to fail, {_end_in_words(cause, code, reason)}; {remedy}; its last lines:"
    )
    lines = cause.last_lines or ["(none were seen)"]
    return WorkerFailed(message, cause.pod.worker, code, reason, lines, _passing(cause))


def _passing(cause: Sighting) -> bool:
    """Whether the cluster or the network ended a worker, and not its own program, limits or image."""
    ended = cause.pod.ended
    if cause.taken_away or cause.lost_peer or ended is None:
        return True
    if ended.reason in _WILL_FAIL_AGAIN or (ended.reason == "Evicted" and _OWN_LIMIT.search(ended.message)):
        return False
    by_its_node = ended.exit_code is None or ended.reason in _NODES_WORD
    return by_its_node or ended.exit_code in (TRY_AGAIN, *_KILLED_FROM_OUTSIDE)


def _end_in_words(cause: Sighting, code: int | None, reason: str) -> str:
    if reason == "Disrupted":
        return f"disrupted ({cause.pod.disrupted})"
    if reason == "Deleted":
        return "its pod deleted while it ran" if code is None else f"its pod deleted, exit code {code}"
    if code is None:
        message = cause.pod.ended.message if cause.pod.ended else ""
        return f"{reason} ({message})"
    return f"exit code {code} ({reason or 'Error'}{_signal(code, reason)})"


def _signal(code: int, reason: str) -> str:
    """Which signal ended it; an exit code above 128 is one, unless the program never started."""
    if reason in ("StartError", "ContainerCannotRun") or code - 128 not in {
        one.value for one in signal.Signals
    }:
        return ""
    return f", killed by {signal.Signals(code - 128).name}"
