"""What every step of the pipeline does at its edge: time itself, tell its outcome, leave its failure.

Kubeflow's final status names neither the failing step nor its error, so a failing step leaves both
under `<data root>/runs/<run id>/failures/`, beside the seconds and peak memory of those that ended.
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
from typing import ParamSpec, TypeVar

from angiopipe import storage
from angiopipe.ending import in_words, stoppable
from angiopipe.logs import log_failure, logged

P = ParamSpec("P")
R = TypeVar("R")

RUN_ID_VARIABLE = "ANGIOPIPE_RUN_ID"
"""Where a pod finds the run's id; the run id `$ANGIOPIPE_RUN_ID` stands for its value."""

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
    with suppress(Exception):  # Where no record can be written, the error under way says why.
        storage.write_text(uri, json.dumps(failure, indent=1) + "\n")
        error.add_note(f"(the whole record: {uri})")


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
