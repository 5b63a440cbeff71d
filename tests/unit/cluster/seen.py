"""Pods, events and conditions with the states and reasons noted on a cluster; the objects are written by hand."""

from __future__ import annotations

from typing import Any

from tests.unit.cluster.replayed_api import CREATED, Object, at

JOB = "angiopipe-run-1"

COMPLETE = {"type": "Complete", "status": "True", "reason": "AllJobsCompleted", "message": "jobset completed"}
FAILED = {
    "type": "Failed",
    "status": "True",
    "reason": "ReachedMaxRestarts",
    "message": f"jobset failed due to reaching max number of restarts (first failed job: {JOB}-node-0)",
}
DEADLINE = {
    "type": "Failed",
    "status": "True",
    "reason": "DeadlineExceeded",
    "message": "TrainJob exceeded its active deadline",
}

UNAVAILABLE = (
    "tensorflow.python.framework.errors_impl.UnavailableError: Collective ops is aborted by: Socket closed"
)


def name(worker: int) -> str:
    return f"{JOB}-node-0-{worker}-x{worker}y2z"


def pod(worker: int, state: Object, conditions: tuple[Object, ...] = (), **metadata: Any) -> Object:
    return {
        "metadata": {
            "name": name(worker),
            "uid": f"pod-{worker}",
            "creationTimestamp": CREATED,
            "labels": {
                "jobset.sigs.k8s.io/jobset-name": JOB,
                "batch.kubernetes.io/job-completion-index": str(worker),
            },
            **metadata,
        },
        "status": {
            "phase": "Failed" if "terminated" in state else "Running" if "running" in state else "Pending",
            "conditions": list(conditions),
            "containerStatuses": [{"name": "node", "state": state}],
        },
    }


def running(worker: int, **metadata: Any) -> Object:
    return pod(worker, {"running": {"startedAt": at(2)}}, **metadata)


def waiting(worker: int, reason: str, message: str = "") -> Object:
    return pod(worker, {"waiting": {"reason": reason, "message": message}})


def ended(
    worker: int, code: int, reason: str, second: int = 20, message: str = "", **metadata: Any
) -> Object:
    state = {"exitCode": code, "reason": reason, "message": message, "finishedAt": at(second)}
    return pod(worker, {"terminated": state}, **metadata)


def without_container(worker: int, reason: str, message: str, second: int | None, code: int | None) -> Object:
    """A pod that its node ended, of whose container little or nothing is told."""
    state = {} if code is None else {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": None}}
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": at(second or 0)}
    found = pod(worker, state, (ready,) if second else ())
    found["status"] |= {"phase": "Failed", "reason": reason, "message": message}
    return found


def succeeded(worker: int) -> Object:
    return ended(worker, 0, "Completed")


def unscheduled(worker: int, message: str) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    found = pod(worker, {"waiting": {}}, (condition,))
    del found["status"]["containerStatuses"]  # A pod without a node has none.
    return found


def deleted(found: Object, second: int, grace: int = 30) -> Object:
    """A pod whose deletion was asked for in that second."""
    marks = {"deletionTimestamp": at(second + grace), "deletionGracePeriodSeconds": grace}
    return {**found, "metadata": {**found["metadata"], **marks}}


def event(kind: str, involved: str, reason: str, message: str, second: int = 5) -> Object:
    return {
        "metadata": {"creationTimestamp": at(second)},
        "involvedObject": {"kind": kind, "name": involved},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at(second),
    }
