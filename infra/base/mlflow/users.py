"""Who may do what in MLflow, from Secrets: `users.py FOLDER SETTINGS`; runs in the server's image before the server.

The folder holds another for each kind of user, in it a file a user, by name, with the password. Nobody else stays a
user, so whoever leaves a Secret is out after the next start, also of a database that was restored.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.validation import _validate_password
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

KINDS = ("admins", "steps", "promoters", "readers")
"""Admins and steps have the Secret's password for good; people change theirs, so that nobody else knows it."""

EDITORS = ("steps", "promoters")
RIGHTS = {"experiment": "EDIT", "registered_model": "EDIT"}
"""What editors may with all of these; others may read, and everybody owns what he creates."""


class User(NamedTuple):
    kind: str
    password: str


def read_users(folder: Path) -> dict[str, User]:
    """Every user by name.

    Args:
      folder: as Kubernetes mounts Secrets, their own links (`..data`) among the files.

    Raises:
      ValueError: there is no admin, a name is there twice, or a password is not one for MLflow; names them all.
    """
    found = [
        (path.name, User(kind, path.read_text().strip()))
        for kind in KINDS
        for path in sorted((folder / kind).glob("*"))
        if not path.name.startswith(".")
    ]
    faults = [
        f"{name} is there {times} times: leave it in one of {', '.join(KINDS)}"
        for name, times in Counter(name for name, _ in found).items()
        if times > 1
    ]
    for name, user in found:
        try:
            _validate_password(user.password)
        except Exception as error:
            faults.append(f"{name} in {user.kind}: {error}")
    if not any(user.kind == "admins" for _, user in found):
        faults.append("admins holds nobody: name one")
    if faults:
        raise ValueError(f"{folder}: expected users and their passwords, found: {'; '.join(faults)}")
    return dict(found)


def settle(store: SqlAlchemyStore, users: dict[str, User]) -> None:
    """Makes the server's users and rights these; again it changes nothing."""
    present = {user.username for user in store.list_users()}
    for name in sorted(present - users.keys()):
        store.delete_user(name)
        print(f"users: {name} is in no Secret any more, and no user")
    for name, (kind, password) in users.items():
        if name not in present:
            store.create_user(name, password, is_admin=kind == "admins")
            print(f"users: {name} is new among {kind}")
            continue
        ours = kind in ("admins", "steps") and not store.authenticate_user(name, password)
        store.update_user(name, password if ours else None, is_admin=kind == "admins")
    _settle_editors(store, {name for name, user in users.items() if user.kind in EDITORS})


def _settle_editors(store: SqlAlchemyStore, editors: set[str]) -> None:
    roles = {role.name: role for role in store.list_roles([DEFAULT_WORKSPACE_NAME])}
    role = roles.get("editors") or store.create_role("editors", DEFAULT_WORKSPACE_NAME)
    present = {right.resource_type: right for right in store.list_role_permissions(role.id)}
    for kind, permission in RIGHTS.items():
        if kind not in present:
            store.add_role_permission(role.id, kind, "*", permission)
    members = {one.user_id for one in store.list_role_users(role.id)}
    for user in store.list_users():
        if user.username in editors and user.id not in members:
            store.assign_role_to_user(user.id, role.id)
        elif user.username not in editors and user.id in members:
            store.unassign_role_from_user(user.id, role.id)


def write_settings(path: Path, database: str, admin: str) -> None:
    """What MLFLOW_AUTH_CONFIG_PATH names: the users lie in MLflow's own database, and so in its backups."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        "database_uri": database.replace("%", "%%"),  # MLflow reads it with interpolation.
        "admin_username": admin,
        "default_permission": "READ",
        # Else each of a model's 150 files costs the hash of a password.
        "auth_cache_ttl_seconds": "60",
    }
    with path.open("w") as file:
        settings.write(file)


def main(folder: str, settings: str) -> None:
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]
    users = read_users(Path(folder))
    store = SqlAlchemyStore()
    store.init_db(database)
    settle(store, users)
    write_settings(
        Path(settings), database, next(name for name, user in users.items() if user.kind == "admins")
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"users: {error}")
