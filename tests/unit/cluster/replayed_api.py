"""A replayed Kubernetes API: a real HTTP server on loopback that goes through states a cluster was seen in.

It knows TrainJobs, pods, events, pod logs and nodes. What it tells is a list of frames, each the state of one
moment, in Kubernetes' shapes; states, reasons and their order were noted on a cluster with Kubeflow
Trainer 2.3, the objects around them are written by hand, not recorded. Looking at the
TrainJob moves on to the next frame, and the last one stays.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from tests.loopback import ApiHandler

Object = dict[str, Any]

CREATED = "2026-11-24T12:00:00Z"


def at(second: int) -> str:
    """The cluster's time, so many seconds after the job was created."""
    return f"2026-11-24T12:{second // 60:02}:{second % 60:02}Z"


@dataclass
class Frame:
    """What the cluster tells at one moment."""

    pods: Sequence[Object] = ()
    conditions: Sequence[Object] = ()
    events: Sequence[Object] = ()


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Object
    time: float


@dataclass
class Answer:
    """An answer out of the order: a status and message, or None for a connection that is cut."""

    method: str
    path_end: str
    status: int | None
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None


class ReplayedApi:
    """The server and what it has to tell.

    Attributes:
      frames: what is told, look after look.
      logs: of each pod, its lines, each with the second in which it was written.
      cuts: of each pod, after how many bytes the first, second, ... stream of its log breaks off.
      answers: the next requests they fit are answered so.
      jobs: the TrainJobs that there are.
      requests: all that came.
      nodes: of the cluster.
      runtimes: the ClusterTrainingRuntimes that there are.
      on_delete: called before a deletion is answered.
      node_in_berlin: log lines are stamped in the node's time, an hour ahead of UTC.
      create_seconds: how long a creation takes.
      lingering: of each job, the pods that are left of one that was deleted.
      made: how many TrainJobs were created.
      relaunches: the frames of the second TrainJob that is created, of the third, ...
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = [Frame()]
        self.logs: dict[str, list[tuple[float, str]]] = {}
        self.cuts: dict[str, list[int]] = {}
        self.answers: list[Answer] = []
        self.jobs: dict[str, Object] = {}
        self.requests: list[Request] = []
        self.nodes: list[Object] = []
        self.runtimes = {"angiopipe-tensorflow"}
        self.on_delete: Callable[[], None] = lambda: None
        self.create_seconds = 0.0
        self.node_in_berlin = False
        self.lingering: dict[str, list[Object]] = {}
        self.made = 0
        self.relaunches: list[list[Frame]] = []
        self._look = -1
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def frame(self) -> Frame:
        return self.frames[min(max(self._look, 0), len(self.frames) - 1)]

    def add_job(self, body: Object, uid: str = "job-0", **status: Any) -> None:
        """A TrainJob from before, whose pods are the frames'."""
        metadata = {**body["metadata"], "uid": uid, "creationTimestamp": CREATED}
        self.jobs[metadata["name"]] = {**body, "metadata": metadata, "status": status}

    def deletions(self) -> list[Request]:
        return [one for one in self.requests if one.method == "DELETE"]

    def creations(self) -> list[Request]:
        return [one for one in self.requests if one.method == "POST"]

    def answer_to(self, request: Request) -> Answer | None:
        """The planned answer to this request, which is then used up."""
        with self._lock:
            self.requests.append(request)
            for one in self.answers:
                if one.method == request.method and request.path.endswith(one.path_end):
                    self.answers.remove(one)
                    return one
        return None

    def look_at(self, name: str) -> Object | None:
        if name in self.jobs:
            self._look += 1
        job = self.jobs.get(name)
        if job is not None and self.frame.conditions:
            return {**job, "status": {"conditions": list(self.frame.conditions)}}
        return job

    def create(self, body: Object) -> Object:
        self.made += 1
        if self.made > 1 and self.relaunches:
            self.frames, self._look = self.relaunches.pop(0), -1
        metadata = {**body["metadata"], "uid": f"job-{self.made}", "creationTimestamp": CREATED}
        job = {**body, "metadata": metadata}
        self.jobs[metadata["name"]] = job
        return job

    def pods(self, name: str) -> list[Object]:
        """The job's pods; of a deleted one those that linger, each time one fewer."""
        if name in self.jobs:
            return list(self.frame.pods)
        lingering = self.lingering.get(name, [])
        return [lingering.pop()] if lingering else []


class _Handler(ApiHandler):
    api: ReplayedApi

    def serve(self, method: str, path: str, query: dict[str, str], content: bytes) -> None:
        request = Request(method, path, query, json.loads(content or b"{}"), time.monotonic())
        planned = self.api.answer_to(request)
        if planned:
            self._answer(planned)
            return
        parts = path.strip("/").split("/")
        if parts[0] == "apis" and "trainjobs" in parts:
            self._trainjob(request, parts[-1])
        elif parts[-1] == "pods":
            name = query["labelSelector"].removeprefix("jobset.sigs.k8s.io/jobset-name=")
            self._tell({"kind": "PodList", "items": self.api.pods(name)})
        elif parts[-1] == "events":
            name = query["fieldSelector"].removeprefix("involvedObject.name=")
            events = [one for one in self.api.frame.events if one["involvedObject"]["name"] == name]
            self._tell({"kind": "EventList", "items": events})
        elif path == "/api/v1/nodes":
            self._tell({"kind": "NodeList", "items": self.api.nodes})
        elif parts[-1] == "log":
            self._log(parts[-2], query)
        else:
            self._refuse(404, "404 page not found")

    def _answer(self, planned: Answer) -> None:
        if planned.after:
            planned.after()
        if planned.status is None:
            self._cut()
        else:
            self._refuse(planned.status, planned.message, planned.headers)

    def _trainjob(self, request: Request, name: str) -> None:
        if request.method == "POST":
            self._create(request.body)
            return
        job = self.api.look_at(name) if request.method == "GET" else self.api.jobs.get(name)
        if job is None:
            self._refuse(404, f'trainjobs.trainer.kubeflow.org "{name}" not found')
        elif request.method == "GET":
            self._tell(job)
        else:
            self._delete(name, job, request.body)

    def _create(self, body: Object) -> None:
        name, runtime = body["metadata"]["name"], body["spec"]["runtimeRef"]["name"]
        if runtime not in self.api.runtimes:
            self._refuse(
                403,
                'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request: '
                f'spec.RuntimeRef: Invalid value: ClusterTrainingRuntime.trainer.kubeflow.org "{runtime}" not found: '
                "specified clusterTrainingRuntime must be created before the TrainJob is created",
            )
        elif name in self.api.jobs:
            self._refuse(409, f'trainjobs.trainer.kubeflow.org "{name}" already exists')
        else:
            time.sleep(self.api.create_seconds)
            self._tell(self.api.create(body), 201)

    def _delete(self, name: str, job: Object, options: Object) -> None:
        uid = options.get("preconditions", {}).get("uid")
        if uid not in (None, job["metadata"]["uid"]):
            self._refuse(409, "Precondition failed: UID in precondition")
            return
        self.api.on_delete()
        del self.api.jobs[name]
        self._tell({"kind": "Status", "status": "Success"})

    def _log(self, name: str, query: dict[str, str]) -> None:
        """The lines since a second, then a stream that ends with the container."""
        state = self._state(name)
        if state is None:
            self._refuse(404, f'pods "{name}" not found')
            return
        if "waiting" in state:
            self._refuse(400, f'container "node" in pod "{name}" is waiting to start: ContainerCreating')
            return
        cuts = self.api.cuts.get(name, [])
        left = cuts.pop(0) if cuts else None
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for second, line in self.api.logs.get(name, []):
            if at(int(second)) < query.get("sinceTime", ""):
                continue
            content = f"{self._stamp(second)} {line}\n".encode()
            part = content if left is None else content[:left]
            self._chunk(part)
            if left is not None:
                left -= len(part)
                if left <= 0:
                    self._cut()
                    return
        while self._runs(name):
            time.sleep(0.01)
        self._chunk(b"")

    def _stamp(self, second: float) -> str:
        stamp = f"{at(int(second))[:-1]}.{round(second % 1 * 1e9):09}Z"
        return stamp.replace("T12", "T13").replace("Z", "+01:00") if self.api.node_in_berlin else stamp

    def _state(self, name: str) -> Object | None:
        for pod in self.api.frame.pods if self.api.jobs else ():
            if pod["metadata"]["name"] == name:
                return pod["status"]["containerStatuses"][0]["state"]
        return None

    def _runs(self, name: str) -> bool:
        return "running" in (self._state(name) or {})

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _tell(self, content: Object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self._tell(
            {"kind": "Status", "status": "Failure", "message": message, "code": status}, status, headers
        )
