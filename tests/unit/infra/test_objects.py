"""Every object is valid, refers to what exists, and is confined."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
from kubeflow_trainer_api.models.trainer_v1alpha1_cluster_training_runtime import (
    TrainerV1alpha1ClusterTrainingRuntime,
)

from components.face import BASE_IMAGE, TRAIN_IMAGE
from pipelines.settings import load_settings
from tests.unit.infra.built import (
    ALONE,
    EVERY,
    INFRA,
    KUBEFLOWS_OWN,
    Object,
    build,
    containers,
    new_secrets,
    overlay,
    pods,
)

OLDEST, NEWEST = "1.32", "1.37"

SOURCES = {
    "configMap": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""What a volume or a variable comes from: the kind, and the field with its name."""

built = pytest.mark.parametrize("objects", [overlay(name) for name in EVERY], ids=EVERY)
all_pods = pytest.mark.parametrize(
    "template",
    [
        pytest.param(template, id=f"{name}-{owner}")
        for name in EVERY
        for owner, _, template in pods(overlay(name))
    ],
)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(version):
    different = {str(one): one for name in EVERY for one in overlay(name)}
    assert different.keys() >= {str(one) for one in build("base") if one["kind"] == "NetworkPolicy"}
    for one in different.values():
        if one["kind"] == "ClusterTrainingRuntime":
            assert_known_to_trainer(one)
        else:
            kubernetes_validate.validate(one, version, strict=True)


def assert_known_to_trainer(runtime: Object) -> None:
    """Trainer's models take any field, so what they give back must be what they were given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TrainerV1alpha1ClusterTrainingRuntime.from_dict(runtime)
    assert model is not None
    returned = model.to_dict()
    assert not list(lost(runtime, returned))


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from lost(value, kept[number], f"{path}[{number}]")


def test_an_unknown_field_would_be_noticed():
    [runtime] = [one for one in build("base") if one["kind"] == "ClusterTrainingRuntime"]
    wrong = {**runtime, "spec": {**runtime["spec"], "mlPolicy": {"numNodes": 1, "tensorflow": {}}}}
    with pytest.raises(AssertionError):
        assert_known_to_trainer(wrong)
    [namespace] = [one for one in build("base") if one["kind"] == "Namespace"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**namespace, "specs": {}}, NEWEST, strict=True)


@built
def test_names_are_unique(objects):
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", EVERY)
def test_whatever_a_pod_refers_to_exists(name):
    objects = overlay(name)
    present = {
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one
        for one in (*objects, *new_secrets(name))
    }
    present |= {("Secret", "kubeflow", secret): {"data": data} for secret, data in KUBEFLOWS_OWN.items()}
    for owner, namespace, template in pods(objects):
        for kind, target, key in references(template["spec"]):
            found = present.get((kind, namespace, target))
            assert found, f"{owner}: no {kind} {namespace}/{target}"
            assert key is None or key in {**found.get("data", {}), **found.get("stringData", {})}, (
                owner,
                key,
            )


def references(spec: Object) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of everything that a pod needs to start."""
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"], None
    sources = [*spec.get("volumes", [])]
    for container in containers({"spec": spec}):
        sources += container.get("envFrom", [])
        sources += [one["valueFrom"] for one in container.get("env", []) if "valueFrom" in one]
    for source in sources:
        for field, (kind, key) in SOURCES.items():
            if field in source:
                yield kind, source[field][key], source[field].get("key")


@pytest.mark.parametrize("name", EVERY)
def test_variables_in_arguments_have_values(name):
    """Kubernetes leaves `$(NAME)` as it is if there is no such variable."""
    objects = overlay(name)
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    for owner, _, template in pods(objects):
        for container in containers(template):
            known = {variable["name"] for variable in container.get("env", [])}
            for source in container.get("envFrom", []):
                known |= maps.get(source.get("configMapRef", {}).get("name"), {}).keys()
            for argument in container.get("args", []):
                if "$(" in argument:
                    assert argument.split("$(")[1].split(")")[0] in known, (owner, argument)


SETTINGS = {
    "kind": "overlays/kind/pipelines.yaml",
    "gke": "overlays/gke/pipelines.yaml",
    ALONE: "pipelines/kubeflow-alone.yaml",
}


@pytest.mark.parametrize("name", EVERY)
def test_whatever_the_steps_need_exists(name):
    """Their Secrets, and the Services that their settings name, of ours and of Kubeflow's own."""
    settings = load_settings(INFRA / SETTINGS[name], {})
    made = {
        one["metadata"]["name"]: one["stringData"]
        for one in new_secrets(name)
        if one["metadata"]["namespace"] == "kubeflow"
    }
    for one in (*settings.secret_env.values(), *settings.storage.secret_env.values()):
        assert one.key in {**made, **KUBEFLOWS_OWN}[one.secret]
    assert settings.env["MLFLOW_TRACKING_USERNAME"] == settings.secret_env["MLFLOW_TRACKING_PASSWORD"].key
    services = {
        f"{one['metadata']['name']}.{one['metadata']['namespace']}:{port['port']}"
        for one in overlay(name)
        if one["kind"] == "Service"
        for port in one["spec"]["ports"]
    }
    kubeflows = {"seaweedfs.kubeflow:9000"}
    for uri in filter(None, (settings.tracking_uri, settings.storage.endpoint)):
        assert uri.removeprefix("http://") in services | kubeflows
    [server] = [template for owner, _, template in pods(overlay(name)) if owner == "mlflow"]
    hosts = {one["name"]: one.get("value", "") for one in server["spec"]["containers"][0]["env"]}
    assert settings.tracking_uri.removeprefix("http://") in hosts["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


@pytest.mark.parametrize("name", EVERY)
def test_every_secret_the_command_makes_is_used(name):
    objects = overlay(name)
    wanted = [one for _, _, template in pods(objects) for one in references(template["spec"])]
    used = {target for kind, target, _ in wanted if kind == "Secret"}
    made = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in new_secrets(name)}
    servers = "kubeflow" if name == ALONE else "angiopipe"
    assert {target for namespace, target in made if namespace == servers} == used - KUBEFLOWS_OWN.keys()
    assert not [one for one in objects if one["kind"] == "Secret"]


def test_secrets_are_new_each_time():
    command = [INFRA / "new-secrets", "kind"]
    first, second = (subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2))
    assert first != second
    for wrong in (
        ["aws"],
        ["kind", "anna"],
        ["kind", "--reader"],
        ["kind", "--reader", "a b"],
        ["kind", "--reader", ".a"],
    ):
        refused = subprocess.run([INFRA / "new-secrets", *wrong], capture_output=True)
        assert (refused.returncode, refused.stdout) == (2, b"")


def test_people_get_a_password_each():
    made = {
        one["metadata"]["name"]: one["stringData"]
        for one in new_secrets("gke", "--reader", "a", "--promoter", "b.c", "--reader", "d")
    }
    assert [set(made[f"mlflow-{kind}"]) for kind in ("readers", "promoters", "admins")] == [
        {"a", "d"},
        {"b.c"},
        {"admin"},
    ]
    assert len({value for data in made.values() for value in data.values()}) == sum(map(len, made.values()))


@built
def test_every_service_leads_to_pods_that_listen(objects):
    for service in (one for one in objects if one["kind"] == "Service"):
        [template] = [
            template
            for _, namespace, template in pods(objects)
            if namespace == service["metadata"]["namespace"]
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        ports = {
            port["name"]: port["containerPort"]
            for one in containers(template)
            for port in one.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


@all_pods
def test_no_pod_may_more_than_it_must(template):
    spec = template["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(template):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        # Training workers stage their shards on the root file system.
        assert context.get("readOnlyRootFilesystem", False) is (container["name"] != "node")


@all_pods
def test_every_container_states_what_it_needs(template):
    for container in containers(template):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert "memory" in resources["limits"]
        _, _, tag = container["image"].rpartition(":")
        assert tag
        assert tag != "latest"


@built
def test_every_server_is_probed(objects):
    for owner, _, template in pods(objects):
        for container in template["spec"]["containers"]:
            if "ports" in container:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), owner
                named = {port["name"] for port in container["ports"]}
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    check = container[probe].get("httpGet") or container[probe].get("tcpSocket")
                    assert check is None or check["port"] in named


def test_our_images_are_those_of_the_components():
    used = {
        container["image"] for _, _, template in pods(build("base")) for container in containers(template)
    }
    ours = {image for image in used if image.startswith("angiopipe/")}
    version = BASE_IMAGE.partition(":")[2]
    assert ours == {BASE_IMAGE, TRAIN_IMAGE, f"angiopipe/mlflow:{version}", f"angiopipe/flink:{version}"}


def test_in_the_cloud_every_image_of_ours_comes_from_the_registry():
    images = [
        container["image"] for _, _, template in pods(overlay("gke")) for container in containers(template)
    ]
    assert not [image for image in images if image.startswith("angiopipe/")]
    assert {image.split("/")[0] for image in images if "angiopipe/" in image} == {
        "europe-west4-docker.pkg.dev"
    }


def test_only_training_may_use_gpus():
    quotas = {
        one["metadata"]["namespace"]: one["spec"]["hard"]
        for one in build("base")
        if one["kind"] == "ResourceQuota"
    }
    assert quotas["angiopipe"] == {"requests.nvidia.com/gpu": "0"}
    assert int(quotas["kubeflow"]["requests.nvidia.com/gpu"]) > 0
