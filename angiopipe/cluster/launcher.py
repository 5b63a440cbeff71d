"""Launching a TrainJob: it has ended well when this returns, and is deleted when this raises."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import kubernetes

from angiopipe.cluster.api import PATIENCE_SECONDS, AlreadyExists, Api, NotFound, Object, Refused
from angiopipe.cluster.errors import ClusterError
from angiopipe.cluster.following import Following
from angiopipe.cluster.owner import owner
from angiopipe.cluster.pods import JOBSET_LABEL
from angiopipe.cluster.termination import Termination
from angiopipe.cluster.trainjob import SPEC_LABEL, TrainJob

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
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
) -> None:
    """Trains on a cluster and waits for the end; the workers' logs appear in ours.

    A job of the same name that asks for the same and has not failed is followed: the step was retried
    while it ran on. Any other is replaced. Whatever raises here, SIGTERM included, has deleted the
    job first.

    Args:
      job: what to run, where, and for how long.
      configuration: how to reach the cluster; None finds out from the pod or the kubeconfig.
      poll_seconds: between two looks at the job.
      patience_seconds: how long the cluster's API may be away.

    Raises:
      WorkerFailed: a worker ended in error; it tells which was the first, why, and its last lines.
      TimeoutError: not all workers ran within `pending_seconds`, or ended within `deadline_seconds`.
      ClusterError: the cluster refuses, cannot be reached, or has lost the job.
      Terminated, KeyboardInterrupt: the process was asked to end.
    """
    with Termination() as termination:
        launched = _Launched(job, configuration, termination, patience_seconds)
        following = None
        try:
            following = Following(launched.api, job, launched.start(poll_seconds))
            while not following.look():
                time.sleep(poll_seconds)
                termination.check()
        except BaseException:
            with termination.held():
                told = launched.delete()
                log.error("%s", told)
            raise
        finally:
            if following:
                following.close()
    log.info("TrainJob %s has ended well", job.name)


class _Launched:
    """One job between its creation and its deletion."""

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
        self._job, self._termination = job, termination
        self._asked_for = False
        self._uid = ""

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
            f"TrainJob {self._job.name}: expected the one before it to be gone within {_REPLACE_SECONDS:g} s, "
            "found it or its pods still there; delete them"
        )

    def delete(self) -> str:
        """Deletes the job, if there is one.

        Returns:
          What became of it, to be told afterwards.
        """
        name = self._job.name
        if not self._asked_for:
            return f"TrainJob {name} was not created"
        try:
            if not self._uid:
                found = self._last_api.call("GET", self._last_api.trainjobs(name))
                if _spec_label(found) != self._job.digest:
                    return f"TrainJob {name} was not created"
                self._uid = found["metadata"]["uid"]
            _delete(self._last_api, name, self._uid)
        except (NotFound, AlreadyExists):
            return f"TrainJob {name} was gone already"
        except ClusterError as error:
            return (
                f"TrainJob {name} could not be deleted ({error}); it may train on: kubectl -n "
                f"{self._job.settings.namespace} delete trainjob {name}"
            )
        return f"TrainJob {name} deleted"

    def _start_or_clear(self) -> Object | None:
        """The job, created or found; None while an older one, or its pods, are in the way."""
        try:
            return self._use_or_clear(self.api.call("GET", self.api.trainjobs(self._job.name)))
        except NotFound:
            pass
        # Pods of a deleted job answer to the same host names for as long as they are there.
        query = {"labelSelector": f"{JOBSET_LABEL}={self._job.name}"}
        return None if self.api.call("GET", self.api.core("pods"), query)["items"] else self._create()

    def _create(self) -> Object | None:
        body = self._job.body(owner(self._job.settings.namespace))
        self._asked_for = True
        try:
            created = self.api.call("POST", self.api.trainjobs(), body=body, attempt=self._termination.held)
        except AlreadyExists:
            return None  # A try whose answer was lost had made it.
        except Refused:
            self._asked_for = False
            raise
        workers = self._job.settings.workers
        log.info(
            "TrainJob %s created in namespace %s, %d workers", self._job.name, self.api.namespace, workers
        )
        return created

    def _use_or_clear(self, found: Object) -> Object | None:
        """The job that is there already, if it is to be followed; else it is deleted."""
        name, metadata = self._job.name, found["metadata"]
        label = _spec_label(found)
        if not label:
            raise ClusterError(
                f"TrainJob {name}: expected none, or one that angiopipe made, found one without the label "
                f"{SPEC_LABEL}; delete it, or choose another run id"
            )
        if "deletionTimestamp" in metadata:
            return None
        if label == self._job.digest and not _failed(found):
            self._asked_for = True
            log.info(
                "TrainJob %s is there already, made %s; following it", name, metadata["creationTimestamp"]
            )
            return found
        reason = "asks for something else" if label != self._job.digest else "had failed"
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
