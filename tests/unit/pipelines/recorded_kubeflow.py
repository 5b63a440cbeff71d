"""A server on loopback that answers as a real Kubeflow Pipelines 2.17 was recorded to answer.

Every body is a recorded one (`recorded/recorded.jsonl`) with the names and ids of the request put in;
which one is chosen follows from what was asked before. A list of versions was not recorded: it holds
recorded versions under the key that the API's definition names.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from tests.loopback import ApiHandler

RECORDED = Path(__file__).parent / "recorded"
EXCHANGES = {
    one["case"]: one for one in map(json.loads, (RECORDED / "recorded.jsonl").read_text().splitlines())
}
NEVER = "1970-01-01T00:00:00Z"
Object = dict[str, Any]


def recorded_run(name: str) -> Object:
    return json.loads((RECORDED / f"run-{name}.json").read_text())


def moments(run: Object) -> list[str]:
    """The times at which a recorded run or one of its tasks changed."""
    histories = [run, *run["run_details"]["task_details"]]
    return sorted({step["update_time"] for one in histories for step in one.get("state_history", ())})


def as_it_was(run: Object, moment: str) -> Object:
    """A recorded run as the server told of it at an earlier moment, by its histories."""
    earlier = copy.deepcopy(run)
    for one in [earlier, *earlier["run_details"]["task_details"]]:
        until = [step for step in one.get("state_history", ()) if step["update_time"] <= moment]
        if "state_history" in one:
            one["state_history"] = until
            one["state"] = until[-1]["state"] if until else ""
    tasks = earlier["run_details"]["task_details"]
    earlier["run_details"]["task_details"] = [one for one in tasks if one.get("state") != ""]
    if moment < run["state_history"][-1]["update_time"]:
        earlier["finished_at"] = NEVER
    return earlier


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Object


class RecordedKubeflow:
    """The server, what it holds, and what it was asked.

    Attributes:
      requests: all that came.
      instead: cases to answer the next fitting requests with: (method, end of the path, case).
      frames: a run as it is told, look after look; the last one stays.
      silent: no request is answered.
      texts: further answers by path, JSON where they look like it, else plain text.
      change: what becomes of each recorded body before it is sent.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.instead: list[tuple[str, str, str]] = []
        self.frames: list[Object] = []
        self.silent = False
        self.texts: dict[str, str] = {}
        self.change: Callable[[Any], Any] = lambda body: body
        self.closed = threading.Event()
        self.pipelines: dict[str, str] = {}
        self.versions: dict[tuple[str, str], str] = {}
        self.packages: dict[str, list[Object]] = {}
        self.experiments: dict[str, str] = {}
        self.schedules: list[Object] = []
        self.runs: list[Object] = []
        handler = type("Handler", (_Handler,), {"kubeflow": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def sent(self, method: str, path: str) -> list[Request]:
        return [one for one in self.requests if one.method == method and one.path.endswith(path)]

    def answer(self, request: Request) -> tuple[int, str, Any]:
        """The status, content type and body of the answer."""
        self.requests.append(request)
        if request.path in self.texts:
            told = self.texts[request.path]
            return 200, "application/json" if told.startswith(("{", "[")) else "text/plain", told
        status, kind, body = self._recorded(request)
        return status, kind, self.change(copy.deepcopy(body)) if status == 200 else body

    def _recorded(self, request: Request) -> tuple[int, str, Any]:
        for planned in self.instead:
            if planned[0] == request.method and request.path.endswith(planned[1]):
                self.instead.remove(planned)
                return _case(planned[2])
        parts = request.path.removeprefix("/apis/v2beta1/").split("/")
        find = getattr(self, f"_{request.method.lower()}_{parts[0]}", None)
        return find(request, parts[1:]) if find else _case("unknown path")

    def _get_pipelines(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        if parts[0] == "names":
            name = unquote(parts[1])
            if name not in self.pipelines:
                return _case("pipeline by unknown name")
            return _case("pipeline by name", pipeline_id=self.pipelines[name], display_name=name)
        if parts[0] not in self.pipelines.values():
            return _case("versions of unknown pipeline")
        if len(parts) == 3:
            name = next(one for (_, one), version in self.versions.items() if version == parts[2])
            graph, platform = self.packages[parts[2]]
            spec = {"pipeline_spec": graph, "platform_spec": platform}
            return _case("version get", pipeline_version_id=parts[2], display_name=name, pipeline_spec=spec)
        wanted = json.loads(request.query["filter"])["predicates"][0]["string_value"]
        found = [
            _case("version get", pipeline_version_id=version, display_name=name, name=name)[2]
            for (pipeline, name), version in self.versions.items()
            if pipeline == parts[0] and name == wanted
        ]
        return 200, "application/json", {"pipeline_versions": found} if found else {}

    def _post_pipelines(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        if parts == ["upload_version"]:
            return self._upload(request)
        name = request.body["display_name"]
        self.pipelines[name] = str(uuid.uuid4())
        return _case("create pipeline rest", pipeline_id=self.pipelines[name], display_name=name, name=name)

    def _upload(self, request: Request) -> tuple[int, str, Any]:
        pipeline, name = request.query["pipelineid"], request.query["name"]
        if pipeline not in self.pipelines.values():
            return _case("version unknown pipeline")
        if (pipeline, name) in self.versions:
            return _case("version dup name")
        self.versions[pipeline, name] = str(uuid.uuid4())
        self.packages[self.versions[pipeline, name]] = request.body["documents"]
        return _case(
            "version ok", pipeline_version_id=self.versions[pipeline, name], display_name=name, name=name
        )

    def _get_experiments(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        wanted = json.loads(request.query["filter"])["predicates"][0]["string_value"]
        entry = _case("exp list")[2]["experiments"][0]
        found = [
            {**entry, "experiment_id": one, "display_name": name}
            for name, one in self.experiments.items()
            if name == wanted
        ]
        return 200, "application/json", {"experiments": found, "total_size": len(found)} if found else {}

    def _post_experiments(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        name = request.body["display_name"]
        if name in self.experiments:
            return _case("exp dup")
        self.experiments[name] = str(uuid.uuid4())
        return _case("exp camelCase input", experiment_id=self.experiments[name], display_name=name)

    def _post_runs(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        if request.body["experiment_id"] not in self.experiments.values():
            return _case("run unknown experiment")
        if not request.body["display_name"]:
            return _case("run no display name")
        answer = _case("run ok minimal (no experiment)", **request.body, run_id=str(uuid.uuid4()))
        if self.frames and self.frames[0]["run_id"] not in [one["run_id"] for one in self.runs]:
            answer[2]["run_id"] = self.frames[0]["run_id"]
        self.runs.insert(0, answer[2])
        return answer

    def _get_runs(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        if not parts:
            return 200, "application/json", {"runs": self.runs, "total_size": len(self.runs)}
        if len(parts) > 1:
            return _case("unknown path")
        if not self.frames:
            return _case("run unknown")
        frame = self.frames.pop(0) if len(self.frames) > 1 else self.frames[0]
        return 200, "application/json", frame

    def _post_recurringruns(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        if len(request.body["trigger"]["cron_schedule"]["cron"].split()) not in (5, 6):
            return _case("recurring cron '* * *'")
        answer = _case("recurring cron '0 0 * * * *'", **request.body, recurring_run_id=str(uuid.uuid4()))
        self.schedules.append(answer[2])
        return answer

    def _get_recurringruns(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        found = [one for one in self.schedules if one["experiment_id"] == request.query["experiment_id"]]
        if not found:
            return 200, "application/json", {}
        # One a page, so that a client has to turn pages.
        page = int(request.query.get("page_token", 0))
        more = {"next_page_token": str(page + 1)} if page + 1 < len(found) else {}
        return 200, "application/json", {"recurringRuns": [found[page]], "total_size": len(found)} | more

    def _delete_recurringruns(self, request: Request, parts: list[str]) -> tuple[int, str, Any]:
        kept = [one for one in self.schedules if one["recurring_run_id"] != parts[0]]
        if len(kept) == len(self.schedules):
            return _case("delete unknown")
        self.schedules = kept
        return 200, "application/json", {}


def _case(name: str, /, **changed: Any) -> tuple[int, str, Any]:
    if name == "away":  # What a proxy says of a server that restarts; the one answer that is not recorded.
        return 503, "text/plain", "no healthy upstream"
    exchange = copy.deepcopy(EXCHANGES[name])
    body = {**exchange["response"], **changed} if changed else exchange["response"]
    return exchange["status"], exchange["content_type"], body


class _Handler(ApiHandler):
    kubeflow: RecordedKubeflow

    def serve(self, method: str, path: str, query: dict[str, str], content: bytes) -> None:
        upload = "multipart" in self.headers.get("Content-Type", "")
        request = Request(method, path, query, _file(content) if upload else json.loads(content or b"{}"))
        if self.kubeflow.silent or request.body is None:
            self.kubeflow.closed.wait()  # Broken YAML is never answered.
            self.close_connection = True
            return
        status, kind, body = self.kubeflow.answer(request)
        told = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


def _file(content: bytes) -> Object | None:
    """The package in an upload; None if it is not YAML."""
    package = content.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    try:
        return {"documents": list(yaml.load_all(package, yaml.CSafeLoader))}
    except yaml.YAMLError:
        return None


@contextmanager
def serving() -> Iterator[RecordedKubeflow]:
    kubeflow = RecordedKubeflow()
    try:
        yield kubeflow
    finally:
        kubeflow.close()
