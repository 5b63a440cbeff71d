"""Requests to Kubeflow Pipelines: each has a time-out, what only reads is tried again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import Object, entries, text
from pipelines.kubeflow.refusals import Refused, refusal
from pipelines.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0
"""How long a server that does not answer is asked again for what only reads; it may be restarted."""

PAGE = 100

_PREFIX = "/apis/v2beta1"
_PASSING = (429, 502, 503, 504)
_CONNECT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0


class Unreachable(PipelineError):
    """The server does not answer, or not in time."""


class Connection:
    """One server.

    Attributes:
      host: its URL.
    """

    def __init__(self, settings: Settings, patience_seconds: float = PATIENCE_SECONDS):
        """Connects to nothing yet.

        Args:
          settings: the host, its certificates, the token, how long an answer may take.
          patience_seconds: how long what only reads is tried.

        Raises:
          PipelineError: there is no host.
        """
        if not settings.host:
            raise PipelineError(
                "host: expected the URL of Kubeflow Pipelines, found none; set `host` in the settings or "
                "ANGIOPIPE_KFP_HOST"
            )
        self.host = settings.host.rstrip("/")
        self._patience = patience_seconds
        token = settings.token.get_secret_value()
        self._headers = {"Accept": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=settings.request_seconds),
            # Retries of its own would send a request twice that starts something.
            retries=False,
            ca_certs=settings.ca_file or None,
        )

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, wanted: str) -> Object:
        """What the server answers to a question, which is asked again while it does not answer.

        Args:
          path: after `/apis/v2beta1`.
          query: its parameters.
          wanted: what the answer is for, for an error's words.

        Raises:
          Refused: there is no such thing, or the server will not tell.
          Unreachable: it did not answer in time.
        """
        until, pause = time.monotonic() + self._patience, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return _object(self._request("GET", path, query, wanted=wanted), wanted)
            except (Unreachable, Refused) as error:
                passing = isinstance(error, Unreachable) or error.status in _PASSING
                if not passing or time.monotonic() + pause > until:
                    raise
                if pause == _FIRST_PAUSE_SECONDS:
                    log.warning("%s; asking again", error)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def pages(self, path: str, key: str, query: Mapping[str, Any], *, wanted: str) -> Iterator[Object]:
        """The entries of a list, page after page.

        Args:
          path: of the list.
          key: of its entries in an answer; an empty list has none.
          query: its parameters.
          wanted: as in `get`.
        """
        token = ""
        while True:
            page = {**query, "page_size": PAGE} | ({"page_token": token} if token else {})
            answer = self.get(path, page, wanted=wanted)
            yield from entries(answer, key)
            token = text(answer, "next_page_token")
            if not token:
                return

    def once(self, path: str, kind: str, query: Mapping[str, Any] | None = None) -> str:
        """What the server answers to a question that it need not answer, and is asked once.

        Args:
          path: from the host on.
          kind: of the answer, such as `text/plain`.
          query: its parameters.

        Returns:
          The answer; empty where there is none, or one of another kind, such as a page for people.
        """
        try:
            answer = self._request("GET", path, query, wanted=f"read {path}", prefix="")
        except Unreachable:
            return ""
        wanted = answer.status == 200 and answer.headers.get("Content-Type", "").startswith(kind)
        return answer.data.decode("utf-8", errors="replace") if wanted else ""

    def post(self, path: str, body: Object | None = None, *, wanted: str) -> Object:
        """What the server answers to a request that makes something; sent once.

        Raises:
          Refused: it will not.
          Unreachable: it did not answer in time, so that nobody knows whether it did.
        """
        content = json.dumps(body or {}).encode()
        return _object(self._request("POST", path, content=content, wanted=wanted), wanted)

    def delete(self, path: str, *, wanted: str) -> None:
        _object(self._request("DELETE", path, wanted=wanted), wanted)

    def upload(
        self, path: str, query: Mapping[str, Any], name: str, content: bytes, *, wanted: str
    ) -> Object:
        """What the server answers to a file."""
        body, kind = urllib3.encode_multipart_formdata({"uploadfile": (name, content, "application/yaml")})
        return _object(self._request("POST", path, query, body, kind, wanted=wanted), wanted)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        kind: str = "application/json",
        *,
        wanted: str,
        prefix: str = _PREFIX,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.host}{prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self._headers | ({"Content-Type": kind} if content is not None else {})
        try:
            return self._pool.request(method, url, body=content, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"{self.host}: expected to {wanted}, found no answer ({type(error).__name__}: {error}); check "
                "`host`, and that this machine reaches it"
            ) from None


def _object(answer: urllib3.BaseHTTPResponse, wanted: str) -> Object:
    """What a good answer says; anything else is a refusal."""
    if 300 <= answer.status < 400:
        where = answer.headers.get("Location", "elsewhere")
        raise refusal(wanted, 401, f"it leads to {where}, where one has to log in".encode())
    if answer.status != 200:
        raise refusal(wanted, answer.status, answer.data)
    try:
        found = json.loads(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise refusal(wanted, answer.status, answer.data)
    return found
