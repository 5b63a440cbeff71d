"""Every fault that was made on a real cluster, some that were not, and what the launcher says of each."""

from __future__ import annotations

import pytest

from angiopipe.cluster.errors import ClusterError, WorkerFailed
from tests.unit.cluster.replayed_api import Answer, Frame
from tests.unit.cluster.seen import (
    COMPLETE,
    DEADLINE,
    FAILED,
    JOB,
    UNAVAILABLE,
    deleted,
    ended,
    event,
    name,
    running,
    succeeded,
    unscheduled,
    waiting,
)

STARTING = Frame([waiting(0, "ContainerCreating"), waiting(1, "ContainerCreating")])
BOTH_RUN = [STARTING, *[Frame([running(0), running(1)])] * 10]
NO_GPU = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: 1 No "
    "preemption victims found for incoming pod."
)
NO_NODE = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


@pytest.fixture(autouse=True)
def two_logs(api):
    api.logs = {name(worker): [(3.0, f"hello from {worker}"), (4.0, "epoch 1")] for worker in (0, 1)}


def failure(launch_job, **settings):
    """What a launch fails with that is the last."""
    with pytest.raises(WorkerFailed) as caught:
        launch_job(relaunches=0, **settings)
    return caught.value


def pending_error(launch_job, **settings):
    with pytest.raises(TimeoutError) as caught:
        launch_job(pending_seconds=0.3, **settings)
    return str(caught.value)


def waits(caplog):
    return [one for one in caplog.messages if " waits: " in one]


def test_a_worker_that_exits_3_is_named_and_not_its_victim(api, launch_job):
    api.logs[name(1)] += [(19.0, "Traceback"), (19.5, "ValueError: shard 7 is damaged")]
    api.logs[name(0)] += [(20.5, UNAVAILABLE)]
    api.frames = [
        *BOTH_RUN,
        Frame([running(0), ended(1, 3, "Error", 20)]),
        Frame([ended(0, 1, "Error", 21), ended(1, 3, "Error", 20)]),
        Frame([ended(1, 3, "Error", 20)], [FAILED]),  # The peer's pod is deleted.
    ]
    found = failure(launch_job)
    assert (found.worker, found.exit_code, found.reason) == (1, 3, "Error")
    assert found.last_lines[-1] == "ValueError: shard 7 is damaged"
    assert "worker 1 was the first to fail, exit code 3 (Error)" in str(found)
    assert not api.jobs


def test_the_first_failed_is_named_though_both_ended_within_one_second(api, launch_job):
    api.logs[name(0)] += [(20.1, UNAVAILABLE)]
    api.frames = [
        *BOTH_RUN,
        Frame([ended(0, 1, "Error", 20), ended(1, 3, "Error", 20)], [FAILED]),
    ]
    assert failure(launch_job).worker == 1


def test_the_first_failed_is_remembered_when_only_its_victim_is_left(api, launch_job):
    api.logs[name(0)] += [(20.1, UNAVAILABLE)]
    api.frames = [
        *BOTH_RUN,
        *[Frame([running(0), ended(1, 3, "Error", 20)])] * 5,
        Frame([ended(0, 1, "Error", 21)], [FAILED]),
    ]
    found = failure(launch_job)
    assert (found.worker, found.exit_code) == (1, 3)
    assert found.last_lines == ["hello from 1", "epoch 1"]


def test_a_killed_worker(api, launch_job):
    api.logs[name(1)] += [(20.5, UNAVAILABLE)]
    api.frames = [*BOTH_RUN, Frame([ended(0, 137, "Error", 20), ended(1, 1, "Error", 21)], [FAILED])]
    found = failure(launch_job)
    assert (found.worker, found.exit_code) == (0, 137)
    assert "exit code 137 (Error, killed by SIGKILL)" in str(found)


def test_a_deleted_pod_is_the_cause_though_its_peer_fails_and_no_log_is_left(api, launch_job):
    api.logs[name(0)] += [(36.0, UNAVAILABLE)]
    api.frames = [
        *BOTH_RUN,
        *[Frame([running(0), deleted(running(1), 5)])] * 3,
        Frame([ended(0, 1, "Error", 36)]),
        Frame([], [FAILED]),
    ]
    found = failure(launch_job)
    assert (found.worker, found.exit_code, found.reason) == (1, None, "Deleted")
    assert "worker 1 was the first to fail, its pod deleted while it ran" in str(found)
    assert found.last_lines == ["hello from 1", "epoch 1"]


def test_a_pod_that_vanished_between_two_looks_is_the_cause(api, launch_job):
    api.logs[name(0)] += [(6.0, UNAVAILABLE)]
    api.frames = [*BOTH_RUN, Frame([ended(0, 1, "Error", 6)]), Frame([ended(0, 1, "Error", 6)], [FAILED])]
    assert failure(launch_job).worker == 1


def test_an_evicted_pod(api, launch_job):
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    gone = ended(1, 143, "Error", 15)
    gone["status"]["conditions"] = [condition]
    api.frames = [*BOTH_RUN, Frame([ended(0, 1, "Error", 16), gone], [FAILED])]
    api.logs[name(0)] += [(15.0, UNAVAILABLE)]
    found = failure(launch_job)
    assert (found.worker, found.reason) == (1, "Disrupted")
    assert "DeletionByTaintManager" in str(found)


def test_a_frozen_worker_is_told_of_by_the_peer_that_lost_it(api, launch_job):
    api.logs[name(0)] += [(20.5, UNAVAILABLE)]
    api.frames = [
        *BOTH_RUN,
        Frame([ended(0, 1, "Error", 21), running(1)]),
        Frame([ended(0, 1, "Error", 21), deleted(running(1), 22)], [FAILED]),
    ]
    found = failure(launch_job)
    assert found.worker == 0
    assert "it lost its peers, none of which was seen to fail, so one of them may hang" in str(found)


def test_an_absent_peer_ends_the_worker_that_waited_for_it(api, launch_job):
    line = "ValueError: expected 2 workers within 600 s (ANGIOPIPE_START_DEADLINE), found 1"
    api.logs[name(0)] += [(602.0, line)]
    api.frames = [
        *BOTH_RUN,
        Frame([ended(0, 1, "Error", 603), running(1)]),
        Frame([ended(0, 1, "Error", 603), deleted(running(1), 604)], [FAILED]),
    ]
    found = failure(launch_job)
    assert (found.worker, found.exit_code, found.last_lines[-1]) == (0, 1, line)


def test_out_of_memory(api, launch_job):
    api.frames = [*BOTH_RUN, Frame([running(0), ended(1, 137, "OOMKilled")], [FAILED])]
    found = failure(launch_job)
    assert (found.worker, found.exit_code, found.reason) == (1, 137, "OOMKilled")
    assert "it needed more than its memory; raise memory, or lower training.batch_size" in str(found)


def test_a_bad_command_whose_pod_says_why_in_place_of_a_log(api, launch_job):
    message = 'failed to create containerd task: exec: "python": executable file not found in $PATH'
    api.logs.clear()
    api.frames = [STARTING, Frame([ended(0, 128, "StartError", message=message), running(1)], [FAILED])]
    found = failure(launch_job)
    assert (found.worker, found.exit_code, found.reason) == (0, 128, "StartError")
    assert "killed by" not in str(found)
    assert found.last_lines == [message]


def test_of_pods_made_anew_the_last_ones_tell_the_failure(api, launch_job):
    again = {"uid": "pod-1-again", "creationTimestamp": "2026-11-24T12:01:00Z"}
    api.frames = [
        *BOTH_RUN,
        Frame([running(0), ended(1, 3, "Error", 20)]),
        *[Frame([running(0), running(1, **again)])] * 5,
        Frame([running(0), ended(1, 4, "Error", 90, **again)], [FAILED]),
    ]
    assert failure(launch_job).exit_code == 4


def test_no_worker_seen_to_fail(api, launch_job):
    api.frames = [Frame(), Frame([], [FAILED])]
    found = failure(launch_job)
    assert (found.worker, found.exit_code) == (None, None)
    assert "ReachedMaxRestarts" in str(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            waiting(0, "ErrImagePull", 'failed to pull image "nowhere/x:1": not found'),
            waiting(0, "ImagePullBackOff", 'Back-off pulling image "nowhere/x:1"'),
        ),
    ],
)
def test_a_missing_image_is_told_once_while_kubernetes_words_alternate(
    api, launch_job, caplog, first, second
):
    api.frames = [Frame([one, running(1)]) for one in (first, second) * 20]
    error = pending_error(launch_job)
    assert "worker 0: the image cannot be pulled; correct image, push it" in error
    assert "nowhere/x:1" in error
    assert len(waits(caplog)) == 1


def test_a_missing_secret(api, launch_job):
    api.frames = [
        Frame([waiting(n, "CreateContainerConfigError", 'secret "minio" not found') for n in (0, 1)])
    ]
    error = pending_error(launch_job)
    assert "workers 0, 1: the container's configuration names what does not exist; create the Secret" in error
    assert 'secret "minio" not found' in error


def test_no_node_with_a_gpu(api, launch_job, caplog):
    api.frames = [Frame([unscheduled(0, NO_GPU), unscheduled(1, NO_GPU)])]
    error = pending_error(launch_job)
    assert (
        "expected 2 workers to run within 0.3 s, found workers 0, 1: no node has the GPUs asked for" in error
    )
    assert "Insufficient nvidia.com/gpu" in error
    assert "add nodes to the GPU node pool" in waits(caplog)[0]
    assert not api.jobs


def test_a_node_selector_that_no_node_matches(api, launch_job):
    api.frames = [Frame([unscheduled(0, NO_NODE), unscheduled(1, NO_NODE)])]
    assert "no node has the labels of node_selector; correct it, or label the nodes" in pending_error(
        launch_job
    )


def test_too_much_cpu(api, launch_job):
    api.frames = [Frame([unscheduled(0, "0/1 nodes are available: 1 Insufficient cpu."), running(1)])]
    assert "ask for less cpu or memory" in pending_error(launch_job)


def test_only_one_of_two_fits(api, launch_job, caplog):
    api.frames = [Frame([running(0), unscheduled(1, NO_GPU)])]
    error = pending_error(launch_job)
    assert "found worker 1: no node has the GPUs asked for" in error
    assert "worker 0 runs already and waits too" in waits(caplog)[0]


def test_a_reason_is_told_again_only_when_it_changes(api, launch_job, caplog):
    more_nodes = NO_GPU.replace("0/1", "0/2")
    api.frames = [
        *[Frame([unscheduled(0, NO_GPU), unscheduled(1, NO_GPU)])] * 3,
        *[Frame([unscheduled(0, more_nodes), unscheduled(1, more_nodes)])] * 3,
        *[Frame([unscheduled(0, NO_NODE), unscheduled(1, NO_NODE)])] * 3,
        *[Frame([running(0), running(1)])] * 3,
        Frame([succeeded(0), succeeded(1)], [COMPLETE]),
    ]
    launch_job()
    assert len(waits(caplog)) == 2


def test_a_missing_service_account_is_told_from_the_jobs_event(api, launch_job):
    told = (
        f'Error creating: pods "{JOB}-node-0-0-" is forbidden: error looking up service account '
        'kubeflow/trainer: serviceaccount "trainer" not found'
    )
    api.frames = [Frame(events=[event("Job", f"{JOB}-node-0", "FailedCreate", told)])]
    error = pending_error(launch_job)
    assert "the service account is missing; create it, or correct service_account" in error
    assert 'serviceaccount "trainer" not found' in error


def test_a_quota_is_told_from_the_jobs_event(api, launch_job):
    told = (
        f'Error creating: pods "{JOB}-node-0-1-" is forbidden: exceeded quota: gpus, requested: '
        "requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=1, limited: requests.nvidia.com/gpu=1"
    )
    api.frames = [Frame([running(0)], events=[event("Job", f"{JOB}-node-0", "FailedCreate", told)])]
    error = pending_error(launch_job)
    assert "worker 1: the namespace's quota does not allow the pods" in error
    assert "exceeded quota: gpus" in error


def test_what_trainer_could_not_make_is_told_from_the_trainjobs_event(api, launch_job):
    told = "TrainJob resources reconciliation failed: JobSet is invalid"
    api.frames = [Frame(events=[event("TrainJob", JOB, "TrainJobResourcesCreationFailed", told)])]
    assert told in pending_error(launch_job)


def test_events_of_an_earlier_job_of_that_name_are_not_told(api, launch_job):
    old = event("Job", f"{JOB}-node-0", "FailedCreate", "exceeded quota")
    old["lastTimestamp"] = "2026-11-24T11:00:00Z"
    api.frames = [Frame(events=[old])]
    assert "no event that tells why" in pending_error(launch_job)


def test_a_volume_that_cannot_be_mounted_is_told_from_the_pods_event(api, launch_job):
    told = 'MountVolume.SetUp failed for volume "key" : secret "gcs-key" not found'
    api.frames = [Frame(STARTING.pods, events=[event("Pod", name(0), "FailedMount", told)])]
    assert "worker 0: a Secret is missing" in pending_error(launch_job)


def test_a_suspended_job(api, launch_job):
    api.frames = [Frame(conditions=[{"type": "Suspended", "status": "True", "reason": "Suspended"}])]
    assert "a queue (Kueue) has to admit it" in pending_error(launch_job)


def test_a_missing_runtime_is_told_with_the_command_that_makes_it(api, launch_job):
    with pytest.raises(ClusterError) as caught:
        launch_job(runtime="other")
    assert "the runtime is missing: kubectl apply -k infra/base/training" in str(caught.value)
    assert "status 403" in str(caught.value)
    assert not api.deletions()


def test_the_deadline_of_a_job_at_work(api, launch_job):
    api.frames = [*BOTH_RUN, Frame([], [DEADLINE])]  # Pods and logs are gone.
    with pytest.raises(TimeoutError, match="expected it to end within 86400 s, found it still at work"):
        launch_job()
    assert not api.jobs


def test_the_deadline_of_a_job_that_waits(api, launch_job):
    api.frames = [*[Frame([unscheduled(0, NO_GPU), unscheduled(1, NO_GPU)])] * 3, Frame([], [DEADLINE])]
    with pytest.raises(TimeoutError, match="found it still waiting: workers 0, 1: no node has the GPUs"):
        launch_job()


def test_a_job_that_somebody_deletes(api, launch_job):
    api.frames = BOTH_RUN
    # The first look is before the job is made.
    api.answers = [Answer("GET", f"trainjobs/{JOB}", 404, "not found") for _ in range(2)]
    with pytest.raises(ClusterError, match="found that somebody deleted it"):
        launch_job()


def test_success_shows_both_logs_whole_and_in_order(api, launch_job, caplog):
    lines = {worker: [f"line {n} of {worker}" for n in range(500)] for worker in (0, 1)}
    api.logs = {name(w): [(2 + n / 100, line) for n, line in enumerate(lines[w])] for w in (0, 1)}
    api.frames = [*BOTH_RUN, Frame([succeeded(0), succeeded(1)], [COMPLETE])]
    launch_job()
    for worker in (0, 1):
        mark = f"worker {worker} | "
        assert [one.removeprefix(mark) for one in caplog.messages if one.startswith(mark)] == lines[worker]
    assert caplog.messages[-1] == f"TrainJob {JOB} has ended well"
    assert JOB in api.jobs
