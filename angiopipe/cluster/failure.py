"""Who failed first, and why.

A worker whose peer failed ends too, a second later, with an error of its own; Kubernetes then
deletes pods that still run, and what the API tells last may be the victim's end only.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from angiopipe.cluster.errors import WorkerFailed
from angiopipe.cluster.pods import Pod

LAST_LINES = 20

_LOST_PEER = re.compile(r"UnavailableError|AbortedError|Socket closed|coordination service")
_ASKED_TO_END = (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL)
_LATE = datetime.max.replace(tzinfo=UTC)

_REMEDIES = {
    "OOMKilled": "it needed more than its memory; raise memory, or lower training.batch_size",
    "StartError": "its program could not be started; correct the image, which must hold python and angiopipe",
    "ContainerCannotRun": "its program could not be started; correct the image",
    "Deleted": "its pod was deleted from outside; start again to resume from the last checkpoint",
    "Disrupted": "the cluster took its node or pod away; start again to resume from the last checkpoint",
    "Evicted": "its node ran out of room; raise memory, or start again to resume from the last checkpoint",
}


@dataclass(frozen=True)
class Sighting:
    """The last that was seen of one pod.

    Attributes:
      pod: as it was then.
      gone: it is no longer listed.
      lines: the end of its log.
    """

    pod: Pod
    gone: bool
    lines: Sequence[str]

    @property
    def failed(self) -> bool:
        return self.pod.ended is not None and self.pod.ended.exit_code != 0

    @property
    def taken_away(self) -> bool:
        """Its pod was deleted, which is why it ended, or never was seen to end."""
        ended, deleted_at = self.pod.ended, self.pod.deleted_at
        if ended is None:
            return self.gone or deleted_at is not None or self.pod.disrupted != ""
        if deleted_at is not None and (ended.at is None or ended.at < deleted_at):
            return self.pod.disrupted != ""
        # One that fails and is deleted within a second does not end by a signal.
        asked_to_end = deleted_at is not None and ended.exit_code in (None, *_ASKED_TO_END)
        return asked_to_end or self.pod.disrupted != ""

    @property
    def lost_peer(self) -> bool:
        return self.failed and any(_LOST_PEER.search(line) for line in self.last_lines)

    @property
    def last_lines(self) -> list[str]:
        ended = self.pod.ended
        lines = list(self.lines) or (ended.message.splitlines() if ended else [])
        return lines[-LAST_LINES:]

    @property
    def at(self) -> datetime:
        """When it failed or was taken away; the end of time where that is not known."""
        ended = self.pod.ended.at if self.pod.ended else None
        return self.pod.deleted_at or ended or _LATE


def first(sightings: Sequence[Sighting]) -> Sighting | None:
    """The one that failed by itself, before those that failed because of it.

    Returns:
      The earliest that ended in an error of its own; else the earliest that was taken away before any
      other lost its peer, or that vanished unseen; else the earliest that lost its peer.
    """
    order = sorted(sightings, key=lambda one: (one.at, one.pod.worker))
    lost = [one for one in order if one.lost_peer and not one.taken_away]
    own = [one for one in order if one.failed and not one.lost_peer and not one.taken_away]
    first_lost = lost[0].at if lost else _LATE
    taken = [one for one in order if one.taken_away and not _ended_well(one)]
    before = [one for one in taken if one.pod.disrupted or one.at < first_lost or one.at == _LATE]
    return next(iter([*own, *before, *lost, *taken]), None)


def _ended_well(one: Sighting) -> bool:
    return one.pod.ended is not None and one.pod.ended.exit_code == 0


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
    lines = cause.last_lines
    message = (
        f"TrainJob {job}: expected {workers} workers to end well, found that worker {cause.pod.worker} was the "
        f"first to fail, {_end_in_words(cause, code, reason)}; {remedy}; its last lines:"
    )
    return WorkerFailed(message, cause.pod.worker, code, reason, lines or ["(none were seen)"])


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
