"""A server that does not answer is asked again with growing pauses, for the stated time."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE

from angiopipe.registry.login import MlflowRefused
from angiopipe.registry.patience import MlflowAway, Patience, shown, single_attempts


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_the_error_says_what_is_away_why_and_what_to_do(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    ask = Patience(uri.replace("//", "//user:secret@"), 2.0, "start it again")
    started = time.monotonic()
    monkeypatch.setattr(logging.getLogger("angiopipe"), "propagate", True)  # a step of another test cut it
    with (
        caplog.at_level(logging.WARNING, "angiopipe"),
        single_attempts(),
        pytest.raises(MlflowAway) as caught,
    ):
        ask("counting runs", lambda: MlflowClient(uri).search_experiments())
    assert 2.0 <= time.monotonic() - started < 10
    message = str(caught.value)
    assert message.startswith(
        f"MLflow at {uri}: expected an answer within 2 s while counting runs, found none"
    )
    assert "Connection refused" in message
    assert message.endswith("start it again")
    pauses = [float(record.args[3]) for record in caplog.records if "asking again" in record.msg]
    assert list(dict.fromkeys(pauses))[:2] == [0.5, 1.0]
    assert "secret" not in caplog.text


def test_an_answer_ends_the_waiting() -> None:
    answers = iter([ConnectionResetError("reset"), MlflowException("busy", TEMPORARILY_UNAVAILABLE), 7])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Patience("http://x", 5, "")("asking", ask) == 7


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MlflowException("no", PERMISSION_DENIED), MlflowRefused),
        (MlflowException("no", INVALID_PARAMETER_VALUE), ValueError),
        (FileNotFoundError("a file of ours"), FileNotFoundError),
    ],
)
def test_what_no_waiting_mends_is_told_at_once(raised: Exception, expected: type[Exception]) -> None:
    calls = []

    def ask() -> None:
        calls.append(1)
        raise raised

    with pytest.raises(expected):
        Patience("http://x", 60, "")("asking", ask)
    assert len(calls) == 1


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql://me:secret@host/db") == "postgresql://host/db"
    assert shown("sqlite:////data/mail@home.db") == "sqlite:////data/mail@home.db"


def test_mlflows_own_attempts_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    monkeypatch.setenv(name, "5")
    with single_attempts():
        assert os.environ[name] == "0"
    assert os.environ[name] == "5"
