"""What every step of the pipeline does at its edge: time itself, tell its outcome, leave its failure.

Kubeflow's final status names neither the failing step nor its error, so a failing step leaves both
under `<data root>/runs/<run id>/failures/`, beside the seconds and peak memory of those that ended. One that
is killed can leave nothing; that it had begun is left behind by its beginning.
"""

from __future__ import annotations

import atexit
import functools
import gc
import inspect
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from angiopipe import storage
from angiopipe.ending import in_words, stoppable
from angiopipe.logs import log_failure, logged

P = ParamSpec("P")
R = TypeVar("R")

RUN_ID_VARIABLE = "ANGIOPIPE_RUN_ID"
"""Where a pod finds the run's id; the run id `$ANGIOPIPE_RUN_ID` stands for its value."""

_BEGUN = ".begun"

_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux tells a container what it may use, in its second and first form of control groups."""

# A process with TensorFlow in it spends a second at its end on collecting what ends anyway.
atexit.register(gc.freeze)


def run_folder(data_root: str, run_id: str) -> str:
    """Where a run keeps what belongs to it alone: model, evaluation, failures, step records."""
    return storage.join(storage.absolute(data_root), "runs", run_id)


_figures: ContextVar[dict[str, float] | None] = ContextVar("figures", default=None)


def record_figures(**figures: float) -> None:
    """Adds figures to the record of the step under way, such as `studies_in`, `studies_out`, `quarantined`."""
    record = _figures.get()
    if record is not None:
        record.update(figures)


def show_figures(log_metric: Callable[[str, float], None], data_root: str, run_id: str, name: str) -> None:
    """Hands a finished step's figures on, one by one: its studies, seconds and peak memory (MB)."""
    folder = run_folder(data_root, _run_id(run_id))
    for figure, value in json.loads(storage.read_text(_record_uri(folder, name))).items():
        if figure != "step":
            log_metric(figure, float(value))


def unfinished(data_root: str, run_id: str) -> list[dict[str, Any]]:
    """The steps of a run that began and left neither result nor error: they go on still, or were killed.

    Returns:
      Of each `step`, `began` (ISO 8601, UTC) and `memory_mb`, its limit; None where it had none.

    Raises:
      OSError: the data root cannot be read.
    """
    uris = storage.list_files(storage.join(run_folder(data_root, run_id), "steps"))
    return [json.loads(storage.read_text(uri)) for uri in uris if uri.endswith(_BEGUN)]


def ended_badly(data_root: str, run_id: str) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The records that the failed steps of a run left, by URI, and the beginnings of those that left none.

    A record of a step that is among the latter is of an earlier try, and left out.

    Raises:
      OSError: the data root cannot be read.
    """
    uris = storage.list_files(storage.join(run_folder(data_root, run_id), "failures"))
    records = {uri: json.loads(storage.read_text(uri)) for uri in uris if uri.endswith(".json")}
    begun = unfinished(data_root, run_id)
    earlier = {one["step"] for one in begun}
    return {uri: one for uri, one in records.items() if one["step"] not in earlier}, begun


def killed_in_words(begun: dict[str, Any]) -> str:
    """What is known of a step that `unfinished` told of, and of why, and what to do."""
    name, limit = begun["step"], begun["memory_mb"]
    return (
        f"{name} began at {begun['began']} and left neither result nor error, as a step does that is killed: mostly for "
        f"memory (OOMKilled, exit code 137), of which it had {f'{limit:,} MB' if limit else 'no limit of its own'}; give "
        f"it more (steps.{name}.memory in the settings)"
    )


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function a step.

    The function must have parameters `data_root` and `run_id`, given by keyword or position.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            arguments = signature.bind(*args, **kwargs)
            arguments.apply_defaults()
            arguments.arguments["run_id"] = run_id = _run_id(arguments.arguments["run_id"])
            folder = run_folder(arguments.arguments["data_root"], run_id)
            figures: dict[str, float] = {}
            token, started = _figures.set(figures), time.monotonic()
            with stoppable(), logged(name, run_id) as lines:
                try:
                    _leave_beginning(folder, name)
                    result = function(*arguments.args, **arguments.kwargs)
                except BaseException as error:
                    _leave_failure(folder, name, error, list(lines))
                    log_failure(error)
                    raise
                finally:
                    _figures.reset(token)
            seconds = time.monotonic() - started
            storage.remove(_failure_uri(folder, name))
            record = {"step": name, "seconds": round(seconds, 3), "peak_mb": _peak_mb(), **figures}
            storage.write_text(_record_uri(folder, name), json.dumps(record) + "\n")
            storage.remove(_begun_uri(folder, name))
            return result

        return run

    return decorate


def _run_id(given: str) -> str:
    """The run's name, which a pod may have to look up in its environment."""
    if given != f"${RUN_ID_VARIABLE}":
        return given
    if not os.environ.get(RUN_ID_VARIABLE):
        raise ValueError(
            f"run_id: expected the run's id in the environment variable {RUN_ID_VARIABLE}, found none"
        )
    return os.environ[RUN_ID_VARIABLE]


def _leave_failure(folder: str, name: str, error: BaseException, lines: list[str]) -> None:
    failure = {
        "step": name,
        "error": type(error).__name__,
        "message": in_words(error),
        "faults": getattr(error, "faults", []),
        "last_log_lines": lines,
    }
    uri = _failure_uri(folder, name)
    try:
        storage.write_text(uri, json.dumps(failure, indent=1) + "\n")
        error.add_note(f"(the whole record: {uri})")
        storage.remove(_begun_uri(folder, name))
    except Exception as unwritten:  # The error under way is what matters, and may be the same.
        error.add_note(f"(no record could be left: {in_words(unwritten)})")


def _leave_beginning(folder: str, name: str) -> None:
    begun = {
        "step": name,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "memory_mb": _memory_limit_mb(),
    }
    with suppress(Exception):  # What hinders it hinders the step too, which will say so.
        storage.write_text(_begun_uri(folder, name), json.dumps(begun) + "\n")


def _memory_limit_mb() -> int | None:
    """What this process's container may use, MB; None where that is as much as there is."""
    found = (Path(path).read_text().strip() for path in _MEMORY_LIMITS if Path(path).exists())
    limit = next((int(text) for text in found if text.isdecimal()), 0)
    return limit >> 20 if 0 < limit < 1 << 60 else None


def _begun_uri(folder: str, name: str) -> str:
    return storage.join(folder, "steps", f"{name}{_BEGUN}")


def _record_uri(folder: str, name: str) -> str:
    return storage.join(folder, "steps", f"{name}.json")


def _failure_uri(folder: str, name: str) -> str:
    return storage.join(folder, "failures", f"{name}.json")


def _peak_mb() -> int:
    """Peak resident memory so far, MB, of this process or of the largest it waited for.

    Linux counts in KiB, macOS in bytes.
    """
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)
