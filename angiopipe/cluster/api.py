"""Requests to the Kubernetes API: each has a time-out, passing faults are retried, refusals told in words.

The objects stay the dictionaries that the server sent.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import kubernetes
import urllib3
import yaml
from kubernetes.client import ApiException

from angiopipe.cluster.errors import ClusterError
from angiopipe.cluster.refusals import ANONYMOUS, in_words

log = logging.getLogger(__name__)

Object = dict[str, Any]

PATIENCE_SECONDS = 300.0
"""A managed control plane may be away for minutes while it is upgraded."""

_STREAM_SECONDS = (5.0, 60.0)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 15.0
_PASSING = (0, 429, 500, 502, 503, 504)
"""0 is the client's status for a connection that broke off in TLS."""


class Api:
    """One connection pool to one cluster.

    Attributes:
      namespace: in which the objects lie.
    """

    def __init__(
        self,
        namespace: str,
        configuration: kubernetes.client.Configuration | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        request_seconds: tuple[float, float] = (5.0, 15.0),
    ):
        """Reads how to reach the cluster from the pod or the kubeconfig, unless `configuration` tells.

        Args:
          namespace: in which all calls work.
          configuration: how to reach the cluster.
          patience_seconds: how long one call is retried.
          request_seconds: how long one try may take to connect, and to read on.

        Raises:
          ClusterError: there is neither.
        """
        self.namespace = namespace
        self.configuration = configuration or configuration_of()
        self._patience = patience_seconds
        # A pair: of a single float the client makes no time-out at all, without a word.
        self._request_seconds = request_seconds
        # The client's own three retries come at once and hide what happened.
        self.configuration.retries = False
        self._client = kubernetes.client.ApiClient(self.configuration)

    def trainjobs(self, name: str = "") -> str:
        """The path of the TrainJobs, or of one."""
        path = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{self.namespace}/trainjobs"
        return f"{path}/{name}" if name else path

    def core(self, *parts: str) -> str:
        """The path of pods, events, or a pod's log."""
        return "/".join([f"/api/v1/namespaces/{self.namespace}", *parts])

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        attempt: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> Object:
        """The answer to one request, retried while its faults are passing ones.

        Args:
          method: GET, POST or DELETE.
          path: from `trainjobs` or `core`.
          query: its parameters.
          body: the object to send.
          attempt: entered around each single try.

        Raises:
          ClusterError: the cluster did not answer in time.
          Refused: it will not do it.
          NotFound: there is no such object.
          AlreadyExists: there is one of that name, or it is another than the one meant.
        """
        until, pause = time.monotonic() + self._patience, _FIRST_PAUSE_SECONDS
        while True:
            try:
                with attempt():
                    response = self._send(method, path, query, body, self._request_seconds)
                    return json.loads(response.data)
            except (ApiException, urllib3.exceptions.HTTPError, ValueError) as error:
                wait = _pause(error, pause)
                if wait is None:
                    raise _refusal(error, method, path, self.namespace) from None
                if time.monotonic() + wait > until:
                    raise ClusterError(
                        f"{self.configuration.host}: expected an answer within {self._patience:g} s, found "
                        f"{_fault(error)}; check that the cluster's API server is up and can be reached"
                    ) from None
                if pause == _FIRST_PAUSE_SECONDS:
                    log.warning("the Kubernetes API does not answer (%s); trying again", _fault(error))
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def stream(self, path: str, query: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """An answer to be read as it comes; reading it raises if nothing comes for a minute.

        Raises:
          ApiException: the server refuses.
          urllib3.exceptions.HTTPError: it cannot be reached.
        """
        return self._send("GET", path, query, None, _STREAM_SECONDS)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        timeout: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        return self._client.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=timeout,
        )


class Refused(ClusterError):
    pass


class Forbidden(Refused):
    pass


class NotFound(Refused):
    pass


class AlreadyExists(Refused):
    pass


def configuration_of(context: str = "") -> kubernetes.client.Configuration:
    """How to reach the cluster that the kubeconfig has under a name; without one the pod's own, or the current one.

    Raises:
      ClusterError: there is none.
    """
    configuration = kubernetes.client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and not context:
            kubernetes.config.load_incluster_config(configuration)
        else:
            kubernetes.config.load_kube_config(context=context or None, client_configuration=configuration)
    except (kubernetes.config.ConfigException, yaml.YAMLError) as error:
        if context:
            raise ClusterError(
                f"expected a context of this name in the kubeconfig, found none ({error}); correct `context`, or name "
                "the kubeconfig in KUBECONFIG"
            ) from None
        raise ClusterError(
            f"expected a cluster to train on, found none ({error}); run inside a pod, or name a kubeconfig in "
            "KUBECONFIG"
        ) from None
    return configuration


def _pause(error: Exception, pause: float) -> float | None:
    """Seconds to wait before the next try; None where there is no use in one."""
    if not isinstance(error, ApiException):
        return pause
    if error.status not in _PASSING or "CERTIFICATE_VERIFY_FAILED" in str(error.reason):
        return None
    asked = (error.headers or {}).get("Retry-After", "")
    return max(pause, float(asked)) if asked.isdecimal() else pause


def _fault(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"status {error.status}, {_message(error)}"
    return f"{type(error).__name__}: {error}"


def _message(error: ApiException) -> str:
    """The server's own sentence."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return (body or str(error.reason)).strip()


def _refusal(error: Exception, method: str, path: str, namespace: str) -> Refused:
    status = error.status if isinstance(error, ApiException) else 0
    message = _message(error) if isinstance(error, ApiException) else str(error)
    if status == 404 and method != "POST":
        return NotFound(message)
    if status == 409:
        return AlreadyExists(message)
    known = status == 403 and ANONYMOUS not in message
    return (Forbidden if known else Refused)(in_words(status, message, method, path, namespace))
