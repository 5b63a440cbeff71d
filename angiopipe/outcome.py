"""How a run ended, told to a webhook and left as a file; made from what its steps left behind.

Kubeflow's final status names neither the failing step nor its error, so the account is put together
from the run's own folder.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from angiopipe import storage
from angiopipe.ending import KEPT, in_words
from angiopipe.step import ended_badly, killed_in_words, run_folder, step

log = logging.getLogger(__name__)

WEBHOOK_VARIABLE = "ANGIOPIPE_WEBHOOK"
"""Where a webhook's URL is looked for that must not stand among a run's parameters."""

OUTCOME_NAME = "outcome.json"
FAILED = "FAILED"

TIMEOUT_SECONDS = 10
PAUSES = (1.0, 5.0)
"""Seconds before the second and third try."""


@step("outcome")
def outcome(state: str, out: str, data_root: str, run_id: str = "local", webhook: str = "") -> dict[str, Any]:
    """Tells how a run ended: nothing to do, promoted, not promoted, or failed, where and why.

    Args:
      state: Kubeflow's final one; "FAILED", or anything else.
      out: where the account is written, besides `outcome.json` in the run's folder.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      webhook: URL that is sent the account as JSON; empty is the environment variable
        ANGIOPIPE_WEBHOOK, and where that is empty too, the file is all.

    Returns:
      `kind` ("outcome"), `run_id`, `outcome`, `reason`, `text` (one line, which chat programs show;
      of a failed run with the command that goes on with it), `failure` (step,
      error, message, faults, last_log_lines; None unless a step failed), `news` and `promotion` (the
      manifests, None where the run did not come to them).

    Raises:
      OSError: the webhook did not take the account, which is written all the same; or the account could not be
        written, which the webhook is sent all the same.
    """
    folder = run_folder(data_root, run_id)
    account = _account(data_root, run_id, state)
    content = json.dumps(account, indent=1) + "\n"
    log.info("outcome: %s", account["text"])
    url = webhook or os.environ.get(WEBHOOK_VARIABLE, "")
    with ExitStack() as last:
        if url:
            last.callback(_send, url, content.encode())
        for uri in (out, storage.join(folder, OUTCOME_NAME)):
            storage.write_text(uri, content)
    return account


def resume_in_words(run_id: str, data_root: str = "") -> str:
    """How to go on with a run that failed.

    Args:
      run_id: of the run.
      data_root: of a run on this machine; empty is one on Kubeflow.
    """
    where = ["--data-root", data_root] if data_root else []
    command = shlex.join(["python", "-m", "pipelines", "resume", run_id, *where])
    return f"{KEPT}; to go on from there: {command}"


def _account(data_root: str, run_id: str, state: str) -> dict[str, Any]:
    folder, failure, killed, news, promotion = run_folder(data_root, run_id), None, "", None, None
    try:
        failure, killed = _failure(data_root, run_id) if state == FAILED else (None, "")
        news, promotion = (_read(storage.join(folder, name)) for name in ("news.json", "promotion.json"))
        ended, reason = _ending(state, failure, killed, news, promotion)
    except OSError as error:
        ended = "failed" if state == FAILED else "ended"
        reason = f"what its steps left cannot be read: {in_words(error)}"
    text = f"run {run_id}: {ended}: {reason}"
    if ended == "failed":
        # Kubeflow names its pods to their steps; a notebook in a cluster is a machine of its own.
        text += f"; {resume_in_words(run_id, '' if os.environ.get('KFP_POD_NAME') else data_root)}"
    return {
        "kind": "outcome",
        "run_id": run_id,
        "outcome": ended,
        "reason": reason,
        "text": text,
        "failure": failure,
        "news": news,
        "promotion": promotion,
    }


def _ending(
    state: str,
    failure: dict[str, Any] | None,
    killed: str,
    news: dict[str, Any] | None,
    promotion: dict[str, Any] | None,
) -> tuple[str, str]:
    if failure:
        return "failed", f"{failure['step']} failed: {failure['message'].partition(chr(10))[0].rstrip(':')}"
    if killed:
        return "failed", killed
    if state == FAILED:
        return "failed", (
            "no step left an error, and none was killed while its code ran: a pod never started, or could not reach the "
            "data root; see the run's own page"
        )
    if news and not news["is_new"]:
        return "nothing to do", news["reason"]
    if promotion:
        return "promoted" if promotion["promoted"] else "not promoted", promotion["reason"]
    return "ended", "no step noted a result"


def _failure(data_root: str, run_id: str) -> tuple[dict[str, Any] | None, str]:
    """The record of the step that failed, or what is known of steps that were killed.

    Of several, as of siblings that ran at once, the first by name.
    """
    records, begun = ended_badly(data_root, run_id)
    failure = next((one for one in records.values() if one["step"] != "outcome"), None)
    return failure, "; ".join(killed_in_words(one) for one in begun if one["step"] != "outcome")


def _read(uri: str) -> dict[str, Any] | None:
    return json.loads(storage.read_text(uri)) if storage.exists(uri) else None


def _send(url: str, content: bytes) -> None:
    """Posts JSON; a server that is busy or away is asked again."""
    parts = urlsplit(url)
    # The rest of a webhook's URL is a password to most services, so it is never shown.
    shown = f"webhook {parts.scheme}://{parts.hostname}"
    if parts.scheme not in ("http", "https"):
        raise OSError(f"{shown}: expected a URL that begins with https:// or http://")
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    for pause in (*PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            answer = _answer(error)
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
        if final or pause is None:
            raise OSError(f"{shown}: expected it to take the run's outcome, got {answer}") from None
        time.sleep(pause)


def _answer(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    return str(getattr(error, "reason", "") or error) or type(error).__name__
