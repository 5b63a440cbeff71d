"""What a model was made with is told as it is."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from angiopipe.environment import IMAGE_VARIABLE, REVISION_VARIABLE, code, environment

ROOT = Path(__file__).parents[2]


def test_versions_and_hardware_are_this_processs() -> None:
    found = environment()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_gb"] > 0.5
    assert socket.gethostname() not in json.dumps(found["hardware"])


def test_an_image_says_its_own_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REVISION_VARIABLE, "abc123")
    monkeypatch.setenv(IMAGE_VARIABLE, "registry/angiopipe@sha256:1")
    assert code()["commit"] == "abc123"
    assert code()["image"] == "registry/angiopipe@sha256:1"


@pytest.mark.parametrize(("tracked", "changed"), [(True, False), (True, True), (False, False)])
def test_the_commit_is_that_of_the_repository_which_tracks_the_code(
    tmp_path: Path, tracked: bool, changed: bool
) -> None:
    """A package that lies in somebody else's repository, untracked, has no commit."""
    package = tmp_path / "angiopipe"
    package.mkdir()
    for name in ("__init__.py", "environment.py"):
        shutil.copy(ROOT / "angiopipe" / name, package)
    (tmp_path / "other.txt").write_text("somebody's")
    head = commit(tmp_path, "angiopipe" if tracked else "other.txt")
    if changed:
        (package / "__init__.py").write_text("# changed\n")
    show = [sys.executable, "-c", "from angiopipe.environment import _commit; print(_commit())"]
    shown = subprocess.run(show, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert shown == (head + "-modified" * changed if tracked else "")


def commit(folder: Path, path: str) -> str:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", path], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
