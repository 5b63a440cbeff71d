"""How a process ends: with one line where its world failed or asked it to stop, with a traceback where we did."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

EXPECTED = (ValueError, OSError, FloatingPointError)
"""What the library raises where its input or its machine is at fault."""

DEFECT = "a defect of angiopipe: report it, with the traceback (CONTRIBUTING.md says how)"

KEPT = "what was finished is kept"

ONE_WISH_SECONDS = 2.0
"""A step hears Ctrl-C from the terminal, and at once SIGTERM because its pipeline has."""

TRY_AGAIN = 75
"""The exit code of a worker that a network failed: the same may go well later (`EX_TEMPFAIL` of BSD's sysexits)."""

END_SECONDS = 15.0
"""How long a process may clear away: engines and TensorFlow wait for what may be dead."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_FULL = "free some space there or choose another place, and start again"
_ELSEWHERE = "have the right to it given, or choose another place"
_REACH = "see that the server runs and can be reached from here"

_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit on a file's size (ulimit -f)",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file is there in place of a folder: move it away, or choose another path",
    errno.EEXIST: "it is in the way: move it away, or choose another path",
    errno.EISDIR: "a folder is there in place of a file: move it away, or choose another path",
    errno.ENOTEMPTY: "it is in the way: move it away, or choose another path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "links lead there in a circle: choose another path",
    errno.EMFILE: "raise the limit on open files (ulimit -n 4096)",
    errno.ENFILE: "end other programs, or raise the machine's limit on open files",
    errno.ENOMEM: "end other programs, or take a machine with more memory",
    errno.EAGAIN: "end other programs, or raise the limit on processes (ulimit -u)",
    errno.EPIPE: "who read it has gone",
    errno.ECONNREFUSED: _REACH,
    errno.ECONNRESET: _REACH,
    errno.ETIMEDOUT: _REACH,
    errno.EHOSTUNREACH: _REACH,
    errno.ENETUNREACH: _REACH,
    errno.EREMOTEIO: "see that the store can be reached and that the credentials are right",
}


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}; {KEPT}")
        self.code, self.time = 128 + number, time.monotonic()


@contextmanager
def stoppable(late: Callable[[Stopped], object] | None = None) -> Iterator[list[Stopped]]:
    """A block in which Ctrl-C, SIGTERM and SIGHUP raise `Stopped`; yields what was raised.

    Several within `ONE_WISH_SECONDS` raise it once, so that the second does not interrupt the clearing away; a later
    one does, since an exception in a destructor is lost. Signals that are ignored, as by `nohup`, stay so. Outside the
    main thread, where Python delivers none, and within another such block it does nothing.

    Args:
      late: ends the process that has not cleared away after `END_SECONDS`; called in another thread.
    """
    wishes: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not wishes or time.monotonic() - wishes[-1].time > ONE_WISH_SECONDS:
            wishes.append(Stopped(number))
            if late:
                timer = threading.Timer(END_SECONDS, late, wishes[:1])
                timer.daemon = True
                timer.start()
            raise wishes[-1]

    defaults = (signal.SIG_DFL, signal.default_int_handler)
    ours = [number for number in _SIGNALS if _is_main_thread() and signal.getsignal(number) in defaults]
    before = {number: signal.signal(number, stop) for number in ours}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def deaf_children() -> Iterator[None]:
    """A block that starts processes which do not hear Ctrl-C: who starts them ends them, and none prints a traceback.

    They inherit that a signal is ignored; so does this process ignore it until the block's end.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if _is_main_thread() else None
    try:
        yield
    finally:
        if before:
            signal.signal(signal.SIGINT, before)


@contextmanager
def told(name: str, mark: str = "") -> Iterator[None]:
    """A process's outermost block: an error leaves it as a line on standard error, after `name`, and an exit code.

    Only what is no fault of the world's, and so ours, comes with a traceback.

    Args:
      name: of the command.
      mark: how each line of the message begins that another process shows; it has the error's notes too.
    """
    try:
        with stoppable(lambda wish: _leave(f"{name}: {wish}", mark, wish.code)) as wishes:
            yield
            sys.stdout.flush()
    except (KeyboardInterrupt, Exception) as raised:
        if isinstance(raised, BrokenPipeError) and not mark and is_unread(sys.stdout):
            _leave(
                "", mark, 128 + signal.SIGPIPE
            )  # As `head` and pagers expect of whom they have read enough.
        error = wishes[0] if wishes else raised  # An import that was broken off ends in errors of all kinds.
        if not isinstance(error, (KeyboardInterrupt, *EXPECTED)):
            traceback.print_exc()
        words, notes = in_words(error), getattr(error, "__notes__", ()) if mark else ()
        said = ("\n" if "\n" in words else " ").join([f"{name}: {words}", *notes])
        _leave(said, mark, error.code if isinstance(error, Stopped) else 1)
    if "tensorflow_io" in sys.modules:
        _leave("", "", 0)


def is_unread(output: TextIO, wait: bool = False) -> bool:
    """Whether it is a pipe that nobody reads any more; one may wait until it is."""
    pipe = select.poll()
    with suppress(OSError, ValueError):
        pipe.register(output.fileno(), 0)  # Errors are told whether they are asked for or not.
    return any(event & select.POLLERR for _, event in pipe.poll(None if wait else 0))


def in_words(error: BaseException) -> str:
    """What ended a step or a command: what, where and, unless the library said it, what to do about it."""
    if isinstance(error, OSError) and error.errno and error.strerror:
        return _of_the_system(error)
    if isinstance(error, (KeyboardInterrupt, *EXPECTED)):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}; {DEFECT}"


def _of_the_system(error: OSError) -> str:
    said = error.strerror or ""
    what = f"{said[:1].lower()}{said[1:]}"
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = " -> ".join(dict.fromkeys(names)) or _unnamed(error)
    remedy = _REMEDIES.get(error.errno or 0, "see that the place can be used, and start again")
    return f"{where}: {what}; {remedy}" if where else f"{what}; {remedy}"


def _unnamed(error: OSError) -> str:
    """What was written to, which the system does not say: a path that the code under way has to do with, or the output."""
    if error.errno == errno.EPIPE:
        return "standard output"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return ""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        found = next((value for value in frame.f_locals.values() if isinstance(value, Path)), None)
        if found:
            return str(found)
    return "standard output"


def _leave(message: str, mark: str, code: int) -> NoReturn:
    """Ends the process.

    One that was asked to stop does not wait for its threads, which would finish what they are at. One
    with tensorflow-io in it cannot end otherwise: Python's own end would abort it, and its exit code.
    """
    with suppress(OSError):
        for line in message.splitlines():
            print(f"{mark}{line}", file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:  # Python would try again, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code > 128 or "tensorflow_io" in sys.modules:
        from multiprocessing import active_children  # Not earlier: a signal is to be heard from the start.

        from angiopipe import storage

        storage.abandon()
        for process in active_children():
            process.terminate()
        os._exit(code)
    sys.exit(code)
