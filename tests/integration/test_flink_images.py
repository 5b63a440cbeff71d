"""Flink's pods as containers: the images, commands, users and limits of infra/flink run the graphs on a Docker engine.

What Kubernetes would give them is put in its place: one network namespace, without a way out, for
the pods' network; a folder for the object store. As they share their ports, one TaskManager runs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.records.manifest import ExamplesManifest
from components.face import BASE_IMAGE
from tests.docker_engine import engine_with, memory_bytes, share_with_images
from tests.unit.infra.built import INFRA, Object, containers, named, overlay, pods

docker = pytest.importorskip("docker")

IMAGES = [BASE_IMAGE, f"angiopipe/flink:{version('angiopipe')}"]
START_SECONDS = 120
PORTS = {"JobManager": 8081, "worker pool": 50000, "TaskManager": 6122, "job server": 8099}
SETTINGS = yaml.safe_load((INFRA / "overlays/kind/pipelines.yaml").read_text())
BEAM_ARGS = " ".join(SETTINGS["beam_args"]).replace("--parallelism=2", "--parallelism=1")

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class Pods:
    """The containers of all Flink pods, in one network namespace."""

    def __init__(self, engine: docker.DockerClient, folder: Path):
        self._engine, self._folder = engine, folder
        self._running: list[Any] = []
        self._network: Any = None

    def start(self) -> None:
        objects = overlay("kind")
        config = self._folder / "config"
        config.mkdir()
        for name, content in named(objects, "ConfigMap", "flink")["data"].items():
            (config / name).write_text(content)
        # A pod knows its own name as well.
        names = ("flink-jobmanager", "flink-jobserver.angiopipe", "pod")
        self._network = self._engine.containers.run(
            BASE_IMAGE, ["sleep", "infinity"], detach=True, network_mode="none", hostname="pod",
            extra_hosts=dict.fromkeys(names, "127.0.0.1"),
        )  # fmt: skip
        self._running.append(self._network)
        for owner, _, pod in pods(objects):
            if owner.startswith("flink-"):
                for container in containers(pod):
                    self._start_container(pod["spec"], container)
        for name, port in PORTS.items():
            self._await(name, port)

    def _start_container(self, pod: Object, container: Object) -> None:
        volumes = {one["name"]: one for one in pod["volumes"]}
        mounts, tmpfs = {str(self._folder): {"bind": str(self._folder), "mode": "rw"}}, {}
        for mount in container["volumeMounts"]:
            if "emptyDir" in volumes[mount["name"]]:
                tmpfs[mount["mountPath"]] = "rw,exec,mode=1777"
            else:
                config = str(self._folder / "config")
                mounts[config] = {"bind": mount["mountPath"], "mode": "ro" if mount["readOnly"] else "rw"}
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        arguments = [one.replace("$(POD_IP)", "127.0.0.1") for one in container["args"]]
        self._running.append(
            self._engine.containers.run(
                container["image"],
                arguments,
                entrypoint=container["command"],
                environment={one["name"]: one["value"] for one in container.get("env", ()) if "value" in one},
                user=str(pod["securityContext"].get("runAsUser", "")),
                read_only=confined["readOnlyRootFilesystem"],
                cap_drop=confined["capabilities"]["drop"],
                security_opt=["no-new-privileges"],
                mem_limit=memory_bytes(container["resources"]["limits"]["memory"]),
                network_mode=f"container:{self._network.id}",
                volumes=mounts,
                tmpfs=tmpfs,
                detach=True,
            )
        )

    def _await(self, name: str, port: int) -> None:
        asked = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()"
        until = time.monotonic() + START_SECONDS
        while self._network.exec_run(["python", "-c", asked]).exit_code:
            assert time.monotonic() < until, f"{name} does not answer at {port}\n{self.logs()}"
            time.sleep(1)

    def step(self, *arguments: str) -> None:
        """Runs a step as its pod would, and its graph on Flink."""
        made = self._engine.containers.create(
            BASE_IMAGE, ["python", "-m", "angiopipe", *arguments, f"--beam-args={BEAM_ARGS}"],
            network_mode=f"container:{self._network.id}",
            volumes={str(self._folder): {"bind": str(self._folder), "mode": "rw"}},
        )  # fmt: skip
        self._running.append(made)
        made.start()
        ended = made.wait(timeout=300)
        assert ended["StatusCode"] == 0, f"{made.logs().decode()}\n{self.logs()}"

    def logs(self) -> str:
        return "\n".join(
            f"{one.attrs['Config']['Entrypoint']}: {one.logs(tail=30).decode()}" for one in self._running
        )

    def stop(self) -> None:
        for one in reversed(self._running):
            with suppress(docker.errors.APIError):
                one.remove(force=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cohort) -> Path:
    """What all containers see: images, and a data root for Flink and one for this process, in which all is valid."""
    made = tmp_path_factory.mktemp("flink-images")
    shutil.copytree(Path(cohort.images).parent, made / "cohort")
    images, labels = made / "cohort" / "images", made / "cohort" / Path(cohort.labels).name
    validate(str(images), str(labels), str(made / "inventory.json"), str(made / "root"))
    (made / "on-flink").mkdir()
    share_with_images(made, made / "on-flink")
    return made


@pytest.fixture(scope="module")
def flink(folder: Path) -> Iterator[Pods]:
    with engine_with(IMAGES) as engine:
        running = Pods(engine, folder)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def test_the_graphs_on_flinks_pods_write_what_they_write_here(flink: Pods, folder: Path) -> None:
    root, there = folder / "root", folder / "on-flink"
    inventory, recipe, size = str(folder / "inventory.json"), "kium_vgg16", "preprocessing.size=64"
    ingest(inventory, str(root / "studies.json"), str(root))
    expected = preprocess(
        str(root / "studies.json"), str(root / "examples.json"), str(root), "r", recipe, [size]
    )

    studies, examples = str(there / "studies.json"), str(there / "examples.json")
    flink.step("ingest", "--inventory", inventory, "--out", studies, "--data-root", str(there))
    flink.step(
        "preprocess", "--studies", studies, "--out", examples, "--data-root", str(there), "--recipe", recipe,
        "--overrides", size,
    )  # fmt: skip
    made = ExamplesManifest.read(examples)
    assert made.shards == expected.shards
    assert len(made.shards) == 3
