"""The train step's settings fit the cluster that the overlays make, and its rights are no wider than needed."""

from __future__ import annotations

import re

import pytest

from angiopipe.cluster.settings import ClusterSettings, load_cluster_settings
from pipelines.settings import load_settings
from tests.unit.infra.built import (
    INFRA,
    OVERLAYS,
    Object,
    build,
    containers,
    named,
    new_secrets,
    overlay,
    pod,
)


def settings_of(name: str) -> ClusterSettings:
    return load_cluster_settings(str(INFRA / "overlays" / name / "training.yaml"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_the_settings_name_exists(name):
    settings = settings_of(name)
    objects = overlay(name)
    assert named(objects, "ServiceAccount", settings.service_account, settings.namespace)
    runtime = named(objects, "ClusterTrainingRuntime", settings.runtime)
    assert "namespace" not in runtime["metadata"]  # It has none, and the API server would refuse one.
    for source in settings.secret_env.values():
        assert (
            source.key in named(new_secrets(name), "Secret", source.secret, settings.namespace)["stringData"]
        )
    quota = named(objects, "ResourceQuota", "angiopipe-gpus", settings.namespace)["spec"]["hard"]
    assert settings.workers * settings.gpus <= int(quota["requests.nvidia.com/gpu"])


def test_workers_on_kind_use_the_store_that_mlflow_uses():
    store = named(overlay("kind"), "ConfigMap", "object-store")["data"]
    env = settings_of("kind").env
    assert {name: store[name] for name in env} == env
    service = named(overlay("kind"), "Service", "object-store")["spec"]
    assert env["AWS_ENDPOINT_URL"] == f"http://object-store.angiopipe:{service['ports'][0]['port']}"


def test_the_image_in_the_cloud_is_the_one_with_cuda_in_the_registry():
    [container] = containers(pod(overlay("gke"), "angiopipe-tensorflow"))
    assert settings_of("gke").image == f"{container['image']}-gpu"


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_launcher_has_six_rights_in_one_namespace(name):
    objects = overlay(name)
    assert not [one for one in objects if one["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    [role] = [one for one in objects if one["kind"] == "Role"]
    [binding] = [one for one in objects if one["kind"] == "RoleBinding"]
    rights = [
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(rights) == [
        ("", "events", "list"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        ("trainer.kubeflow.org", "trainjobs", "create"),
        ("trainer.kubeflow.org", "trainjobs", "delete"),
        ("trainer.kubeflow.org", "trainjobs", "get"),
    ]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == settings_of(name).namespace
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    [subject] = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}


def test_training_can_be_set_up_alone():
    kinds = sorted(one["kind"] for one in build("base/training"))
    assert kinds == [
        "ClusterTrainingRuntime",
        "NetworkPolicy",
        "ResourceQuota",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_pipelines_settings_fit_too(name):
    settings = load_settings(INFRA / "overlays" / name / "pipelines.yaml", {})
    objects = overlay(name)
    for pipeline in ("training", "retraining"):
        assert settings.parameters_of(pipeline)["cluster_settings"].endswith("/settings/training.yaml")
    assert settings.schedules["retraining"]
    for source in settings.storage.secret_env.values():
        assert source.key in named(new_secrets(name), "Secret", source.secret, "kubeflow")["stringData"]
    store = named(objects, "ConfigMap", "object-store")["data"]
    assert settings.storage.endpoint == store.get("AWS_ENDPOINT_URL", "")
    assert served(settings.tracking_uri.removeprefix("http://"), objects)
    [options] = settings.beam_args
    beam = dict(re.findall(r"--(\w+)=(\S+)", options))
    assert served(beam["job_endpoint"], objects)
    replicas = named(objects, "Deployment", "flink-taskmanager")["spec"]["replicas"]
    assert int(beam["parallelism"]) == replicas
    [pool] = pod(objects, "flink-taskmanager")["spec"]["initContainers"]
    assert beam["environment_config"].replace("localhost", "127.0.0.1") == pool["args"][0]


def served(address: str, objects: tuple[Object, ...]) -> bool:
    """Whether `<service>.<namespace>:<port>` leads to one of the services."""
    host, _, port = address.partition(":")
    service, _, namespace = host.partition(".")
    ports = named(objects, "Service", service, namespace)["spec"]["ports"]
    return int(port) in {one["port"] for one in ports}
