"""Why a job's workers do not run, in words.

A TrainJob whose pods cannot start says Created for ever. The reason is in the pods' conditions and
waiting containers, or, where there are no pods, in events of the Job, the JobSet and the TrainJob.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angiopipe.cluster.pods import Pod


@dataclass(frozen=True)
class Obstacle:
    """One thing that keeps workers from running.

    Attributes:
      kind: what it is; it stays the same while the cluster's wording varies.
      workers: the numbers of those it keeps; empty where none has a pod.
      text: what was found and the remedy.
    """

    kind: str
    workers: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        if not self.workers:
            return self.text
        numbers = ", ".join(map(str, self.workers))
        return f"worker{'s' if len(self.workers) > 1 else ''} {numbers}: {self.text}"


STARTING = "starting"
"""The kind of what passes by itself within seconds."""

_SCHEDULING = (
    (
        r"Insufficient [\w.-]+/[\w.-]+",
        "no node has the GPUs asked for free; add nodes to the GPU node pool, wait for other jobs, or change "
        "gpus or gpu_resource",
    ),
    (
        r"Insufficient (cpu|memory|ephemeral-storage|pods)",
        "no node has as much free; ask for less cpu or memory, or add larger nodes",
    ),
    (
        r"didn't match Pod's node affinity/selector",
        "no node has the labels of node_selector; correct it, or label the nodes",
    ),
    (r"untolerated taint", "the nodes have a taint that the pods do not tolerate; add it to tolerations"),
    (r"PersistentVolumeClaim|persistentvolumeclaim|volume", "a volume is not to be had; create or bind it"),
)
_WAITING = (
    (
        r"ErrImage|ImagePull|InvalidImage|ImageInspect|RegistryUnavailable",
        "the image cannot be pulled; correct image, push it, or give the service account an imagePullSecret",
    ),
    (
        r"CreateContainerConfigError",
        "the container's configuration names what does not exist; create the Secret or its key, or correct "
        "secret_env",
    ),
    (r"CreateContainer|RunContainer|PostStartHook", "the node cannot create the container; see the image"),
)
_NO_PODS = (
    (
        r"service ?account .*not found",
        "the service account is missing; create it, or correct service_account",
    ),
    (
        r"exceeded quota|must specify",
        "the namespace's quota does not allow the pods; wait for other jobs, raise it, or ask for less",
    ),
    (r"violates PodSecurity|is forbidden", "the namespace does not allow such pods; correct what it names"),
)
_SETTING_UP = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_MOUNTING = (
    (r"secret .*not found", "a Secret is missing; create it, or correct the runtime's volumes"),
    (r"", "the pod cannot be set up on its node; see what it names"),
)


def obstacles(
    pods: Sequence[Pod], events: Iterable[Mapping[str, Any]], workers: int, suspended: bool
) -> list[Obstacle]:
    """What keeps the workers from running; empty where all of them have started.

    Args:
      pods: the newest of each worker.
      events: of the TrainJob, its JobSet, its Job and its pods, oldest first.
      workers: how many there should be.
      suspended: the TrainJob waits for a queue.
    """
    if suspended:
        return [Obstacle("suspended", (), "the TrainJob is suspended; a queue (Kueue) has to admit it")]
    events = list(events)
    found = [_of_pod(pod, events) for pod in pods if not pod.started]
    missing = sorted(set(range(workers)) - {pod.worker for pod in pods})
    if missing:
        found.append(_of_missing(tuple(missing) if pods else (), events))
    return _grouped(found)


def remedy(found: str) -> str:
    """What to do about a pod that waits, from the scheduler's or the node's own words; empty where they are not known."""
    known = [meaning for pattern, meaning in (*_SCHEDULING, *_WAITING) if re.search(pattern, found)]
    return "; ".join(known)


def _of_pod(pod: Pod, events: Sequence[Mapping[str, Any]]) -> Obstacle:
    if pod.unscheduled:
        return _told(_SCHEDULING, pod.unscheduled, "unscheduled", "no node takes the pod", (pod.worker,))
    reason, message = pod.waiting or ("", "")
    if reason not in ("", "ContainerCreating", "PodInitializing"):
        found = f"{reason}: {message}" if message else reason
        return _told(_WAITING, found, reason, "the container does not start", (pod.worker,))
    for event in reversed(events):
        if event["involvedObject"].get("name") == pod.name and event.get("reason") in _SETTING_UP:
            return _told(_MOUNTING, event.get("message", ""), event["reason"], "", (pod.worker,))
    return Obstacle(STARTING, (pod.worker,), "the pod is starting")


def _of_missing(workers: tuple[int, ...], events: Sequence[Mapping[str, Any]]) -> Obstacle:
    for event in reversed(events):
        if event["involvedObject"].get("kind") != "Pod" and event.get("type") == "Warning":
            found = f"{event['involvedObject'].get('kind')} {event.get('reason')}: {event.get('message', '')}"
            return _told(_NO_PODS, found, str(event.get("reason")), "no pod can be made; see why", workers)
    return Obstacle(
        "no pods",
        workers,
        "no pod has been made, and no event tells why; check that the controllers of Kubeflow Trainer and JobSet "
        "run",
    )


def _told(
    words: Sequence[tuple[str, str]], found: str, kind: str, otherwise: str, workers: tuple[int, ...]
) -> Obstacle:
    """All that is known of what `found` says; a scheduler names several things at once."""
    known = [(pattern, meaning) for pattern, meaning in words if re.search(pattern, found)]
    kinds = "|".join(pattern for pattern, _ in known) or kind
    meanings = "; ".join(meaning for _, meaning in known) or otherwise
    return Obstacle(kinds, workers, f"{meanings} ({found.strip()})")


def _grouped(found: Sequence[Obstacle]) -> list[Obstacle]:
    """One obstacle for all workers that it keeps."""
    kinds = dict.fromkeys(one.kind for one in found)
    groups = [[one for one in found if one.kind == kind] for kind in kinds]
    return [
        Obstacle(group[0].kind, tuple(sorted(n for one in group for n in one.workers)), group[0].text)
        for group in groups
    ]
