"""What pods cannot reach although this machine can, refused before anything is uploaded or paid for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from angiopipe import storage
from angiopipe.cluster.settings import load_cluster_settings
from angiopipe.search_space import DRIVERS
from pipelines.errors import PipelineError
from pipelines.settings import Settings

_FILES = (
    "data_root",
    "images",
    "labels",
    "study_list",
    "clinical",
    "previous_statistics",
    "cluster_settings",
)
"""Parameters that name a file or folder."""

_OF_THIS_MACHINE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1|")
"""Hosts that are another machine in each pod; none at all is one too."""

_HOSTED = ("databricks", "databricks-uc")
"""MLflow's URIs that are neither a path nor one with a host."""

_WEIGHTS = "model.weights="
_NAMED_WEIGHTS = ("null", "imagenet", "synthetic")


def refuse_what_pods_cannot_reach(
    settings: Settings, values: Mapping[str, Any], note: Callable[[str], object] = print
) -> None:
    """Says what the first step, or the last, would say hours later.

    Args:
      settings: where and on what it runs.
      values: of the pipeline's parameters.
      note: takes a line on what could not be looked at from here.

    Raises:
      PipelineError: names every one.
    """
    faults = [_file(name, values[name]) for name in _FILES if values.get(name)]
    for one in values.get("overrides", ()):
        weights = one.removeprefix(_WEIGHTS).strip("\"'")
        if one.startswith(_WEIGHTS) and weights not in _NAMED_WEIGHTS:
            faults.append(_file("overrides, model.weights", weights))
    faults.append(_tracking_uri(settings, values))
    if "database" in values:
        faults.append(_database(values["database"]))
    faults += [
        _server(name, uri)
        for name, uri in (("webhook", values.get("webhook")), ("storage.endpoint", settings.storage.endpoint))
        if uri
    ]
    if not storage.is_local(values.get("cluster_settings", "")):
        faults.append(_cluster_settings(settings, values["cluster_settings"], note))
    if any(faults):
        raise PipelineError("; ".join(filter(None, faults)))


def _file(name: str, uri: str) -> str:
    if not storage.is_local(uri):
        return ""
    return (
        f"{name}: expected a URI that every pod reaches, found {uri}, a path of this machine; copy it to the object store "
        "and give s3:// or gs://"
    )


def _server(name: str, uri: str) -> str:
    host = urlsplit(uri).hostname or ""
    if not _OF_THIS_MACHINE.fullmatch(host):
        return ""
    return (
        f"{name}: expected a server that every pod reaches, found {_shown(uri)}, which is each pod's own machine; give the "
        "name that it has in the cluster"
    )


def _tracking_uri(settings: Settings, values: Mapping[str, Any]) -> str:
    in_secret = "MLFLOW_TRACKING_URI" in {*settings.secret_env, *settings.storage.secret_env}
    uri = values.get("tracking_uri", "given") or settings.env.get("MLFLOW_TRACKING_URI", "")
    if uri == "given" or (not uri and in_secret):
        return ""
    if not uri:
        return (
            "tracking_uri: expected MLflow's server, found none; set `tracking_uri` in the settings, or "
            "MLFLOW_TRACKING_URI in `env`"
        )
    if uri not in _HOSTED and (storage.is_local(uri) or uri.startswith("sqlite")):
        return (
            f"tracking_uri: expected MLflow's server, which all pods share, found {_shown(uri)}, of which each pod has "
            "its own; give the server's https:// (docs/mlflow.md)"
        )
    return _server("tracking_uri", uri) if "://" in uri else ""


def _database(uri: str) -> str:
    expected = (
        f"database: expected Optuna's, which all tries of the step share, as {DRIVERS[0]}://user@host/name"
    )
    remedy = "the password comes from a Secret as PGPASSWORD (docs/training.md)"
    if not uri:
        return f"{expected}, found none; give --database; {remedy}"
    if uri.partition("://")[0] not in DRIVERS:
        return f"{expected}, found {_shown(uri)}, for which the image has no driver or each pod its own file; {remedy}"
    return _server("database", uri)


def _cluster_settings(settings: Settings, uri: str, note: Callable[[str], object]) -> str:
    """What is wrong with the file, if it can be read from here."""
    if uri.startswith("s3://") and settings.storage.endpoint and not os.environ.get("AWS_ENDPOINT_URL"):
        note(f"not checked: cluster_settings {uri}, as AWS_ENDPOINT_URL is not set here; validate will")
        return ""
    try:
        storage.read_bytes(uri)
        load_cluster_settings(uri)
    except FileNotFoundError:
        return (
            f"cluster_settings: expected a YAML file, found nothing at {uri}; correct it, or upload the file"
        )
    except ValueError as error:
        return f"cluster_settings: {error}"
    except OSError as error:
        note(
            f"not checked: cluster_settings {uri}, which cannot be read from here ({storage.in_words(error)}); validate will"
        )
    return ""


def _shown(uri: str) -> str:
    """A URI without the password in it."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:...@", uri)
