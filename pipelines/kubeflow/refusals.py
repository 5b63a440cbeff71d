"""What a refusal of the API says, in words: its bodies have three shapes, its causes hide."""

from __future__ import annotations

import json
import re

from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import entries, text

_KIND_OF_ERROR = re.compile(r"(?:\w*Error|Invalid input error|Already exist error): ")
_NO_CAUSE = {"", "Internal Server Error"}
_REMEDIES = {
    401: "the server asks for a token: give it in ANGIOPIPE_KFP_TOKEN",
    403: "the token's owner may not do this: ask for the rights, or give another in ANGIOPIPE_KFP_TOKEN",
}


class Refused(PipelineError):
    """The API will not do it.

    Attributes:
      status: HTTP's.
      cause: the server's own sentence.
    """

    def __init__(self, message: str, status: int, cause: str):
        self.status, self.cause = status, cause
        super().__init__(message)


def refusal(wanted: str, status: int, body: bytes) -> Refused:
    """The error for an answer that is not the wanted one.

    Args:
      wanted: what was asked for, such as `start a run`.
      status: HTTP's.
      body: of the answer.
    """
    found = cause(body)
    remedy = f"; {_REMEDIES[status]}" if status in _REMEDIES else ""
    return Refused(f"expected to {wanted}, found status {status}: {found}{remedy}", status, found)


def cause(body: bytes) -> str:
    """The sentence in an answer that says what is wrong.

    REST calls answer `message`, a chain of prefixes that ends in the cause, and mostly the bare cause in
    `details`; of a status 500 the details say nothing. Uploads answer `error_message` and a stack
    trace. Length checks and proxies answer plain text, or a page.

    Args:
      body: of the answer.
    """
    said = body.decode("utf-8", errors="replace").strip()
    try:
        content = json.loads(said)
    except ValueError:
        return _plain(said)
    if not isinstance(content, dict):
        return _plain(said)
    if text(content, "error_message"):
        return text(content, "error_message")
    told = next((text(one, "message") for one in entries(content, "details")), "")
    return told if told not in _NO_CAUSE else _KIND_OF_ERROR.split(str(content.get("message", said)))[-1]


def _plain(text: str) -> str:
    if "<html" in text[:1000].lower():
        return "a web page, not an answer; check `host`, and whether one has to log in there"
    return text or "an empty answer"
