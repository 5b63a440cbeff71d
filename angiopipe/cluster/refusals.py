"""Why the cluster refuses a request, and what to do about it."""

from __future__ import annotations

import re

APPLY = "kubectl apply -k infra/base/training"
ANONYMOUS = "system:anonymous"
"""Whom the cluster takes a request for that came without credentials."""

_VERBS = {"POST": "create", "DELETE": "delete", "GET": "read"}


def in_words(status: int, message: str, method: str, path: str, namespace: str) -> str:
    """One sentence for a request that was refused for good.

    Args:
      status: HTTP's.
      message: the server's own.
      method: of the request.
      path: of the request.
      namespace: in which it works.
    """
    kind = "logs of pods" if path.endswith("/log") else _kind(path)
    where = f"namespace {namespace}: " if namespace else ""
    wanted = f"{where}expected to {_VERBS.get(method, method)} {kind}"
    remedy = {401: _LOG_IN, 403: _forbidden(message), 404: _absent(message, namespace)}.get(status, _CORRECT)
    return f"{wanted}, found status {status}: {message}; {remedy}"


_LOG_IN = (
    "the credentials are unknown to the cluster or out of date: log in again, or give the step's pod a service "
    "account token"
)
_CORRECT = "correct the cluster settings (docs/cluster-training.md)"


def _kind(path: str) -> str:
    return next((kind for kind in ("trainjobs", "pods", "events", "nodes") if kind in path.split("/")), path)


def _forbidden(message: str) -> str:
    if ANONYMOUS in message:
        return _LOG_IN
    if "must be created before" in message:
        return f"the runtime is missing: {APPLY}, or correct `runtime`"
    if "exceeded quota" in message:
        return "the namespace's quota is used up: remove finished jobs, or raise it"
    if "denied the request" in message:
        return "an admission webhook refuses this TrainJob: correct what it names"
    user = re.search(r'User "([^"]+)"', message)
    who = user[1] if user else "the step's service account"
    if 'resource "nodes"' in message:
        return f"the role that lets {who} list nodes is an administrator's to give"
    return f"{who} lacks the role angiopipe-train-launcher: {APPLY}, and bind the role to it"


def _absent(message: str, namespace: str) -> str:
    if "namespaces" in message:
        return f"there is no namespace {namespace}: create it, or correct `namespace`"
    return (
        "Kubeflow Trainer v2 is not installed, or serves another version than trainer.kubeflow.org/v1alpha1: "
        "install it"
    )
