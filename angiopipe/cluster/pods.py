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
      exit_code: None where its node ended the pod, and no code of the container's tells more.
      reason: Kubernetes' word, the pod's own before its container's.
      message: the last lines of its log, or what Kubernetes has to say.
      at: by its node's clock, to the second; None where it is not told.
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
      disrupted_at: when; None where it is not told.
      deleted_at: when its deletion was asked for; None where it was not.
      killed_at: when a deleted pod that does not end is killed.
    """

    name: str
    uid: str
    worker: int
    unscheduled: str
    waiting: tuple[str, str] | None
    running: bool
    ended: Ended | None
    disrupted: str
    disrupted_at: datetime | None
    deleted_at: datetime | None
    killed_at: datetime | None

    @property
    def started(self) -> bool:
        return self.running or self.ended is not None


def read_pod(pod: Mapping[str, Any]) -> Pod:
    """Reads a pod as the API server describes it."""
    metadata, status = pod["metadata"], pod.get("status", {})
    state = _state(status)
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    waiting, disruption = state.get("waiting"), conditions.get("DisruptionTarget", {})
    killed_at = time_of(metadata.get("deletionTimestamp"))
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        worker=_worker(metadata),
        unscheduled=_unscheduled(conditions.get("PodScheduled", {})),
        waiting=(waiting.get("reason", ""), waiting.get("message", "")) if waiting else None,
        running="running" in state,
        ended=_ended(state, status, conditions.get("Ready", {})),
        disrupted=_disrupted(disruption),
        disrupted_at=time_of(disruption.get("lastTransitionTime")),
        # The server's timestamp is when the pod's grace ends.
        deleted_at=killed_at - grace if killed_at else None,
        killed_at=killed_at,
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


def _ended(state: Mapping[str, Any], status: Mapping[str, Any], ready: Mapping[str, Any]) -> Ended | None:
    container, failed = state.get("terminated") or {}, status.get("phase") == "Failed"
    if not container and not failed:
        return None
    # What its node did to a pod is told of the pod; the container then has a signal's code, any, or none.
    reason = status.get("reason") or "" if failed else ""
    code = container.get("exitCode")
    unready_at = ready.get("lastTransitionTime") if ready.get("status") == "False" else None
    return Ended(
        exit_code=None if reason and code == 0 else code,
        reason=reason or container.get("reason") or ("" if container else "Failed"),
        message=(status.get("message") if reason else "") or container.get("message") or "",
        at=time_of(container.get("finishedAt") or unready_at),
    )


def _disrupted(condition: Mapping[str, Any]) -> str:
    if condition.get("status") != "True":
        return ""
    return f"{condition.get('reason', '')}: {condition.get('message', '')}"
