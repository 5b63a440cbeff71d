"""Launching a TrainJob: it has ended well when this returns, and is deleted when this raises."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

import kubernetes

from angiopipe.cluster.api import PATIENCE_SECONDS, AlreadyExists, Api, NotFound, Object, Refused
from angiopipe.cluster.errors import ClusterError, WorkerFailed
from angiopipe.cluster.following import Following
from angiopipe.cluster.owner import owner
from angiopipe.cluster.pods import JOBSET_LABEL
from angiopipe.cluster.relaunching import Relaunches
from angiopipe.cluster.termination import Termination
from angiopipe.cluster.trainjob import SPEC_LABEL, TrainJob

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_LOOKS_PER_PAUSE = 5
_LAST_PODS_SECONDS = 60.0
"""How long a relaunch waits for the pods of the last launch, which a lost node may never let go."""
_REPLACE_SECONDS = 300.0
"""How long a job that is replaced, and its pods, may take to go."""
_DELETE_PATIENCE_SECONDS, _DELETE_REQUEST_SECONDS = 12.0, (3.0, 5.0)
"""Kubernetes kills a step 30 s after it asked it to end."""


def launch(
    job: TrainJob,
    *,
    configuration: kubernetes.client.Configuration | None = None,
    poll_seconds: float = POLL_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
    steps_done: Callable[[], int] = lambda: 0,
) -> None:
    """Trains on a cluster and waits for the end; the workers' logs appear in ours.

    A job of the same run that asks for the same and has not failed is followed: the step was retried
    while it ran on. Any other is replaced. Where the cluster or the network ended a worker, the job is
    deleted and launched again under another name, until `relaunches` of them in a row came to no later
    checkpoint. Whatever raises here, SIGTERM included, has deleted the job first.

    Args:
      job: what to run, where, and for how long.
      configuration: how to reach the cluster; None finds out from the pod or the kubeconfig.
      poll_seconds: between two looks at the job.
      patience_seconds: how long the cluster's API may be away.
      steps_done: how many steps the run's checkpoints hold.

    Raises:
      WorkerFailed: a worker ended in error; it tells which was the first, why, and its last lines.
      TimeoutError: not all workers ran within `pending_seconds`, or ended within `deadline_seconds`.
      ClusterError: the cluster refuses, cannot be reached, or has lost the job.
      Terminated, KeyboardInterrupt: the process was asked to end.
    """
    until = time.monotonic() + job.settings.deadline_seconds
    relaunches = Relaunches(job.settings.relaunches, steps_done, _LOOKS_PER_PAUSE * poll_seconds)
    with Termination() as termination:
        launched = _Launched(job, configuration, termination, patience_seconds)
        while True:
            try:
                launched.follow(poll_seconds, until)
                break
            except WorkerFailed as error:
                if not launched.deleted:
                    raise  # It may train on.
                told, pause = relaunches.after(error)
            log.warning("%s", told)
            _sleep(pause, poll_seconds, termination)
            launched.renew()
    log.info("TrainJob %s has ended well", launched.job.name)


def _sleep(seconds: float, poll_seconds: float, termination: Termination) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(poll_seconds)
        termination.check()


class _Launched:
    """A run's job between its creation and its deletion, one launch after the other.

    Attributes:
      job: the launch under way.
      deleted: there is none of it any more.
    """

    def __init__(
        self,
        job: TrainJob,
        configuration: kubernetes.client.Configuration | None,
        termination: Termination,
        patience_seconds: float,
    ):
        namespace = job.settings.namespace
        self.api = Api(namespace, configuration, patience_seconds)
        # A pool of its own: a signal may come while the other one's lock is held.
        self._last_api = Api(
            namespace, self.api.configuration, _DELETE_PATIENCE_SECONDS, _DELETE_REQUEST_SECONDS
        )
        self._termination = termination
        self._last: TrainJob | None = None
        self._begin(job)

    def _begin(self, job: TrainJob) -> None:
        self.job, self.deleted = job, False
        self._asked_for = False
        self._uid = ""
        self._began = time.monotonic()

    def renew(self) -> None:
        """Goes on to the next launch."""
        self._last = self.job
        self._begin(self.job.next)

    def follow(self, poll_seconds: float, until: float) -> None:
        """Starts the job and returns once it has ended well; it is deleted when this raises.

        Args:
          poll_seconds: between two looks at the job.
          until: when the training has to have ended, on the monotonic clock.
        """
        following = None
        try:
            created = self.start(poll_seconds)
            following = Following(self.api, self.job, created, until)
            while not following.look():
                time.sleep(poll_seconds)
                self._termination.check()
        except BaseException:
            with self._termination.held():
                told = self.delete()
                log.error("%s", told)
            raise
        finally:
            if following:
                following.close()

    def start(self, poll_seconds: float) -> Object:
        """The job, created or found.

        Raises:
          ClusterError: the cluster refuses it, or a job of this name is not ours.
          TimeoutError: the job to be replaced does not go.
        """
        until = time.monotonic() + _REPLACE_SECONDS
        while time.monotonic() < until:
            started = self._start_or_clear()
            if started:
                self._uid = started["metadata"]["uid"]
                return started
            time.sleep(poll_seconds)
            self._termination.check()
        raise TimeoutError(
            f"TrainJob {self.job.name}: expected the one before it to be gone within {_REPLACE_SECONDS:g} s, "
            "found it or its pods still there; delete them"
        )

    def delete(self) -> str:
        """Deletes the job, if there is one.

        Returns:
          What became of it, to be told afterwards.
        """
        name = self.job.name
        self.deleted = True
        if not self._asked_for:
            return f"TrainJob {name} was not created"
        try:
            if not self._uid:
                found = self._last_api.call("GET", self._last_api.trainjobs(name))
                if _spec_label(found) != self.job.digest:
                    return f"TrainJob {name} was not created"
                self._uid = found["metadata"]["uid"]
            _delete(self._last_api, name, self._uid)
        except (NotFound, AlreadyExists):
            return f"TrainJob {name} was gone already"
        except ClusterError as error:
            self.deleted = False
            return (
                f"TrainJob {name} could not be deleted ({error}); it may train on: kubectl -n "
                f"{self.job.settings.namespace} delete trainjob {name}"
            )
        return f"TrainJob {name} deleted"

    def _start_or_clear(self) -> Object | None:
        """The job, created or found; None while an older one, or its pods, are in the way."""
        for one in self.job.launches:
            with suppress(NotFound):
                return self._use_or_clear(one, self.api.call("GET", self.api.trainjobs(one.name)))
        return None if self._pods_are_left() else self._create()

    def _pods_are_left(self) -> bool:
        """Whether pods of a deleted job are there, which may answer to our host names or write checkpoints still."""
        jobs = [self.job]
        if self._last and time.monotonic() - self._began < _LAST_PODS_SECONDS:
            jobs.append(self._last)
        queries = [{"labelSelector": f"{JOBSET_LABEL}={one.name}"} for one in jobs]
        return any(self.api.call("GET", self.api.core("pods"), query)["items"] for query in queries)

    def _create(self) -> Object | None:
        body = self.job.body(owner(self.job.settings.namespace))
        self._asked_for = True
        try:
            created = self.api.call("POST", self.api.trainjobs(), body=body, attempt=self._termination.held)
        except AlreadyExists:
            return None  # A try whose answer was lost had made it.
        except Refused:
            self._asked_for = False
            raise
        workers = self.job.settings.workers
        log.info(
            "TrainJob %s created in namespace %s, %d workers", self.job.name, self.api.namespace, workers
        )
        return created

    def _use_or_clear(self, job: TrainJob, found: Object) -> Object | None:
        """The job that is there already, if it is to be followed; else it is deleted."""
        name, metadata = job.name, found["metadata"]
        label = _spec_label(found)
        if not label:
            raise ClusterError(
                f"TrainJob {name}: expected none, or one that angiopipe made, found one without the label "
                f"{SPEC_LABEL}; delete it, or choose another run id"
            )
        if "deletionTimestamp" in metadata:
            return None
        if label == self.job.digest and not _failed(found):
            self.job, self._asked_for = job, True
            log.info(
                "TrainJob %s is there already, made %s; following it", name, metadata["creationTimestamp"]
            )
            return found
        reason = "asks for something else" if label != self.job.digest else "had failed"
        log.info("TrainJob %s is there already but %s; replacing it", name, reason)
        with suppress(NotFound, AlreadyExists):
            _delete(self.api, name, metadata["uid"])
        return None


def _delete(api: Api, name: str, uid: str) -> None:
    """Deletes a job and all below it.

    In the background: a TrainJob that waits in the foreground for its JobSet to go would make it anew.
    """
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    }
    api.call("DELETE", api.trainjobs(name), body=body)


def _spec_label(found: Object) -> str:
    return (found["metadata"].get("labels") or {}).get(SPEC_LABEL, "")


def _failed(found: Object) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Failed" and one["status"] == "True" for one in conditions)
