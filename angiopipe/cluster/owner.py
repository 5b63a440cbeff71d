"""The pod that a job belongs to: when the step's pod is deleted, so is its TrainJob."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def owner(
    namespace: str, environment: Mapping[str, str] = os.environ, service_account: Path = _SERVICE_ACCOUNT
) -> dict[str, Any] | None:
    """An ownerReference to the pod of the pipeline's step.

    Args:
      namespace: the job's; an owner in another namespace would have the job deleted at once.
      environment: KFP_POD_NAME and KFP_POD_UID, which Kubeflow Pipelines sets.
      service_account: where Kubernetes tells a pod its namespace.

    Returns:
      None outside a step's pod, or in another namespace than the job's.
    """
    name, uid = environment.get("KFP_POD_NAME"), environment.get("KFP_POD_UID")
    told = service_account / "namespace"
    if not (name and uid and told.is_file() and told.read_text().strip() == namespace):
        return None
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
