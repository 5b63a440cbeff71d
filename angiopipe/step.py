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
import logging
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from angiopipe import storage

P = ParamSpec("P")
R = TypeVar("R")

LAST_LOG_LINES = 50

RUN_ID_VARIABLE = "ANGIOPIPE_RUN_ID"
"""Where a pod finds the run's id; the run id `$ANGIOPIPE_RUN_ID` stands for its value."""

# A process with TensorFlow in it spends a second at its end on collecting what ends anyway.
atexit.register(gc.freeze)


def run_folder(data_root: str, run_id: str) -> str:
    """Where a run keeps what belongs to it alone: model, evaluation, failures, step records."""
    return storage.join(storage.absolute(data_root), "runs", run_id)


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
            arguments.arguments["run_id"] = _run_id(arguments.arguments["run_id"])
            folder = run_folder(arguments.arguments["data_root"], arguments.arguments["run_id"])
            lines = _log_to_terminal()
            started = time.monotonic()
            try:
                result = function(*arguments.args, **arguments.kwargs)
            except BaseException as error:
                _leave_failure(folder, name, error, list(lines))
                raise
            seconds = time.monotonic() - started
            storage.remove(_failure_uri(folder, name))
            record = {"step": name, "seconds": round(seconds, 3), "peak_mb": _peak_mb()}
            storage.write_text(storage.join(folder, "steps", f"{name}.json"), json.dumps(record) + "\n")
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
        "message": str(error),
        "faults": getattr(error, "faults", []),
        "last_log_lines": lines,
    }
    storage.write_text(_failure_uri(folder, name), json.dumps(failure, indent=1) + "\n")


def _failure_uri(folder: str, name: str) -> str:
    return storage.join(folder, "failures", f"{name}.json")


def _peak_mb() -> int:
    """Peak resident memory of this process so far, MB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


class _LastLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LAST_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _log_to_terminal() -> deque[str]:
    """Shows the library's log on the terminal, once, and keeps its last lines."""
    logger = logging.getLogger("angiopipe")
    for handler in logger.handlers:
        if isinstance(handler, _LastLines):
            return handler.lines
    last = _LastLines()
    terminal = logging.StreamHandler(sys.stderr)
    for new in (last, terminal):
        new.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(new)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return last.lines
