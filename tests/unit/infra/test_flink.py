"""Flink in the cluster is the Flink that `make test-flink` proves."""

from __future__ import annotations

import re

import yaml

from infra.flink import local_cluster
from tests.unit.infra.built import INFRA, build, named, pod

FLINK = INFRA / "flink"
CLASSES = {
    "flink-jobmanager": local_cluster.JOB_MANAGER,
    "flink-taskmanager": local_cluster.TASK_MANAGER,
    "flink-jobserver": local_cluster.JOB_SERVER,
}


def arguments(owner: str) -> list[str]:
    [container] = pod(build("base"), owner)["spec"]["containers"]
    return container["args"]


def options(owner: str) -> dict[str, str]:
    """Flink's own settings on the command line."""
    return dict(one[2:].split("=", 1) for one in arguments(owner) if one.startswith("-D"))


def test_the_configuration_and_the_pool_are_the_proved_ones():
    data = named(build("base"), "ConfigMap", "flink")["data"]
    assert data == {name: (FLINK / name).read_text() for name in ("flink-conf.yaml", "worker_pool.py")}


def test_every_jvm_starts_as_the_proved_one():
    dockerfile = (INFRA.parent / "docker" / "flink" / "Dockerfile").read_text()
    assert "COPY java.options /opt/flink/" in dockerfile
    assert local_cluster.JAVA_OPTIONS[0] == f"@{FLINK / 'java.options'}"
    for owner, main in CLASSES.items():
        [container] = pod(build("base"), owner)["spec"]["containers"]
        assert container["command"] == [
            "java",
            "@/opt/flink/java.options",
            "-cp",
            "/opt/flink/beam-flink.jar",
        ]
        assert container["args"][0] == main


def test_each_process_reads_the_configuration():
    for owner in CLASSES:
        template = pod(build("base"), owner)
        [container] = template["spec"]["containers"]
        assert "/etc/flink" in " ".join(container["args"])
        [volume] = [one for one in template["spec"]["volumes"] if one["name"] == "config"]
        assert volume["configMap"]["name"] == named(build("base"), "ConfigMap", "flink")["metadata"]["name"]
        assert {"name": "config", "mountPath": "/etc/flink", "readOnly": True} in container["volumeMounts"]


def test_each_taskmanager_has_a_pool_of_its_own_on_loopback():
    spec = pod(build("base"), "flink-taskmanager")["spec"]
    [pool] = spec["initContainers"]
    assert pool["restartPolicy"] == "Always"
    assert pool["command"] == ["python", "/etc/flink/worker_pool.py"]
    assert pool["args"] == ["127.0.0.1:50000"]
    assert "ports" not in pool
    replicas = named(build("overlays/gke"), "Deployment", "flink-taskmanager")["spec"]["replicas"]
    assert replicas > 1


def test_the_parts_find_one_another():
    services = {
        name: named(build("base"), "Service", name) for name in ("flink-jobmanager", "flink-jobserver")
    }
    ports = {name: {port["port"] for port in one["spec"]["ports"]} for name, one in services.items()}
    manager, worker = options("flink-jobmanager"), options("flink-taskmanager")
    assert manager["jobmanager.rpc.address"] == worker["jobmanager.rpc.address"] == "flink-jobmanager"
    assert manager["jobmanager.rpc.port"] == worker["jobmanager.rpc.port"]
    own = ("jobmanager.rpc.port", "blob.server.port", "rest.port")
    assert ports["flink-jobmanager"] == {int(manager[name]) for name in own}
    assert f"--flink-master=flink-jobmanager:{manager['rest.port']}" in arguments("flink-jobserver")
    server = dict(re.findall(r"--(job|artifact)-port=(\d+)", " ".join(arguments("flink-jobserver"))))
    assert ports["flink-jobserver"] == {int(port) for port in server.values()}


def test_steps_are_not_sent_to_their_own_pod():
    """Beam tells a step to send its artifacts to the job server's host as it was told: never 0.0.0.0."""
    assert "--job-host=$(POD_IP)" in arguments("flink-jobserver")
    assert options("flink-taskmanager")["taskmanager.host"] == "$(POD_IP)"


def test_the_memory_of_the_configuration_fits_into_the_pod():
    config = yaml.safe_load((FLINK / "flink-conf.yaml").read_text())
    sizes = {key: int(value[:-1]) for key, value in config.items() if key.startswith("taskmanager.memory")}
    total = sum(size for key, size in sizes.items() if not key.endswith(".min"))
    assert total == 960
    [container] = pod(build("base"), "flink-taskmanager")["spec"]["containers"]
    assert int(container["resources"]["limits"]["memory"].removesuffix("Mi")) >= 1.2 * total
