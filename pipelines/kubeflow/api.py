"""Pipelines, versions, experiments, runs and recurring runs, found or made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import Object, entries, needed, text
from pipelines.kubeflow.connection import Connection
from pipelines.kubeflow.refusals import Refused
from pipelines.kubeflow.steps import Node, nodes_of
from pipelines.package import Package
from pipelines.settings import Settings

LONGEST_NAME = 127
"""The server takes names of 128 characters for valid, and then fails on them."""

LOOKED_THROUGH = 100
"""How many of an experiment's last runs are looked through for one that is like another, or goes on with it."""


class Kubeflow:
    """What the commands ask of Kubeflow Pipelines.

    Attributes:
      settings: the host, namespace and experiment.
      connection: to the server.
    """

    def __init__(self, settings: Settings, connection: Connection | None = None):
        self.settings = settings
        self.connection = connection or Connection(settings)

    def run_url(self, run_id: str) -> str:
        """Where people see a run."""
        return f"{(self.settings.ui or self.connection.host).rstrip('/')}/#/runs/details/{run_id}"

    def find_pipeline(self, name: str) -> str | None:
        """A pipeline's id."""
        try:
            path, wanted = f"/pipelines/names/{quote(name, safe='')}", f"find pipeline {name}"
            return needed(self.connection.get(path, self._namespace(), wanted=wanted), "pipeline_id", wanted)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def find_version(self, pipeline_id: str, name: str) -> str | None:
        """The id of the version of that name."""
        query = {"filter": _equals("name", name)}
        path = f"/pipelines/{pipeline_id}/versions"
        wanted = f"find version {name}"
        for one in self.connection.pages(path, "pipeline_versions", query, wanted=wanted):
            if text(one, "display_name") == name:
                return needed(one, "pipeline_version_id", wanted)
        return None

    def version(self, pipeline_id: str, version_id: str) -> Object:
        """A version with its package."""
        path = f"/pipelines/{pipeline_id}/versions/{version_id}"
        return self.connection.get(path, wanted=f"see version {version_id}")

    def upload_version(self, package: Package, name: str, description: str) -> tuple[str, str, bool]:
        """Uploads a package under a name, unless it is there.

        Returns:
          The pipeline's id, the version's, and whether it was uploaded.

        Raises:
          PipelineError: the package is none, its name is too long, or the server refuses it.
        """
        assert package.documents  # The server would never answer to broken YAML.
        if len(name) > LONGEST_NAME:
            raise PipelineError(
                f"version {name}: expected at most {LONGEST_NAME} characters, found {len(name)}"
            )
        pipeline_id = self.find_pipeline(package.name) or self._create_pipeline(package.name)
        found = self.find_version(pipeline_id, name)
        if found:
            return pipeline_id, found, False
        query = {"pipelineid": pipeline_id, "name": name, "description": description}
        wanted = f"upload version {name} of {package.name}"
        try:
            answer = self.connection.upload(
                "/pipelines/upload_version",
                query,
                f"{package.name}.yaml",
                package.content,
                wanted=wanted,
            )
        except Refused as error:
            found = self.find_version(pipeline_id, name) if error.status == 409 else None
            if not found:
                raise
            return pipeline_id, found, False
        return pipeline_id, needed(answer, "pipeline_version_id", wanted), True

    def find_experiment(self) -> str | None:
        """The id of the settings' experiment."""
        name = self.settings.experiment
        query = self._namespace() | {"filter": _equals("display_name", name)}
        for one in self.connection.pages("/experiments", "experiments", query, wanted="find the experiment"):
            if text(one, "display_name") == name:
                return needed(one, "experiment_id", "find the experiment")
        return None

    def experiment(self) -> str:
        """The id of the settings' experiment, which is made if there is none."""
        found = self.find_experiment()
        if found:
            return found
        body = {"display_name": self.settings.experiment} | self._namespace()
        try:
            wanted = f"create experiment {self.settings.experiment}"
            return needed(self.connection.post("/experiments", body, wanted=wanted), "experiment_id", wanted)
        except Refused as error:
            found = self.find_experiment() if error.status == 409 else None
            if not found:
                raise
            return found

    def start_run(self, name: str, pipeline_id: str, version_id: str, values: dict[str, Any]) -> str:
        """Starts a run of a version and returns its id."""
        body = self._what_to_run(name, self.experiment(), pipeline_id, version_id, values)
        wanted = f"start run {name}"
        return needed(self.connection.post("/runs", body, wanted=wanted), "run_id", wanted)

    def run(self, run_id: str) -> Object:
        """A run as it is now, with its tasks."""
        return self.connection.get(f"/runs/{run_id}", wanted=f"see run {run_id}")

    def nodes(self, run_id: str) -> dict[str, list[Node]]:
        """Argo's account of a run's pods, by step, which has Kubernetes' words; empty where the server keeps none.

        Source: `GetRunV1` of Kubeflow Pipelines' API server; v2beta1 leaves these words out.
        """
        answer = self.connection.once(f"/apis/v1beta1/runs/{run_id}", "application/json")
        try:
            return nodes_of(text(json.loads(answer), "pipeline_runtime", "workflow_manifest"))
        except ValueError:
            return {}

    def why_pending(self, run_id: str, step: str) -> str:
        """Why a step's pod waits, in Kubernetes' words; empty where they are not to be had."""
        waiting = [one for one in self.nodes(run_id).get(step, ()) if one.phase == "Pending"]
        return waiting[-1].message if waiting else ""

    def log(self, run_id: str, pods: Iterable[str]) -> str:
        """What a step's pod wrote, of the first of these pods that there is; empty where the server has no log.

        Source: the routes of `RunLogServer` (v1alpha1 in 2.17, v2beta1 after it), and of the UI's server in front of it.
        """
        space = {"podnamespace": self.settings.namespace} if self.settings.namespace else {}
        for pod in pods:
            for path, query in (
                (f"/apis/v2beta1/runs/{run_id}/nodes/{pod}/log", None),
                (f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log", None),
                ("/k8s/pod/logs", {"podname": pod, "runid": run_id} | space),
            ):
                if told := self.connection.once(path, "text/plain", query):
                    return told
        return ""

    def last_runs(self, experiment_id: str, count: int = LOOKED_THROUGH) -> list[Object]:
        """The latest runs of an experiment, the newest first."""
        query = {"experiment_id": experiment_id, "page_size": count, "sort_by": "created_at desc"}
        return entries(self.connection.get("/runs", query, wanted="list the last runs"), "runs")

    def schedules(self, experiment_id: str) -> Iterator[Object]:
        """The recurring runs of an experiment."""
        query = {"experiment_id": experiment_id}
        return self.connection.pages("/recurringruns", "recurringRuns", query, wanted="list the schedules")

    def recurring_run(
        self,
        name: str,
        experiment_id: str,
        pipeline_id: str,
        version_id: str,
        values: dict[str, Any],
        cron: str,
    ) -> Object:
        """A recurring run to be created: one at a time, and what was missed stays missed."""
        return self._what_to_run(name, experiment_id, pipeline_id, version_id, values) | {
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": "1",
            "no_catchup": True,
            "mode": "ENABLE",
        }

    def create_schedule(self, body: Object) -> str:
        wanted = f"create schedule {body['display_name']}"
        return needed(self.connection.post("/recurringruns", body, wanted=wanted), "recurring_run_id", wanted)

    def delete_schedule(self, recurring_run_id: str) -> None:
        self.connection.delete(
            f"/recurringruns/{recurring_run_id}", wanted=f"delete schedule {recurring_run_id}"
        )

    def _create_pipeline(self, name: str) -> str:
        body = {"display_name": name} | self._namespace()
        try:
            wanted = f"create pipeline {name}"
            return needed(self.connection.post("/pipelines", body, wanted=wanted), "pipeline_id", wanted)
        except Refused as error:
            found = self.find_pipeline(name) if error.status == 409 else None
            if not found:
                raise
            return found

    def _what_to_run(
        self, name: str, experiment_id: str, pipeline_id: str, version_id: str, values: dict[str, Any]
    ) -> Object:
        account = {"service_account": self.settings.service_account} if self.settings.service_account else {}
        return account | {
            "display_name": name,
            "experiment_id": experiment_id,
            "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
            "runtime_config": {"parameters": values},
        }

    def _namespace(self) -> dict[str, str]:
        return {"namespace": self.settings.namespace} if self.settings.namespace else {}


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"key": key, "operation": "EQUALS", "string_value": value}]})
