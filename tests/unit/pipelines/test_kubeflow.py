"""Refusals in words, time-outs, and what is sent only once."""

from __future__ import annotations

import json

import pytest

from pipelines.errors import PipelineError
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.connection import Connection, Unreachable
from pipelines.kubeflow.refusals import Refused, cause, refusal
from pipelines.package import Package
from pipelines.settings import Settings
from tests.unit.pipelines.recorded_kubeflow import EXCHANGES, recorded_run

REFUSED = [name for name, one in EXCHANGES.items() if one["status"] != 200]
PACKAGE = Package("training", b"schemaVersion: 2.1.0\n---\nplatforms: {}\n")


def body(case: str) -> bytes:
    response = EXCHANGES[case]["response"]
    return (response if isinstance(response, str) else json.dumps(response)).encode()


def connect(kubeflow, **fields) -> Connection:
    return Connection(Settings(host=kubeflow.url, **{"request_seconds": 0.3, **fields}), patience_seconds=1)


@pytest.mark.parametrize("case", REFUSED)
def test_every_recorded_refusal_has_a_cause_in_one_sentence(case):
    found = cause(body(case))
    assert found
    assert "stack trace" not in found
    assert "\n" not in found
    assert "Internal Server Error" not in found
    assert not found.startswith(("Failed to create a new run:", "{"))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("pipeline unknown", "Pipeline 00000000-0000-4000-8000-000000000000 not found"),
        ("run no display name", "Run name cannot be empty"),
        ("run unknown version", "PipelineVersion 00000000-0000-4000-8000-000000000000 not found"),
        (
            "run missing required",
            "parameter a is not optional, yet has neither default value nor user provided value",
        ),
        (
            "upload schemaVersion 9.9.9",
            "KFP only supports schema version 2.1.0, but the pipeline spec has version 9.9.9",
        ),
        ("upload name 129", "Invalid input error: Pipeline.Name length cannot exceed 128"),
        ("run unknown top field", 'proto: (line 1:23): unknown field "zork"'),
        ("unknown root path", "404 page not found"),
    ],
)
def test_the_cause_is_found_in_each_shape_of_body(case, expected):
    assert cause(body(case)) == expected


def test_a_log_in_page_is_told_as_such():
    assert "log in there" in cause(b"<!doctype html><html><body>Sign in</body></html>")
    assert "ANGIOPIPE_KFP_TOKEN" in str(refusal("start a run", 401, b""))


def test_a_server_that_does_not_answer_ends_in_an_error_in_time(kubeflow):
    kubeflow.silent = True
    with pytest.raises(Unreachable, match="expected to start run r, found no answer"):
        connect(kubeflow).post("/runs", {}, wanted="start run r")


def test_broken_yaml_would_never_be_answered_and_is_not_sent(kubeflow):
    with pytest.raises(Unreachable):
        connect(kubeflow).upload("/pipelines/upload_version", {}, "p.yaml", b"a: [", wanted="upload")
    with pytest.raises(PipelineError, match="package of training: expected YAML"):
        Kubeflow(Settings(host=kubeflow.url)).upload_version(Package("training", b"a: ["), "v", "")
    assert not kubeflow.requests


@pytest.mark.parametrize("content", [b"", b"just text", b"schemaVersion: 2.0.0", b"[1]"])
def test_what_is_no_package_is_not_sent(kubeflow, content):
    with pytest.raises(PipelineError, match="schema version 2.1.0"):
        Kubeflow(Settings(host=kubeflow.url)).upload_version(Package("training", content), "v", "")
    assert not kubeflow.requests


def test_a_name_on_which_the_server_fails_is_not_sent(kubeflow):
    with pytest.raises(PipelineError, match="at most 127 characters, found 128"):
        Kubeflow(Settings(host=kubeflow.url)).upload_version(PACKAGE, "v" * 128, "")


def test_what_reads_is_asked_again_and_what_starts_something_is_sent_once(kubeflow):
    kubeflow.frames = [recorded_run("succeeded")]
    kubeflow.instead = [("GET", "/runs/x", "away"), ("POST", "/runs", "away")]
    connection = Connection(Settings(host=kubeflow.url), patience_seconds=60)
    assert connection.get("/runs/x", wanted="see run x")["state"] == "SUCCEEDED"
    with pytest.raises(Refused, match="expected to start a run, found status 503: no healthy upstream"):
        connection.post("/runs", wanted="start a run")
    assert len(kubeflow.sent("GET", "/runs/x")) == 2
    assert len(kubeflow.sent("POST", "/runs")) == 1


def test_a_refusal_is_not_asked_for_again(kubeflow):
    with pytest.raises(Refused, match="expected to see run x, found status 404: Run 0000.* not found"):
        connect(kubeflow).get("/runs/x", wanted="see run x")
    assert len(kubeflow.requests) == 1


def test_a_list_is_read_to_its_last_page(kubeflow):
    kubeflow.schedules = [{"experiment_id": "e", "display_name": str(n)} for n in range(3)]
    found = Kubeflow(Settings(host=kubeflow.url)).schedules("e")
    assert [one["display_name"] for one in found] == ["0", "1", "2"]


def test_without_a_host_the_setting_is_named():
    with pytest.raises(PipelineError, match="ANGIOPIPE_KFP_HOST"):
        Kubeflow(Settings())
