"""Following a TrainJob to its end: looking at it, telling why it waits, showing its workers' logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from angiopipe.cluster.api import Api, NotFound, Object
from angiopipe.cluster.errors import ClusterError
from angiopipe.cluster.failure import worker_failed
from angiopipe.cluster.logs import WorkerLog, pass_on
from angiopipe.cluster.pending import STARTING, Obstacle, obstacles
from angiopipe.cluster.pods import JOBSET_LABEL, Pod, read_pod
from angiopipe.cluster.sightings import Sighting
from angiopipe.cluster.trainjob import CONTAINER, TrainJob

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 15.0
_DEADLINE_GRACE_SECONDS = 60.0
"""The cluster ends a job at its deadline; the launcher only where the cluster does not."""
_LOOKS_PER_EVENTS = 4
_NO_PODS_SECONDS = 30.0
"""How long the controllers may take to make pods before that is told."""


class Following:
    """What was seen of one job; pods and logs that are deleted while it runs are remembered."""

    def __init__(self, api: Api, job: TrainJob, created: Object, until: float):
        """Nothing was seen yet.

        Args:
          api: how to look.
          job: what was asked for.
          created: the TrainJob as it was created.
          until: when the training has to have ended, on the monotonic clock.
        """
        self._api, self._job, self._until = api, job, until
        self._uid = created["metadata"]["uid"]
        self._created = created["metadata"]["creationTimestamp"]
        self._began = time.monotonic()
        self._pods: dict[str, Pod] = {}
        self._listed: set[str] = set()
        self._logs: dict[str, WorkerLog] = {}
        self._obstacles: list[Obstacle] = []
        self._all_started = False
        self._looks = 0
        self._events: list[Object] = []

    def look(self) -> bool:
        """Looks once, and tells what is new.

        Returns:
          Whether the job has ended well.

        Raises:
          WorkerFailed: it failed.
          TimeoutError: it pended or ran for too long.
          ClusterError: it was deleted, or the cluster refuses to show it.
        """
        conditions = self._conditions()
        self._look_at_pods()
        if "Complete" in conditions:
            self._show_rest()
            return True
        if "Failed" in conditions:
            raise self._failure(conditions["Failed"])
        if not self._all_started:
            self._tell_obstacles("Suspended" in conditions)
            self._check_pending()
        self._check_deadline()
        return False

    def close(self) -> None:
        """Shows no more of the workers' logs."""
        for one in self._logs.values():
            one.stop()

    def _conditions(self) -> dict[str, Mapping[str, str]]:
        """The TrainJob's conditions that hold, by type."""
        try:
            found = self._api.call("GET", self._api.trainjobs(self._job.name))
        except NotFound:
            found = {"metadata": {}}
        if found["metadata"].get("uid") != self._uid or "deletionTimestamp" in found["metadata"]:
            raise ClusterError(
                f"TrainJob {self._job.name}: expected it to run until it ends, found that somebody deleted it; "
                "start the step again"
            )
        conditions = found.get("status", {}).get("conditions") or ()
        return {one["type"]: one for one in conditions if one["status"] == "True"}

    def _look_at_pods(self) -> None:
        query = {"labelSelector": f"{JOBSET_LABEL}={self._job.name}"}
        found = self._api.call("GET", self._api.core("pods"), query)["items"]
        found.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        # A pod of a job that was replaced may be in its last seconds.
        pods = [read_pod(pod) for pod in found if pod["metadata"]["creationTimestamp"] >= self._created]
        self._listed = {pod.uid for pod in pods}
        for pod in pods:
            self._pods[pod.uid] = pod
            if pod.started and pod.uid not in self._logs:
                self._logs[pod.uid] = WorkerLog(self._api, pod.name, partial(pass_on, pod.worker))
        for uid, one in self._logs.items():
            if uid not in self._listed or self._pods[uid].ended:
                one.end()
        started = {pod.worker for pod in self._pods.values() if pod.started}
        self._all_started |= len(started) == self._job.settings.workers

    def _newest(self) -> list[Pod]:
        """The newest listed pod of each worker."""
        listed = {pod.worker: pod for uid, pod in self._pods.items() if uid in self._listed}
        return [listed[worker] for worker in sorted(listed)]

    def _tell_obstacles(self, suspended: bool) -> None:
        """Logs what keeps the workers from running, whenever it is something else than before."""
        pods = self._newest()
        if self._looks % _LOOKS_PER_EVENTS == 0:
            self._events = self._list_events(pods)
        self._looks += 1
        found = obstacles(pods, self._events, self._job.settings.workers, suspended)
        if not pods and time.monotonic() - self._began < _NO_PODS_SECONDS:
            found = [one for one in found if one.kind != "no pods"]
        new = {(one.kind, one.workers) for one in found} - {
            (one.kind, one.workers) for one in self._obstacles
        }
        self._obstacles = found
        for one in found:
            if (one.kind, one.workers) in new and one.kind != STARTING:
                log.warning("TrainJob %s waits: %s%s", self._job.name, one, self._running_meanwhile(pods))

    def _running_meanwhile(self, pods: list[Pod]) -> str:
        running = [str(pod.worker) for pod in pods if pod.running]
        return f"; worker {', '.join(running)} runs already and waits too" if running else ""

    def _list_events(self, pods: list[Pod]) -> list[Object]:
        """The job's events since it was created, oldest first; asked for only where pods do not tell."""
        waiting = [pod.name for pod in pods if not pod.started and not pod.unscheduled]
        names = waiting[:3]
        if len(pods) < self._job.settings.workers:
            names += [self._job.name, f"{self._job.name}-{CONTAINER}-0"]
        found = []
        for name in names:
            query = {"fieldSelector": f"involvedObject.name={name}"}
            found += self._api.call("GET", self._api.core("events"), query)["items"]
        return sorted((one for one in found if _event_time(one) >= self._created), key=_event_time)

    def _check_pending(self) -> None:
        limit = self._job.settings.pending_seconds
        if time.monotonic() - self._began > limit:
            raise TimeoutError(
                f"TrainJob {self._job.name}: expected {self._job.settings.workers} workers to run within "
                f"{limit:g} s, found {self._why_pending()}"
            )

    def _why_pending(self) -> str:
        return "; ".join(map(str, self._obstacles)) or "no pod, and no event that tells why"

    def _check_deadline(self) -> None:
        if time.monotonic() > self._until + _DEADLINE_GRACE_SECONDS:
            raise self._too_long()

    def _too_long(self) -> TimeoutError:
        state = "still at work" if self._all_started else f"still waiting: {self._why_pending()}"
        return TimeoutError(
            f"TrainJob {self._job.name}: expected it to end within {self._job.settings.deadline_seconds} s, found "
            f"it {state}; raise deadline_seconds, or train for fewer epochs"
        )

    def _failure(self, condition: Mapping[str, str]) -> OSError:
        self._show_rest()
        if condition.get("reason") == "DeadlineExceeded":
            return self._too_long()
        newest = {pod.worker: pod for pod in self._pods.values()}  # Of pods made anew the last ones count.
        sightings = [self._sighting(pod) for pod in newest.values()]
        return worker_failed(self._job.name, sightings, self._job.settings.workers, condition)

    def _sighting(self, pod: Pod) -> Sighting:
        lines = list(self._logs[pod.uid].lines) if pod.uid in self._logs else []
        return Sighting(pod, pod.uid not in self._listed, lines)

    def _show_rest(self) -> None:
        """Waits for what the logs of ended workers still hold."""
        until = time.monotonic() + _DRAIN_SECONDS
        for uid, one in self._logs.items():
            if uid not in self._listed or self._pods[uid].ended:
                one.end()
                one.join(until - time.monotonic())


def _event_time(event: Mapping[str, Any]) -> str:
    """Kubernetes' timestamps to the second sort as text."""
    found = (
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return f"{found[:19]}Z"
