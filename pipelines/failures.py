"""What a failed step left behind; Kubeflow's own account of a task names no cause."""

from __future__ import annotations

import json
from typing import Any

from angiopipe import storage
from angiopipe.step import run_folder


def failures_of(data_root: str, run_id: str) -> list[dict[str, Any]]:
    """The records that the failed steps of a run left, each with its `uri`.

    Raises:
      Exception: whatever the store's driver raises where it cannot be reached or read.
    """
    uris = storage.list_files(storage.join(run_folder(data_root, run_id), "failures"))
    return [{**json.loads(storage.read_text(uri)), "uri": uri} for uri in uris]


def in_words(failure: dict[str, Any]) -> str:
    return f"{failure['step']} failed: {failure['message']}\n(the whole record: {failure['uri']})"
