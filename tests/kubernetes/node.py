"""A node for the control plane: Docker runs the pods of one TrainJob as their specifications say.

It does what a kubelet and a network would, as far as such pods need it: host names, a link between
two pods, variables, secrets, /dev/shm, memory limits, and status back to the API server. A folder
that all containers see stands for the object store.
"""

from __future__ import annotations

import base64
import subprocess
import threading
from pathlib import Path
from typing import Any

import docker
from angiopipe.cluster.pods import read_pod
from tests.docker_engine import memory_bytes
from tests.kubernetes.servers import ControlPlane
from tests.unit.infra.built import Object

ADDRESS = "10.99.0.{}"
LOG_LINES = 20


class Node(threading.Thread):
    """Runs the pods of one TrainJob to their ends.

    Attributes:
      logs: what each worker printed.
    """

    def __init__(
        self, cluster: ControlPlane, engine: docker.DockerClient, trainjob: str, workers: int, folder: Path
    ):
        super().__init__(daemon=True)
        self.logs: dict[int, str] = {}
        self._cluster, self._engine, self._folder = cluster, engine, folder
        self._trainjob, self._workers = trainjob, workers
        self._ended = threading.Event()
        self._made: list[Any] = []

    def run(self) -> None:
        pods: list[Object] = []
        while len(pods) < self._workers and not self._ended.wait(0.5):
            pods = self._cluster.workers(self._trainjob)
        networks = [self._start_network(pod, pods) for pod in pods]
        self._connect(networks)
        running = [self._start(pod, network) for pod, network in zip(pods, networks, strict=True)]
        for pod in pods:
            self._cluster.tell_running(pod)
        for pod, container in zip(pods, running, strict=True):
            code = container.wait()["StatusCode"]
            log = self.logs[read_pod(pod).worker] = container.logs().decode(errors="replace")
            if not self._ended.is_set():
                last = "\n".join(log.splitlines()[-LOG_LINES:])
                self._cluster.tell_ended(pod, code, last if code else "")

    def stop(self) -> None:
        self._ended.set()
        for one in reversed(self._made):
            one.remove(force=True)
        self.join()

    def _start_network(self, pod: Object, pods: list[Object]) -> Any:
        """What a pod's containers share: host name, the names of its peers, no way out."""
        names = {f"{one['spec']['hostname']}.{one['spec']['subdomain']}": _address(one) for one in pods}
        own = pod["spec"]["hostname"]
        network = self._engine.containers.run(
            pod["spec"]["containers"][0]["image"],
            ["sleep", "infinity"],
            hostname=own,
            extra_hosts={**names, own: _address(pod)},
            network_mode="none",
            detach=True,
        )
        network.reload()
        self._made.append(network)
        return network

    def _connect(self, networks: list[Any]) -> None:
        """A virtual cable between two pods; one alone needs none."""
        if len(networks) < 2:
            return
        ends = ("angiopipe0", "angiopipe1")
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (end, network) in enumerate(zip(ends, networks, strict=True), start=1):
            process = str(network.attrs["State"]["Pid"])
            _ip("link", "set", end, "netns", process)
            _ip("address", "add", f"{ADDRESS.format(number)}/24", "dev", end, inside=process)
            _ip("link", "set", end, "up", inside=process)

    def _start(self, pod: Object, network: Any) -> Any:
        [spec] = pod["spec"]["containers"]
        mounts = {one["name"]: one["mountPath"] for one in spec.get("volumeMounts", ())}
        memory = {
            mounts[one["name"]]: f"size={memory_bytes(one['emptyDir']['sizeLimit'])}"
            for one in pod["spec"]["volumes"]
            if one.get("emptyDir", {}).get("medium") == "Memory"
        }
        container = self._engine.containers.run(
            spec["image"],
            [argument.replace("$$", "$") for argument in spec["args"]],
            entrypoint=spec["command"],
            environment={one["name"]: self._value(one, pod) for one in spec["env"]},
            cap_drop=spec["securityContext"]["capabilities"]["drop"],
            security_opt=["no-new-privileges"],
            mem_limit=memory_bytes(spec["resources"]["limits"]["memory"]),
            tmpfs=memory,
            network_mode=f"container:{network.id}",
            volumes={str(self._folder): {"bind": str(self._folder), "mode": "rw"}},
            detach=True,
        )
        self._made.append(container)
        return container

    def _value(self, variable: Object, pod: Object) -> str:
        """A variable's value as a kubelet finds it."""
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            place, _, key = source["fieldRef"]["fieldPath"].partition("['")
            return pod["metadata"][place.removeprefix("metadata.")][key.removesuffix("']")]
        if "secretKeyRef" in source:
            wanted = source["secretKeyRef"]
            [secret] = [
                one
                for one in self._cluster.get("secrets", "kubeflow")
                if one["metadata"]["name"] == wanted["name"]
            ]
            return base64.b64decode(secret["data"][wanted["key"]]).decode()
        return variable.get("value", "").replace("$$", "$")


def _address(pod: Object) -> str:
    return ADDRESS.format(read_pod(pod).worker + 1)


def _ip(*arguments: str, inside: str = "") -> None:
    """`ip` here, or in the network of a process."""
    enter = ["nsenter", "--target", inside, "--net"] if inside else []
    subprocess.run([*enter, "ip", *arguments], check=True, capture_output=True, text=True)
