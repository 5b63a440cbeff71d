"""What a failed step left behind; Kubeflow's own account of a task names no cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fsspec

from angiopipe import storage
from angiopipe.outcome import OUTCOME_NAME
from angiopipe.step import run_folder


def failures_of(data_root: str, run_id: str) -> list[dict[str, Any]]:
    """The records that the failed steps of a run left, each with its `uri`.

    Raises:
      Exception: whatever the store's driver raises where it cannot be reached or read.
    """
    uris = storage.list_files(storage.join(run_folder(data_root, run_id), "failures"))
    return [{**json.loads(storage.read_text(uri)), "uri": uri} for uri in uris]


def failures_since(data_root: str, started: float) -> str:
    """What the local run that began at `started` (seconds since 1970) left, in words; empty if nothing."""
    record = next(_since(data_root, "failures/*.json", started), None)
    return f"\n{in_words(record)}" if record else ""


def account_since(data_root: str, started: float) -> dict[str, Any]:
    """The account that the local run which began at `started` gave of its end."""
    return next(_since(data_root, OUTCOME_NAME, started))


def _since(data_root: str, pattern: str, started: float) -> Iterator[dict[str, Any]]:
    """The records in runs' folders that were written since `started`, the first one first, each with its `uri`."""
    filesystem, root = fsspec.core.url_to_fs(data_root)
    for path in sorted(filesystem.glob(f"{root}/runs/*/{pattern}"), key=filesystem.modified):
        if filesystem.modified(path).timestamp() >= started:
            uri = path if storage.is_local(data_root) else filesystem.unstrip_protocol(path)
            yield {**json.loads(filesystem.read_text(path)), "uri": uri}


def in_words(failure: dict[str, Any]) -> str:
    return f"{failure['step']} failed: {failure['message']}\n(the whole record: {failure['uri']})"
