"""What the API tells of a run's steps, beneath the wrappers that Argo puts around each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from components.face import CACHED
from pipelines.kubeflow.answers import Object, at, entries, text

SUCCEEDED, FAILED, PENDING, RUNNING, SKIPPED = "SUCCEEDED", "FAILED", "PENDING", "RUNNING", "SKIPPED"
TAKEN_OVER = "CACHED"
"""A state of ours: Kubeflow took over an earlier run's work, and started no pod."""

FINAL = frozenset({SUCCEEDED, SKIPPED, FAILED, "CANCELED", TAKEN_OVER})
NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""When something was finished that is not."""

_POD = re.compile(r"executor(\(\d+\))?")
_IMPLEMENTATION = "system-container-impl"
"""Argo's template of the pods that do the work; their names have it in them, the API's do not."""


@dataclass(frozen=True)
class Seen:
    """A step at one look.

    Attributes:
      name: of the graph's task.
      state: Kubeflow's, or `TAKEN_OVER`; PENDING while its pod waits for a node or an image. Empty where it
        has not begun, or the API does not say.
      seconds: since it began, its waiting included.
      pods: the names that its pods may have, the newest last.
    """

    name: str
    state: str
    seconds: float
    pods: tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """What Argo says of one of a step's pods.

    Attributes:
      pod: its name.
      phase: Argo's.
      message: why it waits or how it ended, in Kubernetes' words; mostly empty.
    """

    pod: str
    phase: str
    message: str


def seen_steps(run: Object, steps: Sequence[str]) -> dict[str, Seen]:
    """Those of a graph's steps that the API tells of, in the graph's order.

    Args:
      run: as the API tells of it.
      steps: the names of the graph's tasks.
    """
    tasks = entries(run, "run_details", "task_details")
    found = {name: _seen(name, tasks) for name in steps}
    return {name: one for name, one in found.items() if one.state}


def state_of(told: Object) -> str:
    """The state of a run or task; the last that its history knows where it is not given, as in some answers."""
    history = [text(one, "state") for one in entries(told, "state_history")]
    return text(told, "state") or next(filter(None, reversed(history)), "")


def seconds(told: Object) -> float:
    """How long a task or run took, or has been going on, as far as it is known."""
    began = time_of(told, "start_time", "created_at", "create_time")
    ended = time_of(told, "end_time", "finished_at")
    if began == NEVER:
        return 0.0
    return max(0.0, ((ended if ended > NEVER else datetime.now(UTC)) - began).total_seconds())


def time_of(told: Object, *names: str) -> datetime:
    """The first of the times that is given; `NEVER` where none is, or it is no time."""
    given = next(filter(None, (text(told, name) for name in names)), "")
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def nodes_of(workflow: str) -> dict[str, list[Node]]:
    """The pods of each step in Argo's own account of a run, by step, the newest last.

    Args:
      workflow: JSON; anything else holds none.
    """
    try:
        nodes = at(json.loads(workflow), "status", "nodes", default={}).values()
    except ValueError:
        return {}
    found: dict[str, list[Node]] = {}
    for one in sorted(nodes, key=lambda node: text(node, "startedAt")):
        # Such as `p-5q4hr(0).root(0).stamp(0).executor(0)`, or without the numbers.
        path = [re.sub(r"\(\d+\)$", "", part) for part in text(one, "name").split(".")]
        if text(one, "type") == "Pod" and len(path) > 1:
            step = path[-2] if path[-1] == "executor" else path[-1].removesuffix("-driver")
            prefix, _, number = text(one, "id").rpartition("-")
            pod = "-".join(filter(None, [prefix, text(one, "templateName"), number]))
            found.setdefault(step, []).append(Node(pod, text(one, "phase"), text(one, "message")))
    return found


def _seen(name: str, tasks: Sequence[Object]) -> Seen:
    own = next((one for one in tasks if text(one, "display_name") == name), {})
    driver = [one for one in tasks if text(one, "display_name").partition("(")[0] == f"{name}-driver"]
    pods = [one for one in tasks if _POD.fullmatch(text(one, "display_name")) and _within(one, own)]
    named = [text(pod, "name") for pod in entries(own, "pods")]
    named += [_pod(text(child, "pod_name")) for one in pods for child in entries(one, "child_tasks")]
    return Seen(name, _state(name, own, pods, driver), seconds(own), tuple(filter(None, named)))


def _state(name: str, own: Object, pods: Sequence[Object], driver: Sequence[Object]) -> str:
    states, state = {state_of(one) for one in pods}, state_of(own)
    if name in CACHED and (state == SKIPPED or (state == SUCCEEDED and states == {SKIPPED})):
        return TAKEN_OVER
    leaves = {state_of(one) for one in pods if not entries(one, "child_tasks")}
    if state == RUNNING and PENDING in leaves and RUNNING not in leaves:
        return PENDING
    if not own and any(state_of(one) in (PENDING, FAILED) for one in driver):
        return FAILED if FAILED in map(state_of, driver) else PENDING
    return state


def _within(pod: Object, step: Object) -> bool:
    """Whether a pod is a step's: the API names no parent, but a pod starts while its step goes on."""
    began, ended, started = (
        time_of(step, "start_time"),
        time_of(step, "end_time"),
        time_of(pod, "start_time"),
    )
    return bool(step) and began <= started and (ended == NEVER or started <= ended)


def _pod(node: str) -> str:
    """A pod's name from its node's, which Argo gives the template's name before its number."""
    prefix, _, number = node.rpartition("-")
    return f"{prefix}-{_IMPLEMENTATION}-{number}" if prefix else ""
