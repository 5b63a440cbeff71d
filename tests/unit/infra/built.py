"""What `kubectl kustomize` makes of infra/, and ways to look into it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[3] / "infra"
KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ("kind", "gke")
ALONE = "kubeflow-alone"
EVERY = (*OVERLAYS, ALONE)
"""The last has MLflow alone, in Kubeflow's namespace."""

KUBEFLOWS_OWN = {"mlpipeline-minio-artifact": {"accesskey": "minio", "secretkey": "minio123"}}
"""Secrets that Kubeflow Pipelines 2.17 comes with."""

Object = dict[str, Any]


@cache
def build(folder: str) -> tuple[Object, ...]:
    """The objects of a folder below infra/."""
    made = subprocess.run([KUBECTL, "kustomize", INFRA / folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return tuple(yaml.safe_load_all(made.stdout))


def overlay(name: str) -> tuple[Object, ...]:
    return build(f"overlays/{name}")


@cache
def new_secrets(name: str, *people: str) -> tuple[Object, ...]:
    """The Secrets that the documented command makes for an overlay, `--promoter anna` and the like among its people."""
    printed = subprocess.run(
        [INFRA / "new-secrets", name, *people], capture_output=True, text=True, check=True
    )
    return tuple(yaml.safe_load_all(printed.stdout))


def named(objects: tuple[Object, ...], kind: str, name: str, namespace: str = "angiopipe") -> Object:
    """The one object of that kind and name; generated names may have a hash behind theirs."""
    found = [
        one
        for one in objects
        if one["kind"] == kind and one["metadata"].get("namespace", namespace) == namespace
        if one["metadata"]["name"] == name
        or (kind == "ConfigMap" and one["metadata"]["name"].startswith(f"{name}-"))
    ]
    assert len(found) == 1, f"{kind} {namespace}/{name}: {len(found)}"
    return found[0]


def pods(objects: tuple[Object, ...]) -> Iterator[tuple[str, str, Object]]:
    """The name of its owner, the namespace and the template of every pod, of training workers too."""
    for one in objects:
        spec, metadata = one.get("spec", {}), one["metadata"]
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield metadata["name"], metadata["namespace"], spec["template"]
        if one["kind"] == "CronJob":
            yield metadata["name"], metadata["namespace"], spec["jobTemplate"]["spec"]["template"]
        if one["kind"] == "ClusterTrainingRuntime":
            [job] = spec["template"]["spec"]["replicatedJobs"]
            yield metadata["name"], "kubeflow", job["template"]["spec"]["template"]


def pod(objects: tuple[Object, ...], owner: str) -> Object:
    return next(template for name, _, template in pods(objects) if name == owner)


def containers(template: Object) -> list[Object]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
