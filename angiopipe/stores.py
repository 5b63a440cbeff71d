"""Asking object stores, which may be away for a while."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec

log = logging.getLogger(__name__)
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # It logs the traceback of what it raises.

R = TypeVar("R")

PATIENCE_SECONDS = 300.0
"""How long a store that had answered may be away: Kubeflow does not try a step again that failed."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_BUSY_ERRNOS, _BUSY_CODES = (errno.EBUSY, errno.EREMOTEIO), ("408", "429", "500", "502", "503", "504")
"""What s3fs makes of `SlowDown` and its like, and the status that gcsfs's errors have."""

_answered: set[str] = set()


class StoreAway(ConnectionError):
    """A store cannot be reached, or is too busy to answer."""


def ask(uri: str, question: Callable[[Any, str], R]) -> R:
    """The answer of a URI's driver to a question about its path, which must come to the same when it is asked twice.

    A store that had answered in this process and is away is asked again; one that never did may be misnamed.

    Raises:
      StoreAway: it stayed away for `PATIENCE_SECONDS`, or never answered.
      OSError: it refuses; whatever the driver raises is turned into one that names the URI.
    """
    store = "/".join(uri.split("/", 3)[:3])
    until, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
    while True:
        try:
            answer = question(*fsspec.core.url_to_fs(uri))
            _answered.add(store)
            return answer
        except FileNotFoundError as error:
            _answered.add(store)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri) from error
        except Exception as error:
            away, left = _passes(error), until - time.monotonic()
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if not away or store not in _answered or left <= 0:
                what = f"no answer from {uri.partition('://')[0]}:// ({said})"
                raise (StoreAway if away else OSError)(errno.EREMOTEIO, what, uri) from error
        pause = min(pause, left)
        log.warning("%s: no answer (%s); asking again in %.1f s, for %.0f s more", uri, said, pause, left)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _passes(error: Exception) -> bool:
    busy = isinstance(error, OSError) and error.errno in _BUSY_ERRNOS
    return busy or str(getattr(error, "code", "")) in _BUSY_CODES or is_away(error)


def is_away(error: BaseException) -> bool:
    """Whether a server or the way to it failed, so that the same question may be answered later."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return any(_is_network_fault(kind) for kind in type(error).__mro__)


def _is_network_fault(kind: type) -> bool:
    """By name, since a store's client need not be installed."""
    return (kind.__module__.partition(".")[0], kind.__name__) in {
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("google", "TransportError"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("urllib3", "HTTPError"),
        ("botocore", "ConnectionError"),
        ("botocore", "HTTPClientError"),
    }
