"""The server as it is deployed: who gets in, who may do what, and what those read who may not."""

from __future__ import annotations

import base64
import getpass
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

from angiopipe.records.manifest import StudiesManifest
from angiopipe.registry.aliases import CHALLENGER, CHAMPION, Aliases
from angiopipe.registry.champion import history, rollback
from angiopipe.registry.connect import in_words
from angiopipe.registry.login import MlflowRefused, user_of
from angiopipe.registry.news import news
from angiopipe.registry.patience import Patience
from angiopipe.registry.promote import promote
from angiopipe.registry.register import RegistrationManifest, register
from angiopipe.registry.score import score
from tests import finished_run
from tests.conftest import Cohort
from tests.servers.deployed import Place, password
from tests.servers.mlflow_server import MlflowServer
from tests.unit.infra.built import overlay, pod

pytestmark = pytest.mark.servers

LogIn = Callable[..., None]
EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def status(place: Place, server: MlflowServer, host: str, user: str = "", path: str = EXPERIMENT) -> int:
    port = server.uri.rpartition(":")[2]
    request = urllib.request.Request(f"{server.uri}{path}", headers={"Host": f"{host}:{port}"})
    if user:
        told = base64.b64encode(f"{user}:{password(place, user)}".encode()).decode()
        request.add_header("Authorization", f"Basic {told}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_answers_to_its_services_names_only(place: Place, server: MlflowServer) -> None:
    for host in ("mlflow", "mlflow.angiopipe", "mlflow.angiopipe.svc.cluster.local", "localhost"):
        assert status(place, server, host, "ben") == 200
    assert status(place, server, "evil.example.org", "ben") == 403


def test_nobody_gets_in_without_a_password_but_the_probes_do(place: Place, server: MlflowServer) -> None:
    assert status(place, server, "mlflow") == 401
    [container] = pod(overlay("kind"), "mlflow")["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert status(place, server, "mlflow", path=container[probe]["httpGet"]["path"]) == 200


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of `register`, for a run that has ended."""
    return finished_run.write_run(tmp_path_factory.mktemp("root"), "guarded")


@pytest.fixture
def registered(server: MlflowServer, arguments: dict[str, Any], log_in: LogIn) -> RegistrationManifest:
    """By the pipeline's user; again it is the same version."""
    log_in("pipeline")
    return register(**arguments, tracking_uri=server.uri)


def test_who_moves_an_alias_is_who_is_logged_in(
    place: Place,
    server: MlflowServer,
    registered: RegistrationManifest,
    log_in: LogIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, host = registered.model_name, socket.gethostname()
    client = MlflowClient(server.uri)
    assert client.get_run(registered.mlflow_run_id).data.tags["mlflow.user"] == "pipeline"
    aliases = Aliases(client, name)
    assert aliases.read(CHALLENGER).counted[-1].entry.who == f"pipeline@{host}"

    log_in("anna")
    aliases.move(CHAMPION, registered.version, "looked at it", "promote", aliases.read(CHAMPION))
    assert aliases.read(CHAMPION).counted[-1].entry.who == f"anna@{host}"
    # A password in MLflow's own file, and no variable: the machine's user is somebody else.
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        f"[mlflow]\nmlflow_tracking_username = anna\nmlflow_tracking_password = {password(place, 'anna')}\n"
    )
    assert getpass.getuser() != "anna"
    assert user_of(server.uri) == "anna"


def test_who_it_is_where_no_server_asks(sqlite_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_of(sqlite_server.uri) == getpass.getuser()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "of-a-proxy")
    assert user_of(sqlite_server.uri) == "of-a-proxy"


Ask = Callable[[], object]


@pytest.fixture
def asks(
    server: MlflowServer,
    arguments: dict[str, Any],
    registered: RegistrationManifest,
    cohort: Cohort,
    tmp_path: Path,
) -> dict[str, Ask]:
    """Every step and command that asks MLflow for something, by name."""
    studies = StudiesManifest(
        fingerprint="a" * 16, data_fingerprint=finished_run.FINGERPRINT, location=str(tmp_path), shards=()
    )
    studies.write(str(tmp_path / "studies.json"))
    (tmp_path / "list.csv").write_text("Index\n1\n")
    images, mlflow = str(cohort.images), {"tracking_uri": server.uri}
    out = {"out": str(tmp_path / "out.json"), "data_root": str(tmp_path)}
    version = {"version": registered.version, "why": "w", "evaluation": arguments["evaluation"]}
    new = finished_run.write_run(tmp_path / "new", "another", seed=5)
    return {
        "register": lambda: register(**new, **mlflow),
        "promote": lambda: promote(**mlflow, **out, **version, studies=str(tmp_path / "studies.json")),
        "rollback": lambda: rollback("w", **mlflow),
        "repair": lambda: history(**mlflow, repair=True),
        "history": lambda: history(**mlflow),
        "news": lambda: news(images, str(cohort.labels), **out, **mlflow),
        "score": lambda: score(images, str(tmp_path / "list.csv"), **out, **mlflow),
    }


@pytest.mark.parametrize("name", ["register", "promote", "rollback", "repair", "history", "news", "score"])
def test_a_wrong_password_is_one_sentence(
    asks: dict[str, Ask], server: MlflowServer, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    log_in("ben", "not-bens-password")
    with pytest.raises(MlflowRefused) as caught:
        asks[name]()
    assert str(caught.value).startswith(f"MLflow at {server.uri}: it does not let ben in with this password")
    assert "have its administrator give ben a new one" in str(caught.value)
    assert "not-bens-password" not in str(caught.value)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    with pytest.raises(MlflowRefused, match="it asks for a password, expected MLFLOW_TRACKING_USERNAME and"):
        asks[name]()


@pytest.mark.parametrize("name", ["register", "promote", "repair"])
def test_who_may_only_read_is_told_what_he_may_not(
    asks: dict[str, Ask], server: MlflowServer, registered: RegistrationManifest, log_in: LogIn, name: str
) -> None:
    if name == "repair":
        MlflowClient(server.uri).set_registered_model_alias(registered.model_name, CHALLENGER, "1")
        Aliases(MlflowClient(server.uri), registered.model_name).client.delete_registered_model_alias(
            registered.model_name, CHALLENGER
        )
    log_in("ben")
    asks["history"]()
    asks["news"]()
    with pytest.raises(MlflowRefused) as caught:
        asks[name]()
    said = str(caught.value)
    assert said.startswith(f"MLflow at {server.uri}: expected that ben may go on ")
    assert (
        "found that it is not allowed or not there (Permission denied); have its administrator give ben the right"
        in said
    )


def test_a_file_that_may_not_be_stored_is_the_same_sentence(
    server: MlflowServer, registered: RegistrationManifest, log_in: LogIn, tmp_path: Path
) -> None:
    """Files go through another of MLflow's clients, which raises errors of its own."""
    (tmp_path / "note.txt").write_text("mine")
    log_in("ben")
    ask = Patience(server.uri, 5, "")
    for store in (
        lambda: MlflowClient(server.uri).log_artifact(registered.mlflow_run_id, str(tmp_path / "note.txt")),
        lambda: MlflowClient(server.uri).log_artifacts(registered.mlflow_run_id, str(tmp_path)),
    ):
        with pytest.raises(MlflowRefused, match="ben may go on storing note.txt"):
            ask("storing note.txt", store)
        with (
            pytest.raises(MlflowRefused, match="ben may go on working on the note"),
            in_words(server.uri, "the note"),
        ):
            store()


def test_the_command_line_says_it_in_one_line(server: MlflowServer, log_in: LogIn) -> None:
    log_in("ben", "not-bens-password")
    command = [sys.executable, "-m", "angiopipe", "history", "--tracking-uri", server.uri]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"angiopipe history: MLflow at {server.uri}: it does not let ben in")
    assert done.stderr.count("\n") == 1


def test_what_the_server_itself_enforces(
    server: MlflowServer, registered: RegistrationManifest, log_in: LogIn
) -> None:
    """Readers read, editors do not delete, and only admins make users."""
    client, name = MlflowClient(server.uri), registered.model_name
    log_in("anna")
    for forbidden in (
        lambda: client.delete_model_version(f"{name}-ledger", "1"),
        lambda: client.delete_registered_model(name),
        lambda: get_app_client("basic-auth", server.uri).create_user("eve", "a-long-password"),
    ):
        with pytest.raises(MlflowException, match="403"):
            forbidden()
    log_in("ben")
    assert client.get_model_version_by_alias(name, CHALLENGER).version == str(registered.version)
    with pytest.raises(MlflowException, match="403"):
        client.set_registered_model_alias(name, CHAMPION, "1")


def test_starting_again_keeps_a_password_that_was_chosen_and_puts_leavers_out(
    server: MlflowServer, place: Place, log_in: LogIn
) -> None:
    log_in("anna")
    get_app_client("basic-auth", server.uri).update_user_password(
        "anna", "anna-chose-this", current_password=password(place, "anna")
    )
    (place.mounts["/users"] / "readers" / "ben").unlink()
    server.kill()
    assert "ben is in no Secret any more" in place.run("mlflow", "users")
    server.start()
    log_in("anna", "anna-chose-this")
    assert user_of(server.uri) == "anna"
    log_in("ben")
    with pytest.raises(MlflowException, match="401"):
        user_of(server.uri)
