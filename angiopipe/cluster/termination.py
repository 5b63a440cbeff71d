"""SIGTERM and Ctrl-C as exceptions, at moments when they can be answered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Terminated(SystemExit):
    """The process was asked to end; it exits as the signal would have ended it."""

    def __init__(self, number: int):
        super().__init__(f"terminated by {signal.Signals(number).name}")
        self.code = 128 + number


class Termination:
    """A block in which the first SIGTERM raises `Terminated`, the first SIGINT `KeyboardInterrupt`.

    Later ones are ignored, so that nothing interrupts the clearing away. Outside the main thread,
    where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._received = 0
        self._held = self._late = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._received:
            self._received = number
            self._late = self._held
            if not self._held:
                self.check()

    def check(self) -> None:
        """Raises if a signal came; an exception that is raised in a destructor is lost."""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received:
            raise Terminated(self._received)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that signals do not interrupt; they are answered after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._late:
            self._late = False
            self.check()
