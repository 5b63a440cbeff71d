"""Who one is to an MLflow server that asks for a password, and what it says to those it does not let in."""

from __future__ import annotations

import getpass
import re

from mlflow.utils.credentials import get_default_host_creds, read_mlflow_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

CURRENT_USER = "/api/2.0/mlflow/users/current"
"""Of MLflow's basic-auth app; any other server answers 404."""

_STATUS = re.compile(r"error code (401|403)\b|\b(401|403) Client Error")
_OWN_WORDS = re.compile(r"Response (?:body: '|text: )([^']*)")


class MlflowRefused(PermissionError):
    """MLflow does not let this user do this."""


def user_of(uri: str) -> str:
    """The user whom the server has let in; where it asks nobody, the user of the variables or of the machine.

    Args:
      uri: of the MLflow server or database.

    Raises:
      MlflowException: the server does not answer, or not this user.
    """
    if uri.startswith("http"):
        answer = http_request(get_default_host_creds(uri), CURRENT_USER, "GET")
        if answer.status_code != 404:
            verify_rest_response(answer, CURRENT_USER)
            return str(answer.json()["user"]["username"])
    try:
        return _told_user() or getpass.getuser()
    except (KeyError, OSError):  # A container's user id need not have a name.
        return ""


def refusal(place: str, what: str, error: BaseException | str) -> MlflowRefused | None:
    """What to tell a user whom MLflow does not know, or who lacks a right; None if the error is another.

    Args:
      place: the server's URI, without a password.
      what: was being done.
      error: MLflow's, its artefact store's, or their words.
    """
    status = _status(error)
    user = _told_user()
    if status == 401 and not user:
        return MlflowRefused(
            f"MLflow at {place}: it asks for a password, expected MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD while {what}, found no user; set both"
        )
    if status == 401:
        return MlflowRefused(
            f"MLflow at {place}: it does not let {user} in with this password, found while {what}; set "
            f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or have its administrator give {user} a new one"
        )
    if status == 403 and "Host header" in str(error):
        return MlflowRefused(
            f"MLflow at {place}: it does not answer to this name, found while {what}; use one of its --allowed-hosts, "
            "or add this one to them"
        )
    if status == 403:
        said = _OWN_WORDS.search(str(error))
        words, who = said[1] if said else "403", user or "its client"
        return MlflowRefused(
            f"MLflow at {place}: expected that {who} may go on {what}, found that it is not allowed or not there "
            f"({words}); have its administrator give {who} the right to edit the experiment and the registered model "
            "(docs/deploy.md), or log in as who has it"
        )
    return None


def _told_user() -> str:
    """Whom MLflow's client logs in as: of the variables, else of ~/.mlflow/credentials."""
    return read_mlflow_creds().username or ""


def _status(error: BaseException | str) -> int:
    response = getattr(error, "response", None)
    of_mlflow = getattr(error, "get_http_status_code", lambda: 0)()
    told = _STATUS.search(str(error))
    return getattr(response, "status_code", 0) or (int(told[1] or told[2]) if told else of_mlflow)
