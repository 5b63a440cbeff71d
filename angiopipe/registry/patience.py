"""Asking an MLflow server that may go away: again and again, for a stated time, then one clear error."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mlflow.exceptions import MlflowException

from angiopipe import sqlite, stores
from angiopipe.registry.login import refusal

log = logging.getLogger(__name__)

R = TypeVar("R")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two attempts; each pause is twice the one before."""

_SERVER_FAULTS = frozenset({408, 429, 500, 502, 503, 504})


class MlflowAway(ConnectionError):
    """MLflow did not answer for as long as one was willing to wait; what it had taken stays there."""


class Patience:
    """Repeats questions that MLflow does not answer.

    A question may be asked again after it was answered and only the answer got lost, so everything
    asked through here must come to the same when it is done twice.

    Attributes:
      uri: of the server or database.
      seconds: how long it may be silent.
      remedy: what the error tells to do once MLflow stayed away.
    """

    def __init__(self, uri: str, seconds: float, remedy: str):
        self.uri, self.seconds, self.remedy = uri, seconds, remedy

    def __call__(self, what: str, ask: Callable[[], R]) -> R:
        """The answer of `ask`; `what` says what it does, for the log and the error.

        Raises:
          MlflowAway: no answer in `seconds`.
          MlflowRefused: the user or password is wrong, or lacks the right.
          ValueError: MLflow does not accept what it is asked.
          OSError: its SQLite database cannot be read or written.
        """
        until, pause = time.monotonic() + self.seconds, FIRST_PAUSE
        while True:
            try:
                with sqlite.naming(self.uri):
                    return ask()
            except Exception as error:
                if not is_passing(error):
                    raise self._refusal(what, error) from error
                left = until - time.monotonic()
                if left <= 0:
                    raise self._away(what, error) from error
                pause = min(pause, left)
                log.warning(
                    "%s: no answer while %s (%s); asking again in %.1f s, for %.0f s more",
                    *(shown(self.uri), what, _reason(error), pause, left),
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _away(self, what: str, error: Exception) -> MlflowAway:
        return MlflowAway(
            f"MLflow at {shown(self.uri)}: expected an answer within {self.seconds:g} s while {what}, "
            f"found none ({_reason(error)}); {self.remedy}"
        )

    def _refusal(self, what: str, error: Exception) -> Exception:
        """The error in the library's words; one that is not MLflow's stays as it is."""
        denied = refusal(shown(self.uri), what, error)
        if denied or not isinstance(error, MlflowException):
            return denied or error
        return ValueError(f"MLflow at {shown(self.uri)}: refused while {what}: {error.message}")


def is_passing(error: BaseException) -> bool:
    """Whether the same question may be answered later: the server or the way to it failed."""
    if isinstance(error, MlflowException):
        return error.get_http_status_code() in _SERVER_FAULTS
    return stores.is_away(error)


def shown(uri: str) -> str:
    """A URI without the user and password in it."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _reason(error: Exception) -> str:
    """The error on one line; of a failed connection what urllib3 wraps innermost."""
    text = " ".join(str(error).split())
    innermost = re.search(r"(?:\[Errno|ConnectionResetError|RemoteDisconnected|timed out)[^>]*", text)
    return (innermost.group().rstrip("')\"") if innermost else text)[:200]


@contextmanager
def single_attempts() -> Iterator[None]:
    """Within the block MLflow's own client tries once.

    It would repeat every POST whose answer got lost, and so create a run or a version twice.
    """
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
