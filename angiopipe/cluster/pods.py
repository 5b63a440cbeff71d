"""What the API tells of a worker's pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from angiopipe.cluster.trainjob import CONTAINER

JOBSET_LABEL = "jobset.sigs.k8s.io/jobset-name"
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Ended:
    """How a worker's container ended.

    Attributes:
      exit_code: None where the pod failed without one, such as an evicted pod.
      reason: Kubernetes' word.
      message: the last lines of its log, or what Kubernetes has to say.
      at: by the cluster's clock, to the second; None where it is not told.
    """

    exit_code: int | None
    reason: str
    message: str
    at: datetime | None


@dataclass(frozen=True)
class Pod:
    """One look at one pod.

    Attributes:
      worker: its number, counted from 0.
      unscheduled: why no node takes it, in the scheduler's words; empty where one does.
      waiting: why its container does not start: reason and message; None where it does not wait.
      ended: None while it has not.
      disrupted: why the cluster took it away, such as an eviction; empty where it did not.
      deleted_at: when its deletion was asked for; None where it was not.
    """

    name: str
    uid: str
    worker: int
    unscheduled: str
    waiting: tuple[str, str] | None
    running: bool
    ended: Ended | None
    disrupted: str
    deleted_at: datetime | None

    @property
    def started(self) -> bool:
        return self.running or self.ended is not None


def read_pod(pod: Mapping[str, Any]) -> Pod:
    """Reads a pod as the API server describes it."""
    metadata, status = pod["metadata"], pod.get("status", {})
    state = _state(status)
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    waiting = state.get("waiting")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        worker=_worker(metadata),
        unscheduled=_unscheduled(conditions.get("PodScheduled", {})),
        waiting=(waiting.get("reason", ""), waiting.get("message", "")) if waiting else None,
        running="running" in state,
        ended=_ended(state, status),
        disrupted=_disrupted(conditions.get("DisruptionTarget", {})),
        deleted_at=_deleted_at(metadata),
    )


def time_of(text: str | None) -> datetime | None:
    """A Kubernetes timestamp, with or without fractions of a second."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            return container.get("state") or {}
    return {}


def _worker(metadata: Mapping[str, Any]) -> int:
    for marks in (metadata.get("labels") or {}, metadata.get("annotations") or {}):
        if _INDEX in marks:
            return int(marks[_INDEX])
    found = re.search(rf"-{CONTAINER}-0-(\d+)-\w+$", metadata["name"])
    return int(found[1]) if found else 0


def _unscheduled(condition: Mapping[str, Any]) -> str:
    if condition.get("status") != "False":
        return ""
    return condition.get("message") or condition.get("reason") or "the scheduler gives no reason"


def _ended(state: Mapping[str, Any], status: Mapping[str, Any]) -> Ended | None:
    ended = state.get("terminated")
    if ended:
        return Ended(
            exit_code=ended["exitCode"],
            reason=ended.get("reason", ""),
            message=ended.get("message", ""),
            at=time_of(ended.get("finishedAt")),
        )
    if status.get("phase") == "Failed":
        return Ended(None, status.get("reason", "Failed"), status.get("message", ""), None)
    return None


def _disrupted(condition: Mapping[str, Any]) -> str:
    if condition.get("status") != "True":
        return ""
    return f"{condition.get('reason', '')}: {condition.get('message', '')}"


def _deleted_at(metadata: Mapping[str, Any]) -> datetime | None:
    """The server's timestamp is when the pod's grace ends."""
    ends = time_of(metadata.get("deletionTimestamp"))
    return ends - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0) if ends else None
