"""The library's log: friendly lines on a terminal, JSON with the run's and the step's name on a cluster."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from angiopipe.faults import Fault

LOG_VARIABLE = "ANGIOPIPE_LOG"
"""Set to "json" or "text"; where it is not set, pods write JSON and everything else text."""

LAST_LOG_LINES = 50

STUDY_FIELDS = ("study", "view", "file", "line")
"""What a line may say besides its message, given as `extra`."""

_OWN_FIELDS = ("time", "level", "logger", "message")

_context: dict[str, str] = {}  # The process's: a step's threads log under its name too.
_log = logging.getLogger("angiopipe")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, step, run_id, logger, message, and a study's fields.

    What `passed_on` of a record has, from another process's line, is said in place of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **_context,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in STUDY_FIELDS if getattr(record, name, "")}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "passed_on", {}), ensure_ascii=False)


def read_line(line: str) -> dict[str, Any] | None:
    """The fields of a line that another process's `JsonLines` wrote; None where it is none."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if all(isinstance(fields.get(name), str) for name in _OWN_FIELDS) else None


def plain_lines(line: str) -> list[str]:
    """What a line says to people: itself, or a JSON line's message and traceback."""
    fields = read_line(line)
    return f"{fields['message']}\n{fields.get('traceback', '')}".splitlines() if fields else [line]


class _LastLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LAST_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def writes_json() -> bool:
    """Whether the log is for machines.

    Raises:
      ValueError: the environment asks for another format than the two.
    """
    wanted = os.environ.get(LOG_VARIABLE, "")
    if wanted not in ("", "json", "text"):
        raise ValueError(f"{LOG_VARIABLE}: expected json or text, got {wanted!r}")
    return wanted == "json" or (not wanted and "KUBERNETES_SERVICE_HOST" in os.environ)


@contextmanager
def logged(step: str, run_id: str) -> Iterator[deque[str]]:
    """Shows the library's log on the terminal for the block and after it; yields its last lines."""
    outer = dict(_context)
    _context.update(step=step, run_id=run_id)
    try:
        yield show_log()
    finally:
        _context.clear()
        _context.update(outer)


def log_failure(error: BaseException) -> None:
    """Tells a machine what stopped the step, a line for each fault; people read it once, where the step ends."""
    if not writes_json():
        return
    details = getattr(error, "details", ())
    for fault in details:
        fields = asdict(fault) if isinstance(fault, Fault) else {}
        _log.error(str(fault), extra={name: fields.get(name) or "" for name in STUDY_FIELDS})
    summary = str(error).partition("\n")[0] if details else str(error)
    _log.error("%s: %s", type(error).__name__, summary)


def show_log() -> deque[str]:
    """Shows the library's log on the terminal, once, and keeps its last lines."""
    for handler in _log.handlers:
        if isinstance(handler, _LastLines):
            return handler.lines
    text = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    last, terminal = _LastLines(), logging.StreamHandler(sys.stderr)
    last.setFormatter(text)
    terminal.setFormatter(JsonLines() if writes_json() else text)
    for handler in (last, terminal):
        _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    return last.lines
