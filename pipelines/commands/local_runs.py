"""What is noted of a run on this machine, so that it can be gone on with."""

from __future__ import annotations

import fcntl
import json
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from angiopipe import storage
from angiopipe.ending import KEPT, Stopped
from angiopipe.outcome import resume_in_words
from angiopipe.step import run_folder
from pipelines.code import code_version
from pipelines.errors import PipelineError

RUN_NAME = "run.json"

_LOCK_NAME = "run.lock"
"""Held while the run goes on, and let go of by the system however it ends."""


def new_run_id() -> str:
    """Names a run by when it began and by its process, of which no two are the same on one machine."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"


@contextmanager
def noted(pipeline: str, values: dict[str, Any]) -> Iterator[None]:
    """Notes a run for the block, and at its end that it succeeded; an error that leaves the block says how to go on.

    Raises:
      PipelineError: the run goes on in another process.
    """
    root, run_id = values["data_root"], values["run_id"]
    with _held(root, run_id):
        note = {"pipeline": pipeline, "code_version": code_version(), "parameters": values}
        _write(root, run_id, {**note, "succeeded": False})
        try:
            yield
        except (PipelineError, Stopped) as error:
            said = str(error).removesuffix(f"; {KEPT}")
            error.args = (f"{said}; {resume_in_words(run_id, root)}",)
            raise
        _write(root, run_id, {**note, "succeeded": True})


def resumed_here(run_id: str, data_root: str) -> tuple[str, dict[str, Any]]:
    """The pipeline and the parameters of a run that failed on this machine.

    Raises:
      PipelineError: there is no such run, it succeeded, or other code made it.
    """
    root = storage.absolute(data_root)
    uri = storage.join(run_folder(root, run_id), RUN_NAME)
    if not run_id or not storage.exists(uri):
        raise PipelineError(
            f"run {run_id}: expected {_known(root)}, found no run of that name under {root}/runs"
        )
    note = json.loads(storage.read_text(uri))
    if note["succeeded"]:
        raise PipelineError(
            f"run {run_id}: expected one that has failed, found it succeeded; there is no more to do"
        )
    if note["code_version"] != code_version():
        raise PipelineError(
            f"run {run_id}: expected the code that made it ({note['code_version']}), found {code_version()}; go back "
            f"to that code, or start anew with `python -m pipelines run {note['pipeline']}`, which finds what data it made"
        )
    # The data root may have been moved, or be mounted elsewhere.
    return note["pipeline"], note["parameters"] | {"data_root": root}


def _known(root: str) -> str:
    runs = storage.list_folders(storage.join(root, "runs"))
    names = [posixpath.basename(uri) for uri in runs if storage.exists(storage.join(uri, RUN_NAME))]
    return f"one of {', '.join(names)}" if names else "a run that `python -m pipelines run` began"


def _write(root: str, run_id: str, note: dict[str, Any]) -> None:
    storage.write_text(storage.join(run_folder(root, run_id), RUN_NAME), json.dumps(note, indent=1) + "\n")


@contextmanager
def _held(root: str, run_id: str) -> Iterator[None]:
    """The run is this process's for the block, as far as processes of this file system can tell."""
    if not storage.is_local(root):
        yield
        return
    folder = storage.local_path(run_folder(root, run_id))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                f"run {run_id}: expected one that has ended, found that it goes on in another process; wait for its end, or "
                "end it"
            ) from None
        yield
