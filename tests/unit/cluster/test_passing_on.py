"""What workers print, shown under their numbers: JSON stays JSON, and people read sentences."""

from __future__ import annotations

import io
import json
import logging

import pytest

from angiopipe.cluster.errors import WorkerFailed
from angiopipe.cluster.logs import pass_on
from angiopipe.logs import JsonLines, plain_lines
from tests.unit.cluster.replayed_api import Frame
from tests.unit.cluster.seen import FAILED, ended, name, running

EPOCH = {
    "time": "2026-11-24T12:00:03.125+00:00",
    "level": "INFO",
    "logger": "angiopipe.training.progress",
    "message": 'epoch 1/8: loss 0.137, "quoted", naïve',
}
FAULT = {**EPOCH, "level": "ERROR", "study": "17", "view": "LI-A", "file": "17LI-A.jpg", "line": 3}
TRACEBACK = {
    **EPOCH,
    "level": "WARNING",
    "traceback": "Traceback (most recent call last):\n  File x\nKeyError: 'a'",
}

NOT_OURS = [
    "epoch 1/8: loss 0.137",
    "",
    "{",
    "{}",
    json.dumps(EPOCH)[:-9],
    json.dumps({"loss": 0.1}),
    json.dumps({**EPOCH, "message": {"a": 1}}),
    json.dumps([EPOCH]),
    '{"a":' * 5000,
    "2026-11-24 12:00:00.000001: E external/xla/stream_executor.cc:1] " + json.dumps(EPOCH),
]


@pytest.fixture
def shown(monkeypatch):
    """What is written where a machine reads the log, or people."""

    def show(wanted, *lines):
        monkeypatch.setenv("ANGIOPIPE_LOG", wanted)
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonLines() if wanted == "json" else logging.Formatter("%(message)s"))
        logger = logging.getLogger("angiopipe.cluster")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            for line in lines:
                pass_on(1, line)
        finally:
            logger.removeHandler(handler)
        return stream.getvalue().splitlines()

    return show


@pytest.mark.parametrize("fields", [EPOCH, FAULT, TRACEBACK, {**EPOCH, "level": "TRACE", "new": [1, None]}])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_line_of_json_is_passed_on_as_it_was_written_with_the_workers_number(shown, fields, ascii_only):
    (line,) = shown("json", json.dumps(fields, ensure_ascii=ascii_only))
    assert json.loads(line) == {**fields, "worker": 1}


@pytest.mark.parametrize("text", NOT_OURS)
def test_any_other_line_is_the_message_of_one(shown, text):
    (line,) = shown("json", text)
    fields = json.loads(line)
    assert (fields["message"], fields["worker"], fields["level"]) == (text, 1, "INFO")
    assert shown("text", text) == [f"worker 1 | {text}"]


def test_the_run_and_the_step_are_the_launchers(shown):
    from angiopipe.logs import logged

    with logged("train", "r7"):
        (line,) = shown("json", json.dumps(EPOCH))
    assert {"step": "train", "run_id": "r7"}.items() <= json.loads(line).items()


def test_people_read_the_message_and_each_line_of_a_traceback(shown):
    assert shown("text", json.dumps(EPOCH)) == [f"worker 1 | {EPOCH['message']}"]
    assert shown("text", json.dumps(TRACEBACK)) == [
        f"worker 1 | {line}" for line in [EPOCH["message"], *TRACEBACK["traceback"].splitlines()]
    ]


def test_a_warning_stays_one(caplog):
    logger = logging.getLogger("angiopipe.cluster")
    logger.addHandler(caplog.handler)
    try:
        pass_on(0, json.dumps(TRACEBACK))
    finally:
        logger.removeHandler(caplog.handler)
    assert {one.levelname for one in caplog.records} == {"WARNING"}


def test_a_failures_last_lines_are_for_people_whether_from_the_log_or_from_the_pod(api, launch_job):
    message = f"{json.dumps(EPOCH)}\nValueError: shard 7 is damaged"
    for logs in ({name(1): [(3.0, json.dumps(FAULT))], name(0): []}, {name(0): [], name(1): []}):
        api.logs = logs
        api.frames = [
            Frame([running(0), running(1)]),
            Frame([running(0), ended(1, 1, "Error", message=message)], [FAILED]),
        ]
        api.requests.clear()
        api._look = -1
        with pytest.raises(WorkerFailed) as caught:
            launch_job()
        assert "{" not in "".join(caught.value.last_lines)
        assert caught.value.last_lines[-2:] == [EPOCH["message"], "ValueError: shard 7 is damaged"][-2:]


def test_plain_lines_of_what_is_no_json():
    assert [plain_lines(one) for one in NOT_OURS] == [[one] for one in NOT_OURS]
