"""The TrainJob that trains one run, as the plain object that the API server takes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from angiopipe.cluster.settings import START_DEADLINE_VARIABLE, WORKERS_VARIABLE, ClusterSettings, Toleration

API_VERSION = "trainer.kubeflow.org/v1alpha1"
COMMAND = ("python", "-m", "angiopipe", "train")
CONTAINER = "node"
"""The replicated job and its container; Trainer knows them by this name only."""

SPEC_LABEL = "angiopipe/spec"
RUN_LABEL = "angiopipe/run"

MAX_NAME = 46
"""Pods are called `<name>-node-0-<worker>-<5 letters>` in 63 characters; this leaves three digits."""

_PREFIX = "angiopipe-"
_DIGEST_LENGTH = 8


@dataclass(frozen=True)
class TrainJob:
    """One launch of a run's training on a cluster.

    Attributes:
      run_id: the run's name; a run has one TrainJob at a time.
      arguments: of the command, one by one, without a shell.
      settings: where and on what it runs.
      command: what each worker runs.
      launch: 0 for the first, which is called after the run alone; see `launches`.
    """

    run_id: str
    arguments: tuple[str, ...]
    settings: ClusterSettings
    command: tuple[str, ...] = COMMAND
    launch: int = 0

    @property
    def name(self) -> str:
        return job_name(self.run_id, self.launch)

    @property
    def launches(self) -> list[TrainJob]:
        """All that may be there of this run.

        Names go round, so that each is another than the last few, whose pods a lost node may keep, and
        that one who starts anew finds whichever is left.
        """
        return [replace(self, launch=number) for number in range(self.settings.relaunches + 1)]

    @property
    def next(self) -> TrainJob:
        """The launch after this one."""
        return replace(self, launch=(self.launch + 1) % (self.settings.relaunches + 1))

    @cached_property
    def digest(self) -> str:
        """16 hex digits that two jobs share exactly if they ask for the same."""
        content = json.dumps([self._spec(), self.settings.labels], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def body(self, owner: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The custom object to create.

        Args:
          owner: an ownerReference: the job goes when its owner does.
        """
        metadata: dict[str, Any] = {"name": self.name, "labels": {**self._labels(), SPEC_LABEL: self.digest}}
        if owner:
            metadata["ownerReferences"] = [dict(owner)]
        return {"apiVersion": API_VERSION, "kind": "TrainJob", "metadata": metadata, "spec": self._spec()}

    def _labels(self) -> dict[str, str]:
        return {
            **self.settings.labels,
            "app.kubernetes.io/name": "angiopipe",
            "app.kubernetes.io/component": "train",
            RUN_LABEL: job_name(self.run_id).removeprefix(_PREFIX),
        }

    def _spec(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "runtimeRef": {
                "apiGroup": API_VERSION.partition("/")[0],
                "kind": "ClusterTrainingRuntime",
                "name": settings.runtime,
            },
            "activeDeadlineSeconds": settings.deadline_seconds,
            "trainer": {
                "image": settings.image,
                "command": [_literal(part) for part in self.command],
                "args": [_literal(argument) for argument in self.arguments],
                "env": _environment(settings),
                "numNodes": settings.workers,
                "resourcesPerNode": resources(settings),
            },
            "runtimePatches": [_patch(settings, self._labels())],
        }


def job_name(run_id: str, launch: int = 0) -> str:
    """A name that is the same for the same run and launch, and short enough for the names made from it.

    Run ids that had to be changed or cut end in a digest, so that no two of them meet; so do relaunches.
    """
    name = _PREFIX + re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    if run_id and not launch and name == _PREFIX + run_id and len(name) <= MAX_NAME:
        return name
    # No run id of a pipeline's has a line break, so that no relaunch shares one's digest.
    told = f"{run_id}\n{launch}" if launch else run_id
    end = hashlib.sha256(told.encode()).hexdigest()[:_DIGEST_LENGTH]
    end = f"-{launch}-{end}" if launch else f"-{end}"
    return f"{name[: MAX_NAME - len(end)].rstrip('-')}{end}"


def _literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in arguments and variables; a doubled dollar is one that stays."""
    return text.replace("$", "$$")


def _environment(settings: ClusterSettings) -> list[dict[str, Any]]:
    plain = {
        **settings.env,
        WORKERS_VARIABLE: str(settings.workers),
        START_DEADLINE_VARIABLE: str(settings.start_seconds),
    }
    secret = {
        name: {"secretKeyRef": {"name": where.secret, "key": where.key}}
        for name, where in settings.secret_env.items()
    }
    return [
        *({"name": name, "value": _literal(value)} for name, value in sorted(plain.items())),
        *({"name": name, "valueFrom": source} for name, source in sorted(secret.items())),
    ]


def resources(settings: ClusterSettings) -> dict[str, dict[str, str]]:
    fixed = {"memory": settings.memory}
    if settings.gpus:
        fixed[settings.gpu_resource] = str(settings.gpus)
    # A limit on cores would only slow the input pipeline down while cores are idle.
    return {"requests": {"cpu": settings.cpu, **fixed}, "limits": fixed}


def _patch(settings: ClusterSettings, labels: Mapping[str, str]) -> dict[str, Any]:
    """What a TrainJob has no field for; its own labels do not reach its pods either."""
    template = {"metadata": {"labels": dict(labels)}, "spec": pod_patch(settings)}
    jobs = [{"name": CONTAINER, "template": {"spec": {"template": template}}}]
    return {
        "manager": "angiopipe/train",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
    }


def pod_patch(settings: ClusterSettings) -> dict[str, Any]:
    tolerations = list(settings.tolerations)
    if settings.gpus:
        # Clouds taint the nodes of a GPU pool so.
        tolerations.append(Toleration(key=settings.gpu_resource, effect="NoSchedule"))
    memory = {"medium": "Memory", "sizeLimit": settings.shared_memory}
    patch: dict[str, Any] = {
        "volumes": [{"name": "shared-memory", "emptyDir": memory}],
        "containers": [
            {"name": CONTAINER, "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}]}
        ],
    }
    if settings.node_selector:
        patch["nodeSelector"] = dict(settings.node_selector)
    if tolerations:
        patch["tolerations"] = [
            {name: value for name, value in one.model_dump().items() if value} for one in tolerations
        ]
    if settings.service_account:
        patch["serviceAccountName"] = settings.service_account
    return patch
