"""The script that makes MLflow's users and rights what the Secrets say, on a database of MLflow's own."""

from __future__ import annotations

import configparser
import sqlite3
from contextlib import closing

import pytest
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

from infra.base.mlflow import users
from tests.unit.infra.built import new_secrets

PASSWORD = "a-first-password"


@pytest.fixture
def folder(tmp_path):
    """As Kubernetes mounts the Secrets that the documented command prints."""
    for secret in new_secrets("gke", "--promoter", "anna", "--reader", "ben"):
        _, _, kind = secret["metadata"]["name"].partition("-")
        if kind in users.KINDS:
            place = tmp_path / "users" / kind
            (place / "..2026").mkdir(parents=True, exist_ok=True)
            for name in secret["stringData"]:
                (place / "..2026" / name).write_text(PASSWORD)
                if not (place / name).exists():
                    (place / name).symlink_to(place / "..2026" / name)
            if not (place / "..data").exists():
                (place / "..data").symlink_to(place / "..2026")
    return tmp_path / "users"


@pytest.fixture
def start(folder, tmp_path, monkeypatch):
    """Runs the script as the server's pod does; the store as it is then."""
    database = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", database)

    def run():
        users.main(str(folder), str(tmp_path / "auth.ini"))
        store = SqlAlchemyStore()
        store.init_db(database)
        return store

    return run


def roles(store, name):
    return {role.name for role in store.list_user_roles(store.get_user(name).id)}


def everything(store):
    names = ("users", "roles", "role_permissions", "user_role_assignments")
    with closing(sqlite3.connect(store.db_uri.removeprefix("sqlite:///"))) as database:
        return {name: database.execute(f"select * from {name}").fetchall() for name in names}


def test_everybody_is_made_once(start, tmp_path):
    store = start()
    assert {user.username: user.is_admin for user in store.list_users()} == {
        "admin": True, "pipeline": False, "anna": False, "ben": False,
    }  # fmt: skip
    assert store.authenticate_user("anna", PASSWORD)
    assert [roles(store, name) for name in ("pipeline", "anna", "ben")] == [{"editors"}, {"editors"}, set()]
    [editors] = store.list_roles()
    assert {(one.resource_type, one.resource_pattern, one.permission) for one in editors.permissions} == {
        ("experiment", "*", "EDIT"),
        ("registered_model", "*", "EDIT"),
    }
    before = everything(store)
    assert everything(start()) == before
    settings = configparser.ConfigParser()
    settings.read(tmp_path / "auth.ini")
    assert settings["mlflow"]["database_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings["mlflow"]["default_permission"] == "READ"
    assert PASSWORD not in (tmp_path / "auth.ini").read_text()


def test_people_keep_the_passwords_they_chose_and_steps_the_secrets(start, folder):
    store = start()
    for name in ("anna", "pipeline", "admin"):
        store.update_user(name, "another-password")
    store = start()
    assert store.authenticate_user("anna", "another-password")
    assert store.authenticate_user("pipeline", PASSWORD)
    assert store.authenticate_user("admin", PASSWORD)


def test_who_moves_between_secrets_moves_between_rights_and_who_leaves_is_out(start, folder):
    start()
    (folder / "promoters" / "anna").rename(folder / "readers" / "anna")
    (folder / "readers" / "ben").unlink()
    (folder / "admins" / "carl").write_text(PASSWORD)
    store = start()
    assert roles(store, "anna") == set()
    assert not store.has_user("ben")
    assert store.get_user("carl").is_admin
    (folder / "admins" / "carl").rename(folder / "promoters" / "carl")
    store = start()
    assert not store.get_user("carl").is_admin
    assert roles(store, "carl") == {"editors"}


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_done(start, folder):
    (folder / "readers" / "anna").write_text(PASSWORD)
    (folder / "readers" / "ben").unlink()
    (folder / "readers" / "ben").write_text("short")
    (folder / "admins" / "admin").unlink()
    with pytest.raises(ValueError, match="expected users and their passwords, found") as caught:
        start()
    for fault in (
        "anna is there 2 times: leave it in one of admins, steps, promoters, readers",
        "ben in readers: Password must be at least 12 characters.",
        "admins holds nobody: name one",
    ):
        assert fault in str(caught.value)
    assert not (folder.parent / "mlflow.db").exists()


def test_a_percent_sign_in_the_databases_uri_is_read_as_it_is(tmp_path):
    uri = "postgresql+psycopg2://mlflow@/mlflow?host=%2Fsockets"
    users.write_settings(tmp_path / "auth.ini", uri, "admin")
    settings = configparser.ConfigParser()
    settings.read(tmp_path / "auth.ini")
    assert settings["mlflow"]["database_uri"] == uri
