"""Which worker failed first, by what its pod tells of its end, whenever the launcher came to see it.

A worker whose peer failed ends too, a second later, with an error of its own; Kubernetes then
deletes pods that still run, and after a while in which the API was silent all of it is seen at once, or
the victim's end only.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from angiopipe.cluster.pods import Pod
from angiopipe.logs import plain_lines

LAST_LINES = 20

_LOST_PEER = re.compile(
    r"(Unavailable|Aborted|Cancelled|DeadlineExceeded)Error|Socket closed|coordination service|remote process exited"
)
_SUMMARY = re.compile(r"^[\w.]+(Error|Exception)\b")
"""How the line begins in which Python, or our worker, tells what it ended by."""

_ERROR_OR_CRASH = (1, *(128 + one for one in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)))
_KILLED, _TERMINATED = 128 + signal.SIGKILL, 128 + signal.SIGTERM
_LATE = datetime.max.replace(tzinfo=UTC)
_SECOND = timedelta(seconds=1)


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
    def vanished(self) -> bool:
        """It ran when it was last seen, and there is no sign of what became of it."""
        pod = self.pod
        return self.gone and pod.ended is None and pod.deleted_at is None and not pod.disrupted

    @property
    def taken_away(self) -> bool:
        """The cluster, or somebody, took its pod away, which is why it ended or was never seen to end."""
        pod, ended = self.pod, self.pod.ended
        if ended is None:
            return self.gone or pod.deleted_at is not None or pod.disrupted != ""
        if pod.disrupted and (ended.at is None or pod.disrupted_at is None or pod.disrupted_at <= ended.at):
            return True
        if pod.deleted_at is None or (ended.at is not None and ended.at < pod.deleted_at):
            return pod.disrupted != "" and ended.exit_code in (None, _KILLED, _TERMINATED)
        # One that fails, or is killed, and is deleted within a second was not yet asked to end.
        if ended.exit_code == _KILLED and ended.at is not None and pod.killed_at is not None:
            return ended.at >= pod.killed_at - _SECOND
        return ended.exit_code in (None, 0, _KILLED, _TERMINATED)

    @property
    def lost_peer(self) -> bool:
        """It ended by itself, and only because a peer was gone."""
        ended = self.pod.ended
        if ended is None or ended.exit_code in (None, 0, _KILLED) or ended.reason not in ("", "Error"):
            return False
        lines = self._all_lines
        summaries = [line for line in lines if _SUMMARY.match(line)]
        return any(_LOST_PEER.search(line) for line in summaries[-1:] or lines)

    @property
    def explained(self) -> bool:
        """It tells of a cause of its own, be it by a code or a reason that no lost peer leads to."""
        ended = self.pod.ended
        if not self.failed or ended is None or self.lost_peer or self.taken_away:
            return False
        plain = ended.exit_code == 1 and ended.reason in ("", "Error")
        return not plain or any(_SUMMARY.match(line) for line in self._all_lines)

    @property
    def last_lines(self) -> list[str]:
        """Its log's, and what the pod tells of its end where the log could not be read so far."""
        lines, told = list(self.lines), self._told_by_pod
        if told and told[-1] not in lines:
            lines += [line for line in told if line not in lines]
        return lines[-LAST_LINES:]

    @property
    def at(self) -> datetime:
        """When it failed or was taken away; the end of time where that is not known."""
        pod = self.pod
        known = (pod.ended.at if pod.ended else None, pod.deleted_at, pod.disrupted_at)
        return min((one for one in known if one is not None), default=_LATE)

    @property
    def _all_lines(self) -> list[str]:
        """Its log may have been cut off before its end, which the pod then still tells."""
        return [*self.lines, *self._told_by_pod]

    @property
    def _told_by_pod(self) -> list[str]:
        told = self.pod.ended.message.splitlines() if self.pod.ended else []
        return [line for one in told for line in plain_lines(one)]


def first(sightings: Sequence[Sighting]) -> Sighting | None:
    """The one that failed by itself, before those that failed because of it.

    Times are whole seconds, and a peer falls within one, so what each one tells of its cause decides before them.

    Returns:
      The earliest that tells of a cause of its own; else the earliest that failed, or was taken away before any
      other lost its peer, or alone vanished; else the earliest that lost its peer. None where all of several
      vanished.
    """
    vanished = [one for one in sightings if one.vanished]
    if len(sightings) > 1 and len(vanished) == len(sightings):
        return None
    order = sorted(sightings, key=lambda one: (one.at, _by_itself(one), one.pod.worker))
    explained = [one for one in order if one.explained]
    lost = [one for one in order if one.lost_peer and not one.taken_away]
    first_lost = lost[0].at if lost else _LATE
    taken = [one for one in order if one.taken_away and not _ended_well(one)]
    before = [
        one
        for one in order
        if (one in taken and (one.pod.disrupted or [one] == vanished or one.at <= first_lost))
        or (one.failed and not one.taken_away and not one.lost_peer)
    ]
    return next(iter([*explained, *before, *lost, *taken]), None)


def _by_itself(one: Sighting) -> int:
    """0 for an end that no lost peer leads to, 1 for errors and crashes, 2 for who was taken away."""
    ended = one.pod.ended
    if one.taken_away or not one.failed or ended is None:
        return 2
    return int(ended.exit_code in _ERROR_OR_CRASH and ended.reason in ("", "Error"))


def _ended_well(one: Sighting) -> bool:
    return one.pod.ended is not None and one.pod.ended.exit_code == 0
