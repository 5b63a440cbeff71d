"""Creating, finding, replacing and deleting jobs; an API that stumbles; signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import kubernetes
import pytest
import yaml

from angiopipe.cluster.api import Api
from angiopipe.cluster.errors import ClusterError, WorkerFailed
from angiopipe.cluster.trainjob import SPEC_LABEL
from tests.unit.cluster.replayed_api import Answer, Frame
from tests.unit.cluster.seen import COMPLETE, FAILED, JOB, ended, name, running, succeeded

pytestmark = pytest.mark.usefixtures("signals_heard")

ENDS_WELL = [Frame([running(0), running(1)]), Frame([succeeded(0), succeeded(1)], [COMPLETE])]


def test_the_job_is_created_as_it_was_asked_for(api, make_job, launch_job):
    api.frames = ENDS_WELL
    launch_job()
    assert [one.body for one in api.creations()] == [make_job().body()]
    assert not api.deletions()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, None])
def test_passing_faults_of_the_api_are_retried(api, launch_job, caplog, status):
    api.frames = [Frame([running(0), running(1)]), *ENDS_WELL]
    api.answers = [
        Answer("POST", "trainjobs", status, "etcdserver: leader changed"),
        Answer("GET", "pods", status, "try later"),
        Answer("GET", f"trainjobs/{JOB}", status, "try later"),
    ]
    launch_job()
    assert not api.answers
    assert api.made == 1
    assert sum("does not answer" in one for one in caplog.messages) == 3


def test_the_server_may_say_when_to_come_again(api, launch_job):
    api.frames = ENDS_WELL
    api.answers = [Answer("GET", "pods", 429, "slow down", {"Retry-After": "1"})]
    launch_job()
    looks = [one.time for one in api.requests if one.path.endswith("/pods")]
    assert looks[1] - looks[0] >= 1


def test_an_api_that_stays_away_is_told_of(make_job, launch_job, api):
    api.close()
    with pytest.raises(ClusterError, match=r"expected an answer within 0\.5 s, found NewConnectionError"):
        launch_job(patience_seconds=0.5)


def test_a_server_that_never_answers_is_given_up(api):
    api.answers = [Answer("GET", "pods", 200, after=lambda: time.sleep(3)) for _ in range(9)]
    client = Api("kubeflow", kubernetes.client.Configuration(host=api.url), 0.5, (0.2, 0.2))
    before = time.monotonic()
    with pytest.raises(ClusterError, match="ReadTimeoutError"):
        client.call("GET", client.core("pods"))
    assert time.monotonic() - before < 2


def test_a_creation_whose_answer_is_lost_is_found_again(api, make_job, launch_job):
    api.frames = ENDS_WELL
    lost = Answer("POST", "trainjobs", None, after=lambda: api.create(make_job().body()))
    api.answers = [lost]
    launch_job()
    assert api.made == 1
    assert not api.deletions()


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (401, "Unauthorized", "the credentials are unknown to the cluster or out of date"),
        (
            403,
            'trainjobs.trainer.kubeflow.org is forbidden: User "system:serviceaccount:kubeflow:pipeline-runner" '
            'cannot create resource "trainjobs"',
            "system:serviceaccount:kubeflow:pipeline-runner lacks the role angiopipe-train-launcher: kubectl apply "
            "-k infra/base/training",
        ),
        (404, "404 page not found", "Kubeflow Trainer v2 is not installed"),
        (404, 'namespaces "kubeflow" not found', "there is no namespace kubeflow"),
        (422, "TrainJob is invalid: metadata.name", "correct the cluster settings"),
    ],
)
def test_refusals_are_told_with_their_remedy(api, launch_job, status, message, told):
    api.answers = [Answer("POST", "trainjobs", status, message)]
    with pytest.raises(ClusterError) as caught:
        launch_job()
    assert f"expected to create trainjobs, found status {status}: {message}" in str(caught.value)
    assert told in str(caught.value)
    assert not api.deletions()


def test_a_right_that_is_missing_later_deletes_the_job(api, launch_job):
    api.answers = [Answer("GET", "events", 403, 'User "x" cannot list resource "events"')]
    with pytest.raises(
        ClusterError, match="expected to read events, .* x lacks the role angiopipe-train-launcher"
    ):
        launch_job()
    assert len(api.deletions()) == 1
    assert not api.jobs


def test_a_job_that_asks_for_the_same_is_followed(api, make_job, launch_job, caplog):
    api.add_job(make_job().body())
    api.frames = [Frame(), *ENDS_WELL]
    launch_job()
    assert not api.creations()
    assert not api.deletions()
    assert "following it" in caplog.messages[0]


def test_a_followed_job_is_deleted_too_when_it_fails(api, make_job, launch_job):
    api.add_job(make_job().body())
    api.frames = [Frame(), Frame([running(0), ended(1, 3, "Error")], [FAILED])]
    with pytest.raises(WorkerFailed):
        launch_job()
    assert not api.jobs


def test_a_job_that_asks_for_something_else_is_replaced_once_its_pods_are_gone(api, make_job, launch_job):
    api.add_job(make_job(gpus=4).body())
    api.lingering[JOB] = [running(0), running(1), running(1)]
    api.frames = [Frame(), *ENDS_WELL]
    launch_job()
    assert api.deletions()[0].body["preconditions"] == {"uid": "job-0"}
    assert api.deletions()[0].body["propagationPolicy"] == "Background"
    assert [one.body for one in api.creations()] == [make_job().body()]
    made = next(n for n, one in enumerate(api.requests) if one.method == "POST")
    assert sum(one.path.endswith("/pods") for one in api.requests[:made]) == 4
    assert not api.lingering[JOB]


def test_a_job_that_had_failed_is_replaced(api, make_job, launch_job):
    api.add_job(make_job().body(), conditions=[FAILED])
    api.frames = [Frame(), *ENDS_WELL]
    launch_job()
    assert len(api.deletions()) == len(api.creations()) == 1


def test_a_job_that_is_not_ours_is_left_alone(api, make_job, launch_job):
    body = make_job().body()
    del body["metadata"]["labels"][SPEC_LABEL]
    api.add_job(body)
    with pytest.raises(ClusterError, match="delete it, or choose another run id"):
        launch_job()
    assert JOB in api.jobs
    assert not api.deletions()


def test_a_job_that_cannot_be_deleted_is_told_of(api, launch_job, caplog):
    api.frames = [Frame([running(0), ended(1, 3, "Error")], [FAILED])]
    api.answers = [Answer("DELETE", JOB, 403, "no")]
    with pytest.raises(WorkerFailed):
        launch_job()
    assert f"it may train on: kubectl -n kubeflow delete trainjob {JOB}" in caplog.messages[-1]


SCRIPT = """
import logging, sys
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
from angiopipe.cluster.train import train_on_cluster
train_on_cluster(sys.argv[1], "run-1", ["--seed", "1"])
"""


@pytest.fixture
def launched(api, tmp_path):
    """A process that launches a job, and the lines it prints, each with its time."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "replayed", "cluster": {"server": api.url}}],
        "contexts": [{"name": "replayed", "context": {"cluster": "replayed", "user": "me"}}],
        "current-context": "replayed",
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "settings.yaml").write_text("{namespace: kubeflow, image: x, workers: 2}")
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")}
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SCRIPT, str(tmp_path / "settings.yaml")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    yield process, lines
    process.kill()
    process.wait()
    reader.join()
    process.stdout.close()


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_deletes_the_job_before_anything_is_printed(api, launched, number):
    process, lines = launched
    api.logs = {name(0): [(2.0, "hello")], name(1): []}
    api.frames = [Frame([running(0), running(1)])]
    printed = []

    def remember():
        time.sleep(0.3)  # Time for what was printed before to arrive.
        printed.extend(lines)
        process.send_signal(number)  # Whoever asks twice does not stop the deletion.

    api.on_delete = remember
    wait_for(lambda: any("hello" in one for one in lines))
    before = len(lines)
    process.send_signal(number)
    process.wait(20)
    wait_for(lambda: any(one == f"TrainJob {JOB} deleted\n" for one in lines))
    assert not api.jobs
    assert len(printed) == before
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGINT)


def test_a_signal_while_the_job_is_being_created_leaves_none_behind(api, launched):
    process, _ = launched
    api.create_seconds = 1.0
    wait_for(api.creations)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert len(api.creations()) == len(api.deletions()) == 1
    assert not api.jobs
