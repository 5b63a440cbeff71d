"""A run's outcome, made from what its steps left; the webhook is a real server on loopback."""

from __future__ import annotations

import json
import re
import shlex
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import angiopipe.outcome
from angiopipe.faults import FaultyStudies
from angiopipe.outcome import FAILED, outcome
from angiopipe.step import step

NEWS = {"is_new": True, "reason": "data 1 is new"}


@step("validate")
def validate(data_root: str, run_id: str = "local") -> None:
    raise FaultyStudies("2 faults:", ["study 1: expected x", "study 2: expected y"])


def told(root, state="SUCCEEDED", **options):
    return outcome(state=state, out=str(root / "out.json"), data_root=str(root), **options)


def left(root, **documents):
    folder = root / "runs" / "local"
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))


@pytest.fixture
def webhook():
    """A server that answers with `answers` in turn; `taken` has what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.taken.append((self.headers["Content-Type"], json.loads(content)))
            self.send_response(self.server.answers.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.taken, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def url(server) -> str:
    return f"http://127.0.0.1:{server.server_port}/services/secret-part"


@pytest.mark.parametrize(
    ("documents", "expected", "reason"),
    [
        (
            {"news": {"is_new": False, "reason": "data 1 is that of version 3"}},
            "nothing to do",
            "data 1 is that",
        ),
        ({"news": NEWS, "promotion": {"promoted": True, "reason": "no worse"}}, "promoted", "no worse"),
        ({"news": NEWS, "promotion": {"promoted": False, "reason": "worse"}}, "not promoted", "worse"),
    ],
)
def test_a_run_that_ended_well_says_what_it_came_to(tmp_path, documents, expected, reason):
    left(tmp_path, **documents)
    account = told(tmp_path)
    assert account["outcome"] == expected
    assert account["reason"].startswith(reason)
    assert account["failure"] is None
    for path in (tmp_path / "out.json", tmp_path / "runs" / "local" / "outcome.json"):
        assert json.loads(path.read_text()) == account


def test_a_failed_run_names_the_step_its_faults_and_its_last_lines(tmp_path):
    left(tmp_path, news=NEWS)
    with pytest.raises(FaultyStudies):
        validate(data_root=str(tmp_path))
    account = told(tmp_path, FAILED)
    assert account["outcome"] == "failed"
    assert account["text"] == (
        "run local: failed: validate failed: 2 faults; what was finished is kept; to go on from there: "
        f"python -m pipelines resume local --data-root {tmp_path}"
    )
    assert account["failure"]["faults"] == ["study 1: expected x", "study 2: expected y"]
    assert "last_log_lines" in account["failure"]


def test_a_failure_without_an_account_is_told_as_such(tmp_path):
    assert "a pod never started, or could not reach the data root" in told(tmp_path, FAILED)["reason"]


def test_a_step_that_was_killed_is_named_whatever_an_earlier_try_of_it_left(tmp_path):
    with pytest.raises(FaultyStudies):
        validate(data_root=str(tmp_path))
    steps = tmp_path / "runs" / "local" / "steps"
    begun = {"step": "validate", "began": "2026-11-28T22:00:00+00:00", "memory_mb": 6144}
    (steps / "validate.begun").write_text(json.dumps(begun))
    account = told(tmp_path, FAILED)
    assert account["failure"] is None
    assert account["reason"] == (
        "validate began at 2026-11-28T22:00:00+00:00 and left neither result nor error, as a step does that is killed: "
        "mostly for memory (OOMKilled, exit code 137), of which it had 6,144 MB; give it more (steps.validate.memory in "
        "the settings)"
    )


@pytest.mark.parametrize("cause", ["nothing was left", "an error", "killed", "the data root is away"])
def test_every_failed_run_ends_with_the_command_that_goes_on_with_it(tmp_path, webhook, monkeypatch, cause):
    monkeypatch.setenv("KFP_POD_NAME", "retraining-x-system-container-impl-1")
    webhook.answers[:] = [200]
    if cause == "an error":
        with pytest.raises(FaultyStudies):
            validate(data_root=str(tmp_path))
    elif cause == "killed":
        (tmp_path / "runs" / "local" / "steps").mkdir(parents=True)
        begun = {"step": "train", "began": "2026-11-28T22:00:00+00:00", "memory_mb": 6144}
        (tmp_path / "runs" / "local" / "steps" / "train.begun").write_text(json.dumps(begun))
    elif cause == "the data root is away":
        (tmp_path / "runs").write_text("in the way")
        (tmp_path / "runs").rename(tmp_path / "root")
    root = tmp_path / ("root" if cause == "the data root is away" else "")
    try:
        outcome(state=FAILED, out=str(tmp_path / "out.json"), data_root=str(root), webhook=url(webhook))
    except OSError:
        assert cause == "the data root is away"
    ((_, account),) = webhook.taken
    assert account["text"].endswith(
        "; what was finished is kept; to go on from there: python -m pipelines resume local"
    )
    assert account["text"].count("\n") == 0


def test_the_command_of_a_run_on_this_machine_names_its_data_root_as_a_shell_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")  # As in a cluster's notebook.
    text = told(tmp_path / "it's a root", FAILED)["text"]
    (command,) = re.findall("to go on from there: (.*)$", text)
    assert shlex.split(command)[-2:] == ["--data-root", str(tmp_path / "it's a root")]


@pytest.mark.parametrize("state", ["SUCCEEDED", "CANCELED"])
def test_a_run_that_did_not_fail_is_not_to_be_gone_on_with(tmp_path, state):
    assert "resume" not in told(tmp_path, state)["text"]


def test_the_webhook_is_told_of_a_data_root_that_is_away(tmp_path, webhook):
    webhook.answers[:] = [200]
    with pytest.raises(OSError, match="nosuch://bucket"):
        outcome(
            state=FAILED,
            out=str(tmp_path / "out.json"),
            data_root="nosuch://bucket/root",
            webhook=url(webhook),
        )
    ((_, account),) = webhook.taken
    assert account["outcome"] == "failed"
    assert "what its steps left cannot be read: nosuch://bucket/root/runs/local" in account["reason"]
    assert json.loads((tmp_path / "out.json").read_text()) == account


def test_the_webhook_is_sent_the_account_once_it_listens(tmp_path, webhook, monkeypatch):
    monkeypatch.setattr(angiopipe.outcome, "PAUSES", (0.01, 0.01))
    webhook.answers[:] = [503, 429, 200]
    account = told(tmp_path, webhook=url(webhook))
    assert webhook.taken == [("application/json", account)] * 3


def test_the_webhook_may_stand_in_the_environment(tmp_path, webhook, monkeypatch):
    webhook.answers[:] = [200]
    monkeypatch.setenv("ANGIOPIPE_WEBHOOK", url(webhook))
    account = told(tmp_path)
    assert [content for _, content in webhook.taken] == [account]


def test_a_webhook_that_refuses_is_not_asked_again_and_its_secret_is_not_shown(tmp_path, webhook):
    webhook.answers[:] = [403]
    with pytest.raises(OSError, match=r"webhook http://127\.0\.0\.1: .*got status 403") as caught:
        told(tmp_path, webhook=url(webhook))
    assert "secret-part" not in str(caught.value)
    assert len(webhook.taken) == 1
    assert (tmp_path / "runs" / "local" / "outcome.json").exists()
