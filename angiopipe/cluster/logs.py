"""One worker's log, from its first line to its last, each line once."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import urllib3
from kubernetes.client import ApiException

from angiopipe.cluster.api import Api
from angiopipe.cluster.sightings import LAST_LINES
from angiopipe.cluster.trainjob import CONTAINER
from angiopipe.logs import plain_lines, read_line, writes_json

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_WINDOW = timedelta(seconds=2)
"""`sinceTime` knows whole seconds, and lines of stdout and stderr may lie a moment out of order."""


def pass_on(worker: int, line: str) -> None:
    """Logs a line of a worker's under its number, as JSON the fields that it has and not their text within another."""
    fields = read_line(line) or {"message": line}
    level = logging.getLevelNamesMapping().get(fields.get("level", ""), logging.INFO)
    for text in [fields["message"]] if writes_json() else plain_lines(line):
        log.log(level, "worker %d | %s", worker, text, extra={"passed_on": {**fields, "worker": worker}})


class WorkerLog:
    """Follows a pod's log in a thread.

    The stream may break off at any time: the connection is cut, nothing is printed for a minute, the
    node restarts its kubelet. It is then taken up again two seconds before the last line, and lines
    that came before are dropped by their timestamp and text.

    Attributes:
      lines: the last ones so far, without timestamps, as people read them.
    """

    def __init__(self, api: Api, pod: str, show: Callable[[str], None]):
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self._api, self._pod, self._show = api, pod, show
        self._since: datetime | None = None
        self._recent: deque[tuple[datetime, str]] = deque()
        self._ended, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"log of {pod}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Tells that the container has ended: what the log holds now is all."""
        self._ended.set()

    def join(self, seconds: float) -> None:
        """Waits until the whole log was shown, if the container has ended."""
        self._thread.join(max(0.0, seconds))

    def stop(self) -> None:
        """Shows nothing more."""
        self._stopped.set()
        self._ended.set()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            # Only a stream that was opened after the end is sure to hold the last line.
            complete = self._ended.is_set()
            try:
                self._read(complete)
                if complete:
                    return
            except ApiException as error:
                if error.status == 404:
                    return
                log.debug("log of %s: status %s", self._pod, error.status)
                if complete and error.status in (400, 401, 403):
                    return
            except urllib3.exceptions.HTTPError as error:
                log.debug("log of %s broke off: %s", self._pod, error)
            self._ended.wait(_PAUSE_SECONDS)
            if complete:
                self._stopped.wait(_PAUSE_SECONDS)

    def _read(self, complete: bool) -> None:
        """Shows the lines of one stream that no earlier one showed.

        Args:
          complete: the container has ended, so a last line without a line end is whole.

        Raises:
          ApiException, urllib3.exceptions.HTTPError: the stream cannot be had, or broke off.
        """
        query = {"container": CONTAINER, "follow": "true", "timestamps": "true"}
        if self._since:
            query["sinceTime"] = self._since.strftime("%Y-%m-%dT%H:%M:%SZ")
        shown = Counter(raw for _, raw in self._recent)
        response = self._api.stream(self._api.core("pods", self._pod, "log"), query)
        try:
            for raw in _lines(response, complete):
                if self._stopped.is_set():
                    return
                if shown[raw]:
                    shown[raw] -= 1
                else:
                    self._take(raw)
        finally:
            response.close()

    def _take(self, raw: str) -> None:
        stamp, _, line = raw.partition(" ")
        try:
            at = datetime.fromisoformat(stamp).astimezone(UTC)  # Nodes stamp in their own time zone.
        except ValueError:
            log.debug("log of %s: %s", self._pod, raw)  # A word of the kubelet's, not the worker's.
            return
        since = (at - _WINDOW).replace(microsecond=0)
        self._since = max(self._since or since, since)
        self._recent.append((at, raw))
        while self._recent[0][0] < self._since:
            self._recent.popleft()
        self.lines.extend(plain_lines(line))
        self._show(line)


def _lines(response: urllib3.BaseHTTPResponse, complete: bool) -> Iterator[str]:
    """Whole lines; one that breaks off in the middle comes again with the next stream."""
    rest = b""
    for chunk in response.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", errors="replace").rstrip("\r")
    if rest and complete:
        yield rest.decode("utf-8", errors="replace")
