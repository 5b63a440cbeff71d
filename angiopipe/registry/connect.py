"""The way into MLflow's registry that the commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from angiopipe import sqlite
from angiopipe.registry.pointed import point_mlflow_at, quieten_mlflow
from angiopipe.rules import tracking_uri_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


def registry(tracking_uri: str, data_root: str) -> tuple[MlflowClient, str]:
    """A client of the server or database, and its URI.

    Args:
      tracking_uri: MLflow's server or database; empty is MLFLOW_TRACKING_URI, else an SQLite database
        under the data root.
      data_root: where runs keep their data.

    Raises:
      ValueError: neither says where MLflow is.
    """
    quieten_mlflow()
    import mlflow

    if not (tracking_uri or data_root or os.environ.get("MLFLOW_TRACKING_URI")):
        raise ValueError("expected --tracking-uri, or --data-root with MLflow's database in it, got neither")
    uri = tracking_uri_of(tracking_uri, data_root)
    database = sqlite.path_of(uri)
    if database and not database.exists():
        raise ValueError(f"{uri}: expected MLflow's database, found none: register a model first")
    if database:
        database.open("rb").close()  # What cannot be opened MLflow would try again for two minutes.
    point_mlflow_at(uri)
    with sqlite.naming(uri):
        return mlflow.MlflowClient(uri), uri


@contextmanager
def in_words(uri: str, what: str, if_missing: str = "") -> Iterator[None]:
    """Turns MLflow's own errors into the one message a command ends with.

    Args:
      uri: of the server or database.
      what: it is asked about.
      if_missing: what to do if it is not there.

    Raises:
      MlflowRefused: it does not let this user in, or do this.
      ValueError: it answers with another error.
    """
    from mlflow.exceptions import MlflowException

    from angiopipe.registry.login import refusal
    from angiopipe.registry.patience import shown

    try:
        yield
    except (MlflowException, OSError) as error:  # The latter of files that go through the server.
        denied = refusal(shown(uri), f"working on {what}", error)
        if denied:
            raise denied from error
        if not isinstance(error, MlflowException):
            raise
        remedy = f"; {if_missing}" if if_missing and error.error_code == "RESOURCE_DOES_NOT_EXIST" else ""
        raise ValueError(f"{what}: MLflow answered {error.error_code}: {error.message}{remedy}") from error
