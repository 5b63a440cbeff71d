"""The make targets hand paths on as they are given; a program that prints its arguments stands for ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.odd_paths import ALL, ODD

ROOT = Path(__file__).parents[2]


@pytest.fixture
def arguments_of(tmp_path):
    """What the programs that a target starts are given, one argument after the other."""
    for name in ("python", "angiopipe"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\nfor given in "$@"; do printf "%s\\0" "$given"; done\n')
        program.chmod(0o755)

    ready = tmp_path / "ready"
    ready.touch()  # Newer than the lock files, so that nothing is set up anew.

    def run(target: str, **variables: str) -> list[str]:
        given = {"BIN": str(tmp_path), "READY": str(ready), **variables}
        done = subprocess.run(
            ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in given.items())],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split("\0")

    return run


@pytest.mark.parametrize("name", [name for name in (*ODD.values(), ALL) if "\n" not in name])
def test_paths_arrive_as_they_were_given(arguments_of, tmp_path, name):
    hostile = f"/data/{name}$(shell touch {tmp_path}/ran)"
    given = arguments_of("run", IMAGES=hostile, LABELS=name, DATA=name, OVERRIDES="a=1 b=2")
    assert given[3:] == [
        "training", f"--images={hostile}", f"--labels={name}", f"--data-root={name}", "--recipe=octoview",
        "--overrides", "a=1", "b=2", "",
    ]  # fmt: skip
    demo = arguments_of("demo", DATA=f"/data/{name}", DEMO_STUDIES="4")
    assert f"/data/{name}/demo/cohort" in demo
    assert f"--images=/data/{name}/demo/cohort/train_set/images" in demo
    assert f"--data-root=/data/{name}/demo" in demo
    assert not (tmp_path / "ran").exists()
