"""Why a run failed: what its steps left behind, what Kubeflow says of their pods, and what these wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from angiopipe import storage
from angiopipe.ending import in_words as error_in_words
from angiopipe.step import ended_badly, killed_in_words, run_folder
from pipelines.kubeflow.answers import Object, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import failed_steps
from pipelines.kubeflow.steps import seen_steps

LAST_LINES = 12
"""Of a pod's log."""

_FOR_MEMORY = re.compile(r"OOMKilled|exit code 137|signal: killed")
"""Kubernetes' words of a container, and those of Kubeflow's launcher of the process that it started."""


@dataclass(frozen=True)
class Left:
    """What a run's steps left behind, as far as it can be read from here.

    Attributes:
      place: URI of the folder for the records of failed steps; empty where it is not known.
      failures: these records by step, each with its `uri`.
      killed: in words, of the steps that began and left neither result nor error, by step.
      unread: why the data root cannot be read; empty where it can.
    """

    place: str
    failures: dict[str, dict[str, Any]]
    killed: dict[str, str]
    unread: str = ""


def left_behind(data_root: str, run_id: str) -> Left:
    """Reads what the steps of a run left behind."""
    if not data_root:
        return Left("", {}, {}, "the run's parameters name no data root")
    place = storage.join(run_folder(data_root, run_id), "failures")
    try:
        records, begun = ended_badly(data_root, run_id)
        failures = {one["step"]: {**one, "uri": uri} for uri, one in records.items()}
        killed = {one["step"]: killed_in_words(one) for one in begun}
    except Exception as error:  # Each store's driver has errors of its own.
        return Left(place, {}, {}, error_in_words(error))
    return Left(place, failures, killed)


def causes(kubeflow: Kubeflow, run: Object, run_id: str, steps: Sequence[str], data_root: str) -> list[str]:
    """Why a run failed, a paragraph for each step that did.

    Args:
      kubeflow: where it ran.
      run: as it ended.
      run_id: its id.
      steps: the names of the graph's tasks.
      data_root: where its steps left what they know.
    """
    left = left_behind(data_root, work_of(run, run_id))
    told = [
        in_words(left.failures[name])
        if name in left.failures
        else _without_record(kubeflow, run, run_id, name, left)
        for name in dict.fromkeys([*failed_steps(run, steps), *left.failures, *left.killed])
    ]
    if left.unread:
        told.append(f"the cause may lie in {left.place}, which cannot be read from here: {left.unread}")
    return told or [
        f"{left.place} can be read and holds no error, and Kubeflow names no step that failed: see the run's page"
    ]


def work_of(run: Object, run_id: str) -> str:
    """Under which name a run's work lies: its own, or that of the run whose work it goes on with."""
    return text(run, "runtime_config", "parameters", "run_id", default=run_id)


def in_words(failure: dict[str, Any]) -> str:
    return f"{failure['step']} failed: {failure['message']}\n(the whole record: {failure['uri']})"


def _without_record(kubeflow: Kubeflow, run: Object, run_id: str, name: str, left: Left) -> str:
    """What is known of a failed step that left no error, or whose error cannot be read."""
    seen, nodes = seen_steps(run, [name]).get(name), kubeflow.nodes(run_id).get(name, [])
    ended = next((one.message for one in reversed(nodes) if one.phase in ("Failed", "Error")), "")
    log = kubeflow.log(run_id, [*(one.pod for one in reversed(nodes)), *reversed(seen.pods if seen else ())])
    by_memory = _FOR_MEMORY.search(ended) or _FOR_MEMORY.search(log)
    failed = f"{name} failed" + (f" ({ended})" if ended else "")
    if by_memory:
        limit = kubeflow.settings.step(name).memory
        said = f"{name} was killed, as where memory runs out ({ended or by_memory[0]}): it may use {limit}; raise "
        said += f"steps.{name}.memory in the settings"
    elif name in left.killed:
        said = left.killed[name]
    elif left.unread:
        said = f"{failed}; whether it left an error is not known here"
    else:
        said = (
            f"{failed}: {left.place} can be read and holds no error of it, so its code did not begin (see its pod's "
            "events), or its pod does not reach that place as this machine does"
        )
    return (
        f"{said}; its pod's log ends:\n{_last_lines(log)}"
        if log
        else f"{said}; Kubeflow has no log of its pod"
    )


def _last_lines(log: str) -> str:
    """The end of a pod's log, each of our own lines as a person reads it."""
    lines = []
    for line in [line for line in log.splitlines() if line.strip()][-LAST_LINES:]:
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        lines.append(f"  {text(told, 'message', default=line.rstrip())}")
    return "\n".join(lines)
