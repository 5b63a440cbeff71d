"""A worker's log through a connection that breaks off."""

from __future__ import annotations

import random
import time

import kubernetes
import pytest

from angiopipe.cluster import logs
from angiopipe.cluster.api import Api
from angiopipe.cluster.logs import WorkerLog
from tests.unit.cluster.replayed_api import Frame
from tests.unit.cluster.seen import JOB, name, running, succeeded, waiting


@pytest.fixture
def follow(api, monkeypatch):
    """Starts following worker 0's log, without pauses between the tries."""
    monkeypatch.setattr(logs, "_PAUSE_SECONDS", 0.01)
    api.jobs[JOB] = {}

    def start():
        shown = []
        client = Api("kubeflow", kubernetes.client.Configuration(host=api.url))
        return WorkerLog(client, name(0), shown.append), shown

    return start


def log_requests(api):
    return [one for one in api.requests if one.path.endswith("/log")]


def wait_for(shown, count):
    until = time.monotonic() + 10
    while len(shown) < count and time.monotonic() < until:
        time.sleep(0.01)


def end(api, following):
    api.frames = [Frame([succeeded(0)])]
    following.end()
    following.join(10)


@pytest.mark.parametrize("seed", range(6))
def test_no_line_is_lost_or_repeated_wherever_the_stream_breaks_off(api, follow, seed):
    api.node_in_berlin = seed % 2 == 1
    rng = random.Random(seed)
    lines = [f"step {n // 3}: loss 0.5" for n in range(300)]  # Each text comes three times.
    seconds = sorted(rng.uniform(0, 20) for _ in lines)
    seconds[50:60] = [seconds[50]] * 10  # A burst within one clock tick.
    api.logs = {name(0): list(zip(seconds, lines, strict=True))}
    api.cuts = {name(0): [rng.randrange(1, 3500) for _ in range(12)]}
    api.frames = [Frame([running(0)])]
    following, shown = follow()
    wait_for(shown, len(lines))
    end(api, following)
    assert shown == lines
    assert len(log_requests(api)) > 5
    assert list(following.lines) == lines[-20:]


def test_lines_that_lie_a_moment_out_of_order_are_all_shown(api, follow):
    stamped = [(1.0, "a"), (4.2, "out"), (3.9, "err"), (4.3, "out 2"), (6.95, "b"), (7.0, "c")]
    api.logs = {name(0): stamped}
    api.cuts = {name(0): [45, 90, 150, 200, 250]}
    api.frames = [Frame([running(0)])]
    following, shown = follow()
    wait_for(shown, len(stamped))
    end(api, following)
    assert shown == [line for _, line in stamped]


def test_a_log_is_taken_up_again_where_it_broke_off_and_not_at_its_start(api, follow):
    api.logs = {name(0): [(float(n), f"line {n}") for n in range(50)]}
    api.cuts = {name(0): [39 * 40]}
    api.frames = [Frame([running(0)])]
    following, shown = follow()
    wait_for(shown, 50)
    end(api, following)
    first, second, *_ = log_requests(api)
    assert "sinceTime" not in first.query
    assert second.query["sinceTime"] > "2026-11-24T12:00:30Z"
    assert shown == [f"line {n}" for n in range(50)]


def test_a_container_that_has_not_started_is_tried_again(api, follow):
    api.logs = {name(0): [(1.0, "hello")]}
    api.frames = [Frame([waiting(0, "ContainerCreating")])]
    following, shown = follow()
    while len(log_requests(api)) < 3:
        time.sleep(0.01)
    api.frames = [Frame([running(0)])]
    wait_for(shown, 1)
    end(api, following)
    assert shown == ["hello"]


def test_a_log_whose_pod_is_gone_ends(api, follow):
    api.frames = [Frame()]
    following, shown = follow()
    following.join(5)
    assert not following._thread.is_alive()
    assert shown == []
