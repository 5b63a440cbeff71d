"""A training that the cluster or the network ended is launched again, where it can go on and as long as it gets further."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import kubernetes
import pytest

from angiopipe import storage
from angiopipe.cluster import launcher
from angiopipe.cluster.errors import ClusterError, WorkerFailed
from angiopipe.cluster.launcher import launch
from angiopipe.cluster.trainjob import MAX_NAME, job_name
from angiopipe.training.checkpoint import steps_done
from tests.unit.cluster.replayed_api import Answer, Frame
from tests.unit.cluster.seen import COMPLETE, FAILED, JOB, UNAVAILABLE, ended, name, running, succeeded

RUNNING = Frame([running(0), running(1)])
ENDS_WELL = [RUNNING, Frame([succeeded(0), succeeded(1)], [COMPLETE])]
KILLED = [RUNNING, Frame([ended(0, 1, "Error", 21), ended(1, 137, "Error", 20)], [FAILED])]
FAILS = [RUNNING, Frame([running(0), ended(1, 1, "Error", 20, "ValueError: shard 7")], [FAILED])]


@pytest.fixture(autouse=True)
def two_logs(api):
    api.logs = {name(0): [(3.0, "epoch 1"), (20.5, UNAVAILABLE)], name(1): [(3.0, "epoch 1")]}


def names(api):
    return [one.body["metadata"]["name"] for one in api.creations()]


def told(caplog):
    return [one for one in caplog.messages if "is launched again" in one]


class Checkpoints:
    """How many steps are done when it is asked before the first launch, after the first, ..."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self):
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def test_a_killed_worker_costs_one_relaunch_and_not_the_run(api, launch_job, make_job, caplog):
    api.frames, api.relaunches = KILLED, [ENDS_WELL]
    launch_job(steps_done=Checkpoints(0, 40))
    assert names(api) == [JOB, job_name("run-1", 1)]
    assert [one.path.rsplit("/", 1)[1] for one in api.deletions()] == [JOB]
    (line,) = told(caplog)
    assert line.startswith(
        f"TrainJob {JOB}: expected 2 workers to end well, found that worker 1 was the first"
    )
    assert "exit code 137 (Error, killed by SIGKILL)" in line
    assert "\n  epoch 1\n" in line
    assert line.endswith("TrainJob is launched again in 0.1 s, from the checkpoint after step 40")
    assert caplog.messages[-1] == f"TrainJob {job_name('run-1', 1)} has ended well"
    # But for its name it is the same.
    first, second = (one.body for one in api.creations())
    assert first["spec"] == second["spec"]
    assert first["metadata"]["labels"] == second["metadata"]["labels"]


def test_what_would_fail_again_is_not_launched_again(api, launch_job, caplog):
    api.frames = FAILS
    with pytest.raises(WorkerFailed, match="ValueError: shard 7"):
        launch_job()
    assert len(api.creations()) == len(api.deletions()) == 1
    assert not told(caplog)


def test_what_fails_by_itself_after_a_relaunch_ends_the_training(api, launch_job):
    api.frames, api.relaunches = KILLED, [FAILS]
    with pytest.raises(WorkerFailed, match="ValueError: shard 7"):
        launch_job()
    assert len(api.creations()) == 2


def test_relaunches_in_vain_are_few_and_then_the_failure_is_told(api, launch_job, caplog):
    api.frames, api.relaunches = KILLED, [KILLED, KILLED]
    with pytest.raises(WorkerFailed) as caught:
        launch_job(relaunches=2, steps_done=Checkpoints(40))
    assert len(api.creations()) == len(api.deletions()) == 3
    assert not api.jobs
    last = job_name("run-1", 2)
    assert str(caught.value).startswith(
        f"launched 3 times, 3 of them in a row without a later checkpoint; the last: TrainJob {last}: expected 2 workers"
    )
    assert (caught.value.worker, caught.value.exit_code) == (1, 137)
    first, second = told(caplog)
    assert first.endswith(
        "in 0.1 s, from the checkpoint after step 40, relaunch 1 of 2 in a row without a later one"
    )
    assert second.endswith(
        "in 0.2 s, from the checkpoint after step 40, relaunch 2 of 2 in a row without a later one"
    )


def test_they_are_counted_anew_after_a_later_checkpoint(api, launch_job, caplog):
    api.frames, api.relaunches = KILLED, [*[KILLED] * 5, ENDS_WELL]
    launch_job(relaunches=1, steps_done=Checkpoints(0, 0, 10, 20, 30, 30, 31))
    assert len(api.creations()) == 7
    assert [one.rpartition(", ")[2].split(" ")[0] for one in told(caplog)] == [
        "relaunch", "from", "from", "from", "relaunch", "from",
    ]  # fmt: skip


def test_none_is_asked_for(api, launch_job):
    api.frames = KILLED
    with pytest.raises(WorkerFailed, match="exit code 137") as caught:
        launch_job(relaunches=0)
    assert "launched" not in str(caught.value)
    assert len(api.creations()) == 1


def test_checkpoints_that_cannot_be_read_are_no_failure_of_their_own(api, launch_job):
    def away():
        raise OSError("no answer from s3://")

    api.frames, api.relaunches = KILLED, [ENDS_WELL]
    launch_job(steps_done=away)
    assert len(api.creations()) == 2


@pytest.mark.parametrize("run_id", ["run-1", "0b6c1f04-2f3a-4a5d-9c0e-1f2e3d4c5b6a", "x" * 200, "", "A/b"])
def test_names_of_launches_are_short_and_no_other_runs(run_id):
    found = [job_name(run_id, launch) for launch in range(21)]
    assert len(set(found)) == 21
    assert all(len(one) <= MAX_NAME for one in found)
    assert job_name(run_id) == found[0]
    assert not {job_name(f"{run_id}-{launch}") for launch in range(21)} & set(found)


def test_a_relaunch_waits_for_the_pods_of_the_launch_before_it(api, launch_job):
    api.frames, api.relaunches = KILLED, [ENDS_WELL]
    api.on_delete = lambda: api.lingering.update({JOB: [running(0), running(1), running(1)]})
    launch_job()
    (_, made) = [number for number, one in enumerate(api.requests) if one.method == "POST"]
    asked = [one.query["labelSelector"] for one in api.requests[:made] if one.path.endswith("/pods")]
    assert asked[-4:].count(f"jobset.sigs.k8s.io/jobset-name={JOB}") == 2
    assert not api.lingering[JOB]


def test_but_not_for_those_that_a_lost_node_keeps(api, launch_job, monkeypatch):
    monkeypatch.setattr(launcher, "_LAST_PODS_SECONDS", 0.3)
    api.frames, api.relaunches = KILLED, [ENDS_WELL]
    api.on_delete = lambda: api.lingering.update({JOB: [running(0)] * 10_000})
    launch_job()
    assert len(api.creations()) == 2


def test_a_job_that_cannot_be_deleted_is_not_joined_by_another(api, launch_job):
    api.frames = KILLED
    api.answers = [Answer("DELETE", JOB, 403, "no")]
    with pytest.raises(WorkerFailed):
        launch_job()
    assert len(api.creations()) == 1


def test_a_step_that_is_tried_again_follows_its_relaunched_job(api, make_job, launch_job, caplog):
    body = make_job().next.next.body()
    api.add_job(body)
    api.frames = [Frame(), *ENDS_WELL]
    launch_job()
    assert not api.creations()
    assert not api.deletions()
    assert caplog.messages[-1] == f"TrainJob {body['metadata']['name']} has ended well"


def test_a_relaunched_job_that_asks_for_something_else_is_replaced(api, make_job, launch_job):
    api.add_job(make_job(gpus=4).next.body())
    api.frames = [Frame(), *ENDS_WELL]
    launch_job()
    assert len(api.deletions()) == 1
    assert names(api) == [JOB]


def test_the_deadline_is_of_all_launches_together(api, launch_job, monkeypatch):
    monkeypatch.setattr("angiopipe.cluster.following._DEADLINE_GRACE_SECONDS", 0.0)
    api.frames, api.relaunches = KILLED, [KILLED] * 100
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="expected it to end within 2 s"):
        launch_job(deadline_seconds=2, steps_done=Checkpoints(*range(200)))
    assert 2 <= time.monotonic() - started < 10
    assert not api.jobs


def test_a_signal_between_two_launches_ends_the_step(api, make_job):
    api.frames = KILLED
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])

    def steps_done():
        if api.deletions():
            timer.start()
        return 0

    with pytest.raises(KeyboardInterrupt):
        launch(
            make_job(relaunches=20),
            configuration=kubernetes.client.Configuration(host=api.url),
            poll_seconds=0.2,
            steps_done=steps_done,
        )
    timer.join()
    assert len(api.creations()) == len(api.deletions()) == 1


def test_what_the_cluster_refuses_is_not_launched_again(api, launch_job):
    api.answers = [Answer("POST", "trainjobs", 403, "no")]
    with pytest.raises(ClusterError):
        launch_job()
    assert len(api.creations()) == 1


def checkpoint(folder, step):
    storage.write_text(f"{folder}/checkpoint-{step:010d}-abc.npz", "x")


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_trainings_progress_is_the_steps_of_its_newest_checkpoints_whoever_wrote_them(tmp_path, kind):
    root = str(tmp_path) if kind == "local" else f"memory://{tmp_path.name}"
    assert steps_done(f"{root}/checkpoints") == 0
    checkpoint(f"{root}/checkpoints/recipe/seen", 12)
    checkpoint(f"{root}/checkpoints/recipe/seen", 15)
    storage.write_text(f"{root}/checkpoints/recipe/seen/notes.txt", "x")
    assert steps_done(f"{root}/checkpoints") == 15
    # An ensemble's next member begins at its first step, which is further all the same.
    checkpoint(f"{root}/checkpoints/recipe/member-1/seen", 1)
    assert steps_done(f"{root}/checkpoints") == 16


def test_who_launches_loads_no_tensorflow():
    code = "import sys, angiopipe.training.train, angiopipe.cluster.train; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
