"""Answers that lack fields: a run is followed to its end all the same, or one error says what is missing."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angiopipe.ending import DEFECT
from pipelines.__main__ import main
from pipelines.commands.schedule import _replace
from pipelines.commands.wait import wait
from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import at, entries, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.package import Package
from pipelines.settings import Settings
from tests.unit.pipelines.recorded_kubeflow import (
    EXCHANGES,
    RecordedKubeflow,
    as_it_was,
    moments,
    recorded_run,
    serving,
)

OF_OTHER_TYPES = (None, 7, "text", [], {}, [None], {"state": []})


def keys(body: Any) -> set[str]:
    """The names of all fields at any depth."""
    if isinstance(body, list):
        return set().union(*map(keys, body))
    return set(body).union(*map(keys, body.values())) if isinstance(body, dict) else set()


def without(body: Any, removed: set[str]) -> Any:
    """An answer that lacks some fields, at whatever depth."""
    if isinstance(body, list):
        return [without(one, removed) for one in body]
    if isinstance(body, dict):
        return {name: without(one, removed) for name, one in body.items() if name not in removed}
    return body


def damaged(body: Any, random: Random) -> Any:
    """An answer in which each field may be absent, null or of another type."""
    if isinstance(body, list):
        return [damaged(one, random) for one in body]
    if not isinstance(body, dict):
        return body
    kept = {name: damaged(one, random) for name, one in body.items() if random.random() > 0.1}
    return {
        name: random.choice(OF_OTHER_TYPES) if random.random() < 0.05 else one for name, one in kept.items()
    }


PACKAGE = Package("training", b"schemaVersion: 2.1.0\n---\nplatforms: {}\n")
RUNS = {name: recorded_run(name) for name in ("succeeded", "failed")}
STEPS = {"succeeded": ["stamp"], "failed": ["fail", "cleanup"]}
FRAMES = {name: [as_it_was(run, moment) for moment in moments(run)] for name, run in RUNS.items()}


def follow_to_the_end(name: str, change: Any, *last: Any) -> str:
    """What is told of a recorded run whose answers were changed, but for the last: the error, or nothing."""
    with serving() as kubeflow:
        kubeflow.frames = [*map(change, FRAMES[name]), *last]
        try:
            wait(Kubeflow(Settings(host=kubeflow.url)), RUNS[name]["run_id"], STEPS[name], "memory://none", 0)
        except PipelineError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("key", sorted(keys(list(RUNS.values())) - {"state"}))
def test_a_run_is_followed_to_its_end_without_any_one_field(name, key):
    told = follow_to_the_end(name, lambda frame: without(frame, {key}))
    assert (told == "") == (name == "succeeded"), told
    assert told == "" or told.startswith(f"run {RUNS[name]['run_id']}: failed after")


def test_a_run_whose_state_stands_in_its_history_alone_is_followed_to_its_end():
    def only_in_history(frame: dict) -> dict:
        return {name: one for name, one in frame.items() if name != "state"}

    assert follow_to_the_end("succeeded", only_in_history) == ""
    assert "failed after 110 s" in follow_to_the_end("failed", only_in_history)


def test_a_run_whose_state_is_never_told_ends_in_one_error():
    told = follow_to_the_end("failed", lambda frame: without(frame, {"state"}))
    assert (
        f"run {RUNS['failed']['run_id']}: expected Kubeflow to tell how it stands, found no state in 6 answers"
        in told
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(RUNS)))
def test_a_run_is_followed_to_an_end_whatever_its_answers_lack(seed, name):
    random = Random(seed)
    told = follow_to_the_end(name, lambda frame: damaged(frame, random), RUNS[name])
    assert told == "" or told.startswith(f"run {RUNS[name]['run_id']}")


ANSWERED = sorted(
    keys([one["response"] for one in EXCHANGES.values() if one["status"] == 200]) - {"parameters"}
)


def submit_and_schedule(server: RecordedKubeflow) -> None:
    """All that the commands ask of Kubeflow, without compiling anything."""
    kubeflow = Kubeflow(Settings(host=server.url))
    version = kubeflow.upload_version(PACKAGE, "v", "")
    kubeflow.upload_version(PACKAGE, "v", "")
    run_id = kubeflow.start_run("r", *version[:2], {})
    wait(kubeflow, run_id, ["stamp"], "memory://none", 0)
    experiment = kubeflow.experiment()
    for cron in ("0 0 3 * * 1", "0 0 4 * * 1"):
        body = kubeflow.recurring_run("angiopipe-training", experiment, *version[:2], {}, cron)
        _replace(kubeflow, body, list(kubeflow.schedules(experiment)))


@pytest.mark.parametrize("key", ANSWERED)
def test_no_command_trips_over_a_field_that_is_absent(kubeflow, write_settings, capsys, key):
    kubeflow.frames = [RUNS["succeeded"]]
    kubeflow.change = lambda body: without(body, {key})
    written = write_settings()
    with contextlib.suppress(PipelineError):  # Any other error is a defect.
        submit_and_schedule(kubeflow)
    ends = []
    for command in (["status"], ["unschedule", "training"]):
        try:
            main([*command, "--settings", written])
        except SystemExit as end:
            ends.append(str(end.code))
    assert all("expected to" in one for one in ends)
    assert DEFECT not in capsys.readouterr().err


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_can_be_asked_for_any_path(answer):
    for default in ("", 0, False, [], {}):
        assert type(at(answer, "a", "b", default=default)) is type(default)
    assert isinstance(text(answer, "a"), str)
    assert all(isinstance(one, dict) for one in entries(answer, "a"))
