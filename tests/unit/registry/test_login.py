"""Who one is to MLflow, and what it says to those it does not let in; a real server says it in tests/servers."""

from __future__ import annotations

import getpass

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
)

from angiopipe.registry.connect import in_words
from angiopipe.registry.login import MlflowRefused, refusal, user_of

PLACE = "http://mlflow:5000"
# As MLflow 3.17 and its clients put it.
UNKNOWN = MlflowException("API request to endpoint /x failed with error code 401 != 200.", UNAUTHENTICATED)
DENIED = MlflowException(
    "API request to endpoint /x failed with error code 403 != 200. Response body: 'Permission denied'",
    PERMISSION_DENIED,
)
FILE = OSError("403 Client Error: Forbidden for url: http://mlflow:5000/x. Response text: Permission denied")
FILES = MlflowException(
    "The following failures occurred: {'a.txt': HTTPError('401 Client Error: Unauthorized')}"
)
HOST = OSError(
    "403 Client Error: x. Response text: Invalid Host header - possible DNS rebinding attack detected"
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("error", [UNKNOWN, FILES, str(UNKNOWN)])
def test_who_is_not_let_in_reads_his_name_the_server_and_the_remedy(error, monkeypatch):
    assert "expected MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(refusal(PLACE, "x", error))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ben")
    assert str(refusal(PLACE, "adding a version", error)) == (
        "MLflow at http://mlflow:5000: it does not let ben in with this password, found while adding a version; set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or have its administrator give ben a new one"
    )


@pytest.mark.parametrize("error", [DENIED, FILE])
def test_who_lacks_a_right_likewise(error, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ben")
    assert str(refusal(PLACE, "adding a version", error)) == (
        "MLflow at http://mlflow:5000: expected that ben may go on adding a version, found that it is not allowed or "
        "not there (Permission denied); have its administrator give ben the right to edit the experiment and the registered "
        "model (docs/deploy.md), or log in as who has it"
    )


def test_a_wrong_name_of_the_server_is_no_missing_right():
    assert "use one of its --allowed-hosts" in str(refusal(PLACE, "x", HOST))


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no", INVALID_PARAMETER_VALUE),
        MlflowException("no", RESOURCE_DOES_NOT_EXIST),
        OSError("full"),
    ],
)
def test_other_errors_stay_what_they_are(error):
    assert refusal(PLACE, "x", error) is None
    with pytest.raises(type(error) if isinstance(error, OSError) else ValueError), in_words(PLACE, "x"):
        raise error


@pytest.mark.parametrize("error", [UNKNOWN, DENIED, FILE, FILES])
def test_a_command_ends_with_the_refusal_and_no_password(error, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ben")
    with pytest.raises(MlflowRefused, match="ben") as caught, in_words("http://ben:secret@mlflow:5000", "x"):
        raise error
    assert "secret" not in str(caught.value)


def test_without_a_server_one_is_the_user_of_the_variables_or_the_machine(monkeypatch):
    assert user_of("sqlite:///mlflow.db") == getpass.getuser()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    assert user_of("sqlite:///mlflow.db") == "anna"
