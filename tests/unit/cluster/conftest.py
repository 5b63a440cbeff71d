"""A replayed API, and launching against it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes
import pytest

from angiopipe.cluster.launcher import launch
from angiopipe.cluster.settings import ClusterSettings
from angiopipe.cluster.trainjob import TrainJob
from tests.unit.cluster.replayed_api import ReplayedApi

MakeJob = Callable[..., TrainJob]
Launch = Callable[..., None]


@pytest.fixture
def api() -> Iterator[ReplayedApi]:
    server = ReplayedApi()
    yield server
    server.close()


@pytest.fixture
def make_job() -> MakeJob:
    def make(**settings: Any) -> TrainJob:
        chosen = {"namespace": "kubeflow", "image": "angiopipe/python-train:0.1.0", "workers": 2, **settings}
        return TrainJob("run-1", ("--examples", "s3://b/examples.json"), ClusterSettings(**chosen))

    return make


@pytest.fixture
def launch_job(api: ReplayedApi, make_job: MakeJob, caplog: pytest.LogCaptureFixture) -> Iterator[Launch]:
    """Launches a job with these settings, looking at it fifty times a second."""
    logger = logging.getLogger("angiopipe.cluster")
    # A step that ran before in this process may have kept the library's log from the root logger.
    logger.addHandler(caplog.handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)

    def run(
        patience_seconds: float = 5.0, steps_done: Callable[[], int] = lambda: 0, **settings: Any
    ) -> None:
        configuration = kubernetes.client.Configuration(host=api.url)
        launch(
            make_job(**settings),
            configuration=configuration,
            poll_seconds=0.02,
            patience_seconds=patience_seconds,
            steps_done=steps_done,
        )

    yield run
    logger.removeHandler(caplog.handler)
    logger.propagate = True
