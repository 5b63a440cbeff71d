"""Who may talk to whom: the policies are evaluated as Kubernetes would, against the pods' real labels."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from angiopipe.cluster.settings import load_cluster_settings
from angiopipe.cluster.trainjob import TrainJob
from tests.unit.infra.built import ALONE, INFRA, OVERLAYS, Object, overlay, pods

GOOGLE = "142.250.179.123"
METADATA = "169.254.169.254"
KUBERNETES = "10.96.0.1"


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: dict[str, str]


# Kubeflow's own label, and those of the step that launches training: like its workers it is called `train`.
STEP = Pod(
    "kubeflow",
    {
        "pipelines.kubeflow.org/v2_component": "true",
        "app.kubernetes.io/name": "angiopipe",
        "app.kubernetes.io/component": "train",
    },
)
STRANGER = Pod("kubeflow", {"app": "ml-pipeline-ui"})
NEIGHBOUR = Pod("default", STEP.labels)
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})


def cast(name: str) -> dict[str, Pod | str]:
    """Everybody on the stage of an overlay; a string is an address outside the cluster."""
    settings = load_cluster_settings(str(INFRA / "overlays" / name / "training.yaml"))
    [patch] = TrainJob("run-1", (), settings).body()["spec"]["runtimePatches"]
    [job] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    worker = Pod(settings.namespace, job["template"]["spec"]["template"]["metadata"]["labels"])
    ours = {
        owner: Pod(namespace, template["metadata"].get("labels", {}))
        for owner, namespace, template in pods(overlay(name))
    }
    others = {"step": STEP, "worker": worker, "stranger": STRANGER, "neighbour": NEIGHBOUR, "dns": DNS}
    return {**ours, **others, "google": GOOGLE, "metadata": METADATA, "kubernetes": KUBERNETES}


def may_talk(
    objects: tuple[Object, ...], source: Pod, target: Pod | str, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the source may send and the target may receive."""
    sends = passes(objects, source, "egress", target, port, protocol)
    return sends and (isinstance(target, str) or passes(objects, target, "ingress", source, port, protocol))


def passes(
    objects: tuple[Object, ...], pod: Pod, direction: str, peer: Pod | str, port: int, protocol: str
) -> bool:
    """Whether one of the policies for a pod lets the traffic through; without any, all of it may pass."""
    policies = [
        one["spec"]
        for one in objects
        if one["kind"] == "NetworkPolicy" and one["metadata"]["namespace"] == pod.namespace
        if direction.capitalize() in one["spec"]["policyTypes"]
        and matches(one["spec"]["podSelector"], pod.labels)
    ]
    rules = [rule for policy in policies for rule in policy.get(direction, [])]
    side = "to" if direction == "egress" else "from"
    return not policies or any(
        any(is_peer(one, pod.namespace, peer) for one in rule[side])
        and any(
            (open_.get("port"), open_.get("protocol", "TCP")) == (port, protocol)
            for open_ in rule.get("ports", [{"port": port, "protocol": protocol}])
        )
        for rule in rules
    )


def is_peer(rule: Object, namespace: str, peer: Pod | str) -> bool:
    if isinstance(peer, str):
        block = rule.get("ipBlock")
        return bool(block) and (
            ip_address(peer) in ip_network(block["cidr"])
            and not any(ip_address(peer) in ip_network(hole) for hole in block.get("except", []))
        )
    if "ipBlock" in rule:
        return False  # The pods' network is private, and every block here is outside of private networks.
    place = rule.get("namespaceSelector")
    here = (
        peer.namespace == namespace
        if place is None
        else matches(place, {"kubernetes.io/metadata.name": peer.namespace})
    )
    return here and matches(rule.get("podSelector", {}), peer.labels)


def matches(selector: Object, labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert {one["operator"] for one in expressions} <= {"In", "Exists"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        one["key"] in labels and ("values" not in one or labels[one["key"]] in one["values"])
        for one in expressions
    )


TALK = [
    ("step", "kubernetes", 443),
    ("step", "stranger", 8887),
    ("step", "mlflow", 5000),
    ("step", "flink-jobserver", 8099),
    ("step", "flink-jobserver", 8098),
    ("mlflow", "postgres", 5432),
    ("mlflow-backup", "postgres", 5432),
    ("mlflow-restore", "postgres", 5432),
    ("flink-jobserver", "flink-jobmanager", 8081),
    ("flink-taskmanager", "flink-jobmanager", 6123),
    ("flink-taskmanager", "flink-jobmanager", 6124),
    ("flink-jobmanager", "flink-taskmanager", 6122),
    ("flink-taskmanager", "flink-taskmanager", 6121),
    ("worker", "worker", 2222),
    ("worker", "worker", 41234),
]
ON_KIND = [
    (who, "object-store", 8333)
    for who in ("step", "worker", "mlflow", "mlflow-backup", "mlflow-restore", "flink-taskmanager")
]
ON_GKE = [
    (who, where, port)
    for who in ("worker", "mlflow", "mlflow-backup", "mlflow-restore", "flink-taskmanager")
    for where, port in (("google", 443), ("metadata", 80))
]
SILENCE = [
    ("worker", "kubernetes", 443),
    ("worker", "stranger", 8887),
    ("mlflow", "kubernetes", 443),
    ("stranger", "mlflow", 5000),
    ("neighbour", "mlflow", 5000),
    ("neighbour", "flink-jobserver", 8099),
    ("step", "postgres", 5432),
    ("step", "flink-jobmanager", 8081),
    ("step", "flink-taskmanager", 50000),
    ("step", "worker", 2222),
    ("worker", "mlflow", 5000),
    ("worker", "flink-jobserver", 8099),
    ("flink-taskmanager", "postgres", 5432),
    ("flink-taskmanager", "flink-taskmanager", 50000),
    ("flink-jobmanager", "google", 443),
    ("postgres", "google", 443),
    ("mlflow", "google", 22),
    ("postgres", "mlflow", 5000),
]


@pytest.mark.parametrize(
    ("name", "source", "target", "port"),
    [(name, *one) for name in OVERLAYS for one in (*TALK, *(ON_KIND if name == "kind" else ON_GKE))],
)
def test_those_who_must_talk_may(name, source, target, port):
    everybody = cast(name)
    assert may_talk(overlay(name), everybody[source], everybody[target], port)


@pytest.mark.parametrize(
    ("name", "source", "target", "port"),
    [
        *((name, *one) for name in OVERLAYS for one in SILENCE),
        *(("kind", who, "google", 443) for who in ("worker", "mlflow", "mlflow-backup", "flink-taskmanager")),
        *(
            ("kind", who, "object-store", port)
            for who, port in (("postgres", 8333), ("step", 9333), ("stranger", 8333))
        ),
    ],
)
def test_nobody_else_does(name, source, target, port):
    everybody = cast(name)
    assert not may_talk(overlay(name), everybody[source], everybody[target], port)


@pytest.mark.parametrize("name", OVERLAYS)
def test_everybody_may_look_names_up(name):
    everybody = cast(name)
    for owner, _, template in pods(overlay(name)):
        source = (
            everybody["worker"] if template["spec"]["containers"][0]["name"] == "node" else everybody[owner]
        )
        assert may_talk(overlay(name), source, DNS, 53, "UDP"), owner
        assert may_talk(overlay(name), source, DNS, 53), owner


def test_beside_kubeflow_alone_mlflow_talks_to_steps_and_store_only():
    ours = {
        owner: Pod(namespace, template["metadata"]["labels"])
        for owner, namespace, template in pods(overlay(ALONE))
    }
    store = Pod("kubeflow", {"app": "seaweedfs"})
    assert may_talk(overlay(ALONE), STEP, ours["mlflow"], 5000)
    for who in ("mlflow", "mlflow-backup", "mlflow-restore"):
        assert may_talk(overlay(ALONE), ours[who], store, 8333)
        assert may_talk(overlay(ALONE), ours[who], DNS, 53, "UDP")
        assert not may_talk(overlay(ALONE), ours[who], GOOGLE, 443)
        assert not may_talk(overlay(ALONE), ours[who], STRANGER, 8887)
    for who in (STRANGER, NEIGHBOUR, ours["mlflow-backup"]):
        assert not may_talk(overlay(ALONE), who, ours["mlflow"], 5000)
    assert may_talk(overlay(ALONE), STRANGER, store, 8333)  # Kubeflow's own pods are left as they were.
