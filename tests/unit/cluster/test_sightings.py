"""The first worker to fail is found whenever the launcher looked, and however long the API was silent in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations

import pytest

from angiopipe.cluster.failure import worker_failed
from angiopipe.cluster.pods import read_pod
from angiopipe.cluster.sightings import Sighting, first
from tests.unit.cluster.replayed_api import Object, at
from tests.unit.cluster.seen import FAILED, UNAVAILABLE, deleted, ended, running, without_container

WORKERS = 3
LOOKS = (6, 15, 16, 20, 21, 22)
LAST_LOOK = 40
OWN = "ValueError: examples/train-00007.tfrecord: expected 4096 bytes, found 17"
START = ["epoch 1/8: loss 0.5", "epoch 2/8: loss 0.4"]

State = Object | None
"""A pod as the API tells it; None where it is not there any more."""


@dataclass(frozen=True)
class Course:
    """What happens to one worker: its states from a second on, and what its log ends with."""

    states: tuple[tuple[int, Callable[[int], State]], ...]
    last_line: str = ""

    def seen(self, worker: int, second: int) -> State:
        now = lambda number: running(number)  # noqa: E731
        for since, state in self.states:
            if since <= second:
                now = state
        return now(worker)


def fails(code: int, second: int, line: str = "", reason: str = "Error", gone: int = 0) -> Course:
    def state(worker: int) -> Object:
        return ended(worker, code, reason, second, line)

    courses = [(second, state)]
    if gone:
        courses += [(gone, lambda worker: deleted(state(worker), gone, 10)), (gone + 1, lambda worker: None)]
    return Course(tuple(courses), line)


def loses_its_peer(second: int, code: int = 1, gone: int = 0) -> Course:
    return fails(code, second, UNAVAILABLE, gone=gone)


def is_deleted(second: int, code: int, dies: int) -> Course:
    """A pod whose deletion is asked for from outside, which ends in its grace or at its end, and is gone a second later."""

    def dying(worker: int) -> Object:
        return deleted(running(worker), second, 10)

    def dead(worker: int) -> Object:
        return deleted(ended(worker, code, "Error", dies), second, 10)

    return Course(((second, dying), (dies, dead), (dies + 1, lambda worker: None)))


def by_its_node(second: int, reason: str, message: str, code: int | None, when: bool = True) -> Course:
    def state(worker: int) -> Object:
        return without_container(worker, reason, message, second if when else None, code)

    return Course(((second, state),))


# The cause, and what befalls the two others because of it.
COURSES = {
    "an error of its own": (fails(1, 20, OWN), loses_its_peer(20), loses_its_peer(21)),
    "a code of its own": (fails(3, 20), loses_its_peer(20), loses_its_peer(21, gone=22)),
    "an error of its own, with noise of the coordination service": (
        fails(1, 20, f"{OWN}\nE0000 Shutdown barrier in coordination service has failed"),
        loses_its_peer(20),
        loses_its_peer(20, gone=22),
    ),
    "killed": (fails(137, 20), loses_its_peer(20), loses_its_peer(21)),
    "killed, its peers silent": (fails(137, 20), fails(1, 20), fails(134, 20)),
    "killed, its pod cleared away within the second": (fails(137, 20, gone=20), loses_its_peer(20), loses_its_peer(21)),
    "out of memory": (fails(137, 20, reason="OOMKilled"), loses_its_peer(20), fails(1, 20)),
    "a crash": (fails(139, 20), loses_its_peer(20, code=134), loses_its_peer(21)),
    "deleted, ending by SIGTERM": (is_deleted(6, 143, 15), loses_its_peer(16), loses_its_peer(16)),
    "deleted, ending by SIGKILL": (is_deleted(6, 137, 16), loses_its_peer(16), loses_its_peer(16)),
    "deleted, its peers silent": (is_deleted(6, 143, 15), fails(1, 16), fails(1, 16)),
    "evicted": (by_its_node(20, "Evicted", "The node was low on resource: memory.", 137), loses_its_peer(20), fails(1, 21)),
    "evicted before it had a code": (by_its_node(20, "Evicted", "low", None), loses_its_peer(21), fails(1, 21)),
    "evicted, no time told": (by_its_node(20, "Evicted", "low", None, False), loses_its_peer(21), fails(1, 21)),
    "its node shut down": (by_its_node(20, "Terminated", "imminent node shutdown.", 0), loses_its_peer(20), fails(1, 20)),
}  # fmt: skip


def _subsets(seconds):
    return chain.from_iterable(combinations(seconds, count) for count in range(len(seconds) + 1))


def _sightings(courses, looks, log_until):
    """What is known after looks at these seconds, where logs could be read up to one."""
    found = []
    for worker, course in enumerate(courses):
        states = [course.seen(worker, second) for second in (*looks, LAST_LOOK)]
        known = [state for state in states if state is not None]
        if not known:
            continue
        ends = course.states[0][0] <= log_until and bool(course.last_line)
        lines = [*START, *(course.last_line.splitlines() if ends else ())]
        found.append(Sighting(read_pod(known[-1]), states[-1] is None, lines))
    return found


@pytest.mark.parametrize("cause", range(WORKERS))
@pytest.mark.parametrize("name", COURSES)
def test_the_first_is_found_at_whatever_times_the_launcher_looked(name, cause):
    own, *others = COURSES[name]
    courses = [*others[:cause], own, *others[cause:]]
    # Once it has seen the workers run; who came later knows of no pod that is gone.
    seen = (3, 6) if "silent" in name else (3,)
    for looks in _subsets(LOOKS):
        for log_until in (0, 20, LAST_LOOK):
            found = first(_sightings(courses, sorted({*seen, *looks}), log_until))
            assert found is not None, (looks, log_until)
            assert found.pod.worker == cause, (looks, log_until)


@pytest.mark.parametrize("cause", range(WORKERS))
@pytest.mark.parametrize("name", COURSES)
def test_it_is_launched_again_exactly_where_another_try_may_end_well(name, cause):
    own, *others = COURSES[name]
    courses = [*others[:cause], own, *others[cause:]]
    found = worker_failed("j", _sightings(courses, LOOKS, LAST_LOOK), WORKERS, FAILED)
    again = ("killed", "deleted", "evicted", "its node")
    assert found.passing == name.startswith(again)


def test_where_all_vanished_unseen_nobody_is_blamed():
    gone = Course(((6, lambda worker: None),))
    sightings = _sightings([gone] * WORKERS, (3,), 0)
    assert first(sightings) is None
    found = worker_failed("j", sightings, WORKERS, FAILED)
    assert found.worker is None
    assert found.passing
    assert first(sightings[:1]) is not None


def test_of_two_that_vanished_neither_is_blamed_and_the_one_that_is_left_tells_what_it_knows():
    gone, left = Course(((16, lambda worker: None),)), loses_its_peer(16)
    sightings = _sightings([gone, gone, left], (3,), LAST_LOOK)
    found = worker_failed("j", sightings, WORKERS, FAILED)
    assert found.worker == 2
    assert "it lost its peers, none of which was seen to fail" in str(found)


ALONE = {
    "a network's fault, told by its own code": (fails(75, 20, "OSError: no answer from s3://"), True),
    "a peer that hangs": (loses_its_peer(20), True),
    "SIGTERM from outside": (fails(143, 20), True),
    "a node that was lost and came back": (fails(137, 20, reason="ContainerStatusUnknown"), True),
    "a node whose runtime was restarted": (fails(255, 20, reason="Unknown"), True),
    "no device left on its node": (
        by_its_node(20, "UnexpectedAdmissionError", "Allocate failed", None),
        True,
    ),
    "more than its own disk": (
        by_its_node(20, "Evicted", 'Container node exceeded its local ephemeral storage limit "1Gi".', 137),
        False,
    ),
    "more than its own /dev/shm": (
        by_its_node(20, "Evicted", 'Usage of EmptyDir volume "shared-memory" exceeds the limit "2Gi".', None),
        False,
    ),
    "its deadline": (by_its_node(20, "DeadlineExceeded", "Pod was active too long", None), False),
    "a bad command": (fails(128, 20, "exec: not found", "StartError"), False),
    "a command that is not there": (fails(127, 20, "python: not found"), False),
    "a defect": (fails(1, 20, "AttributeError: 'NoneType' object has no attribute 'x'"), False),
    "a crash": (fails(139, 20), False),
    "an error without a word": (fails(1, 20), False),
}


@pytest.mark.parametrize("name", ALONE)
def test_of_one_worker_too(name):
    course, again = ALONE[name]
    found = worker_failed("j", _sightings([course], LOOKS, LAST_LOOK), 1, FAILED)
    assert (found.worker, found.passing) == (0, again)


def test_an_evictions_reason_and_words_are_told_and_not_its_containers():
    message = "The node was low on resource: memory. Threshold quantity: 100Mi"
    course = by_its_node(20, "Evicted", message, None)
    found = worker_failed("j", _sightings([course], LOOKS, 0), 1, FAILED)
    assert found.reason == "Evicted"
    assert f"Evicted ({message})" in str(found)


def test_the_times_are_the_pods_own():
    pod = read_pod(deleted(ended(0, 137, "Error", 20), 22, 10))
    assert Sighting(pod, False, []).at == pod.ended.at
    assert at(20).startswith(pod.ended.at.strftime("%Y-%m-%dT%H:%M:%S"))
