"""MLflow as this library uses it: quiet, and pointed at a server without leaving a trace of it."""

from __future__ import annotations

import logging
import os


def quieten_mlflow() -> None:
    """Sets what MLflow reads when it is imported, where the user has not."""
    # Its bars of two files are noise in a step's log.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A hospital's machine tells nobody what it registers and scores.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # It logs the traceback of what it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def point_mlflow_at(uri: str) -> None:
    """MLflow's own functions talk to `uri` from here on; the environment stays as it was.

    `mlflow.set_tracking_uri` also sets MLFLOW_TRACKING_URI, and there this process's next step would
    take it for the user's wish.
    """
    quieten_mlflow()
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before
