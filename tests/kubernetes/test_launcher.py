"""The launcher, with its own account's rights, against a real API server, JobSet and Kubeflow Trainer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from angiopipe.cluster.errors import ClusterError
from angiopipe.cluster.failure import WorkerFailed
from angiopipe.cluster.launcher import launch
from angiopipe.cluster.settings import ClusterSettings, load_cluster_settings
from angiopipe.cluster.trainjob import TrainJob
from tests.kubernetes.servers import ControlPlane, Object
from tests.unit.infra.built import INFRA

pytestmark = pytest.mark.kubernetes

SECONDS = 60
NAMESPACE = "kubeflow"


class Launched(threading.Thread):
    """A launch under way, and what became of it."""

    def __init__(self, cluster: ControlPlane, job: TrainJob):
        super().__init__(daemon=True)
        self.cluster, self.job = cluster, job
        self.raised: BaseException | None = None
        self._account = cluster.account("pipeline-runner", NAMESPACE)
        self.start()

    def run(self) -> None:
        try:
            launch(self.job, configuration=self._account, poll_seconds=0.5, patience_seconds=20)
        except BaseException as error:
            self.raised = error

    def pods(self, count: int) -> list[Object]:
        """The workers' pods in their order, once there are so many."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.is_alive():
            found = self.cluster.workers(self.job.name)
            if len(found) == count:
                return found
            time.sleep(0.5)
        raise AssertionError(f"expected {count} pods, found {len(found)}; {self.raised}")

    def trainjobs(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.cluster.get("trainjobs", NAMESPACE)]

    def ended(self) -> BaseException | None:
        self.join(SECONDS)
        assert not self.is_alive()
        return self.raised


@pytest.fixture
def start(cluster: ControlPlane) -> Iterator[Callable[..., Launched]]:
    launched = []

    def run(run_id: str, settings: ClusterSettings | None = None, **changes: Any) -> Launched:
        settings = settings or load_cluster_settings(str(INFRA / "overlays/kind/training.yaml"))
        arguments = ("--examples", "s3://angiopipe/$(HOME)/examples.json")
        launched.append(Launched(cluster, TrainJob(run_id, arguments, settings.model_copy(update=changes))))
        return launched[-1]

    yield run
    for one in launched:
        cluster.kubectl("delete", "trainjob", one.job.name, "-n", NAMESPACE, "--ignore-not-found")
        one.join(SECONDS)


def test_a_trainjob_becomes_the_pods_that_its_settings_say_and_ends_well(start, cluster):
    launched = start("well")
    pods = launched.pods(2)
    for worker, pod in enumerate(pods):
        spec, [container] = pod["spec"], pod["spec"]["containers"]
        assert pod["metadata"]["name"].startswith(f"angiopipe-well-node-0-{worker}-")
        assert pod["metadata"]["labels"]["angiopipe/run"] == "well"
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "train"
        assert (spec["serviceAccountName"], spec["restartPolicy"]) == ("angiopipe-worker", "Never")
        assert spec["subdomain"] == "angiopipe-well"
        assert container["image"] == "angiopipe/python-train:0.1.0"
        assert container["command"] == ["python", "-m", "angiopipe", "train"]
        # Doubled, a dollar is no reference to a variable.
        assert container["args"] == ["--examples", "s3://angiopipe/$$(HOME)/examples.json"]
        variables = {one["name"]: one for one in container["env"]}
        assert variables["ANGIOPIPE_WORKERS"]["value"] == "2"
        assert "JOB_COMPLETION_INDEX" in variables
        assert variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "object-store-keys"
        assert container["resources"]["limits"] == {"memory": "4Gi"}
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert not any("/serviceaccount" in one["mountPath"] for one in container["volumeMounts"])
    assert launched.is_alive()
    for pod in pods:
        cluster.tell_running(pod)
    time.sleep(2)
    assert launched.is_alive()
    for pod in pods:
        cluster.tell_ended(pod, 0)
    assert launched.ended() is None
    assert launched.trainjobs() == ["angiopipe-well"]


def test_a_worker_that_fails_is_named_and_its_job_deleted(start, cluster):
    launched = start("badly")
    first, second = launched.pods(2)
    cluster.tell_running(first)
    cluster.tell_ended(second, 1, "ValueError: no such recipe")
    error = launched.ended()
    assert isinstance(error, WorkerFailed)
    assert "worker 1" in str(error)
    assert "ValueError: no such recipe" in str(error)
    assert launched.trainjobs() == []


HINDERED = {
    "quota": ({"gpus": 16}, "exceeded quota: angiopipe-gpus", "raise it, or ask for less"),
    "account": (
        {"service_account": "nobody"},
        'serviceaccount "nobody" not found',
        "correct service_account",
    ),
}


@pytest.mark.parametrize("name", HINDERED)
def test_what_keeps_pods_from_being_made_is_told(start, name):
    changes, found, remedy = HINDERED[name]
    launched = start(f"without-{name}", pending_seconds=8, **changes)
    error = launched.ended()
    assert isinstance(error, TimeoutError)
    assert found in str(error)
    assert remedy in str(error)
    assert launched.trainjobs() == []


def test_a_job_beyond_its_deadline_is_ended_by_the_cluster_and_told(start, cluster):
    launched = start("late", deadline_seconds=6)
    for pod in launched.pods(2):
        cluster.tell_running(pod)
    error = launched.ended()
    assert isinstance(error, TimeoutError)
    assert "expected it to end within 6 s, found it still at work" in str(error)
    assert launched.trainjobs() == []


def test_an_evicted_worker_is_told_from_one_that_failed(start, cluster):
    launched = start("evicted", relaunches=0)
    evicted, other = launched.pods(2)
    for pod in (evicted, other):
        cluster.tell_running(pod)
    time.sleep(2)
    cluster.evict(evicted)
    error = launched.ended()
    assert isinstance(error, WorkerFailed)
    assert "EvictionByEvictionAPI" in str(error)
    assert launched.trainjobs() == []


def test_an_evicted_workers_job_is_launched_again_under_another_name(start, cluster, monkeypatch):
    # No kubelet is there that would let go of the peer's pod.
    monkeypatch.setattr("angiopipe.cluster.launcher._LAST_PODS_SECONDS", 5.0)
    launched = start("again-after-eviction", relaunches=1)
    evicted, other = launched.pods(2)
    for pod in (evicted, other):
        cluster.tell_running(pod)
    time.sleep(2)
    cluster.evict(evicted)
    launched.job = launched.job.next
    pods = launched.pods(2)
    assert launched.trainjobs() == [launched.job.name]
    for pod in pods:
        cluster.tell_running(pod)
    time.sleep(2)
    for pod in pods:
        cluster.tell_ended(pod, 0)
    assert launched.ended() is None
    assert launched.trainjobs() == [launched.job.name]


def test_a_suspended_job_is_told_to_wait_for_a_queue(start, cluster):
    launched = start("queued", pending_seconds=10)
    launched.pods(2)
    patch = '{"spec": {"suspend": true}}'
    name = launched.job.name
    cluster.kubectl("patch", "trainjob", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
    error = launched.ended()
    assert isinstance(error, TimeoutError)
    assert "a queue (Kueue) has to admit it" in str(error)


def test_a_step_that_is_retried_follows_the_job_of_its_first_try(start, cluster):
    launched = start("again")
    launched.pods(2)
    [before] = cluster.get("trainjobs", NAMESPACE)
    follower = Launched(cluster, launched.job)
    time.sleep(3)
    [after] = cluster.get("trainjobs", NAMESPACE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    cluster.kubectl("delete", "trainjob", launched.job.name, "-n", NAMESPACE)
    for one in (launched, follower):
        error = one.ended()
        assert isinstance(error, ClusterError)
        assert "somebody deleted it" in str(error)


def test_the_settings_for_gke_reach_the_pods_of_a_gpu_pool(start):
    settings = load_cluster_settings(str(INFRA / "overlays/gke/training.yaml"))
    launched = start("gke", settings.model_copy(update={"workers": 1}))
    [pod] = launched.pods(1)
    [container] = pod["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(settings.gpus)
    assert pod["spec"]["nodeSelector"] == dict(settings.node_selector)
    assert "nvidia.com/gpu" in {one.get("key") for one in pod["spec"]["tolerations"]}


def test_a_runtime_that_is_not_there_is_told(start):
    error = start("nowhere", runtime="no-such-runtime").ended()
    assert isinstance(error, ClusterError)
    assert "no-such-runtime" in str(error)
