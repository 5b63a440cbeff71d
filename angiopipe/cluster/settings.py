"""What a cluster must be told to train: image, place, machines, secrets, patience."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from angiopipe import storage

WORKERS_VARIABLE = "ANGIOPIPE_WORKERS"
START_DEADLINE_VARIABLE = "ANGIOPIPE_START_DEADLINE"

_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|PRIVATE_KEY|ACCESS_KEY|API_KEY", re.IGNORECASE
)
_CREDENTIALS_IN_URI = re.compile(r"://[^/@\s]+:[^/@\s]+@")

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
"""Kubernetes' notation: `500m` cores, `16Gi` bytes."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def without_secrets(env: dict[str, str]) -> dict[str, str]:
    """`env` itself, whose values all may be read by whoever can list jobs or pipelines.

    Raises:
      ValueError: a name or value looks like a secret.
    """
    secret = [
        name for name, value in env.items() if _SECRET_NAME.search(name) or _CREDENTIALS_IN_URI.search(value)
    ]
    if secret:
        raise ValueError(
            f"expected no secrets, found {', '.join(sorted(secret))}; put the value into a Secret and name it in "
            "secret_env"
        )
    return env


class SecretKey(_Settings):
    """One value in a Secret of the job's namespace."""

    secret: str
    key: str


class Toleration(_Settings):
    """A node taint that the pods put up with."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class ClusterSettings(_Settings):
    """Where and on what a TrainJob runs.

    Attributes:
      namespace: where the TrainJob is created.
      image: the training image, which holds angiopipe and TensorFlow.
      workers: pods that train together, each on `gpus` GPUs.
      runtime: the ClusterTrainingRuntime; `infra/base/training/clustertrainingruntime.yaml`.
      gpus: of each worker; 0 trains on its cores.
      gpu_resource: the GPUs' resource name, such as `nvidia.com/gpu`.
      node_selector: labels of the nodes of the GPU pool; on most clouds they name the GPU's type.
      tolerations: taints to put up with, beside the one named after `gpu_resource`.
      cpu: cores that each worker asks for; it may use more.
      memory: bytes that each worker asks for and may not exceed; counts what lies in `shared_memory`.
      shared_memory: bytes of /dev/shm, through which NCCL connects the GPUs of one worker.
      service_account: of the workers; empty is the namespace's default.
      env: variables of the workers.
      secret_env: variables of the workers whose values lie in Secrets.
      labels: of the TrainJob and its pods, such as a team or cost centre.
      pending_seconds: how long the workers may take until all of them run.
      start_seconds: how long the running workers may take to find one another.
      deadline_seconds: how long the whole training may take, pending and relaunches included.
      relaunches: how often in a row the job is launched again without a later checkpoint, where the cluster or the
        network ended a worker and not its own program.
    """

    namespace: str = Field(min_length=1)
    image: str = Field(min_length=1)
    workers: int = Field(default=1, ge=1, le=100)
    runtime: str = "angiopipe-tensorflow"
    gpus: int = Field(default=1, ge=0)
    gpu_resource: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    cpu: Quantity = "4"
    memory: Quantity = "16Gi"
    shared_memory: Quantity = "2Gi"
    service_account: str = ""
    env: dict[str, str] = {}
    secret_env: dict[str, SecretKey] = {}
    labels: dict[str, str] = {}
    pending_seconds: float = Field(default=1800, gt=0)
    start_seconds: int = Field(default=600, ge=1)
    deadline_seconds: int = Field(default=86_400, ge=1)
    relaunches: int = Field(default=3, ge=0, le=20)

    @field_validator("env")
    @classmethod
    def _holds_no_secret(cls, env: dict[str, str]) -> dict[str, str]:
        """A TrainJob can be read by all who may list it, so it refers to secrets and never holds one."""
        without_secrets(env)
        reserved = {WORKERS_VARIABLE, START_DEADLINE_VARIABLE} & env.keys()
        if reserved:
            raise ValueError(
                f"expected none of the launcher's own variables, found {', '.join(sorted(reserved))}; set "
                "workers and start_seconds instead"
            )
        return env


def load_cluster_settings(uri: str) -> ClusterSettings:
    """Reads a YAML file of cluster settings.

    Raises:
      ValueError: it cannot be read, is not YAML, or a field is unknown, absent or wrong.
    """
    import yaml  # Only who trains on a cluster needs it; it comes with the Kubernetes client.

    try:
        content = yaml.safe_load(storage.read_text(uri))
        return ClusterSettings.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        found = storage.in_words(error) if isinstance(error, OSError) else error
        raise ValueError(
            f"{uri}: expected cluster settings in YAML, found {found}; see docs/cluster-training.md"
        ) from None
