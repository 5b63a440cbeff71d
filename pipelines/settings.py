"""One file that says where pipelines run and on what: typed, unknown fields refused, no secret in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from angiopipe.cluster.settings import SecretKey, Toleration, without_secrets
from components.face import IMAGES
from pipelines.errors import PipelineError

PREFIX = "ANGIOPIPE_KFP_"
"""`ANGIOPIPE_KFP_HOST` replaces `host`, `ANGIOPIPE_KFP_STORAGE__DATA_ROOT` replaces `storage.data_root`."""

SETTINGS_VARIABLE = f"{PREFIX}SETTINGS"
TOKEN_VARIABLE = f"{PREFIX}TOKEN"

Cores = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?m?$")]
"""Kubernetes' notation: `500m`, `2`."""

Bytes = Annotated[str, StringConstraints(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti|K|M|G|T)?$")]
"""Kubernetes' notation, whole numbers: `16Gi`."""

Environment = Annotated[dict[str, str], AfterValidator(without_secrets)]
Cron = Annotated[str, AfterValidator(lambda cron: _six_fields(cron))]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Pool(_Fields):
    """Nodes of one kind.

    Attributes:
      accelerator: the resource that its nodes offer, `nvidia.com/gpu`; its taint of that name is put up with.
      node_selector: labels of its nodes.
      tolerations: further taints to put up with.
    """

    accelerator: str = ""
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class Step(_Fields):
    """What the pod of a step gets.

    Attributes:
      cpu: cores it asks for; it may use more.
      memory: bytes it asks for and may not exceed.
      pool: the name of the pool it runs on; empty lets Kubernetes choose.
      accelerators: how many of the pool's accelerators.
      shared_memory: bytes of /dev/shm, which count as memory; empty leaves Kubernetes' 64 MB.
      retries: how often Kubeflow tries it again, for what its own configuration says: as it is installed, a pod
        that was lost, and none that failed (docs/deploy.md).
      backoff: seconds before the first retry.
      backoff_factor: each further wait is longer by this factor.
      backoff_max: no wait is longer, seconds.
      timeout: one try may take so many seconds, from when its pod has a node and an image.
      cache: Kubeflow may take over an earlier run's work, for the components that allow it.
      env: variables of this step alone.
      secret_env: variables of this step alone whose values lie in Secrets.
    """

    cpu: Cores = "500m"
    memory: Bytes = "2Gi"
    pool: str = ""
    accelerators: int = Field(default=0, ge=0)
    shared_memory: Bytes | None = None
    retries: int = Field(default=2, ge=0)
    backoff: int = Field(default=30, ge=1)
    backoff_factor: float = Field(default=2.0, ge=1)
    backoff_max: int = Field(default=600, ge=1)
    timeout: int = Field(default=4 * 3600, ge=1)
    cache: bool = True
    env: Environment = {}
    secret_env: dict[str, SecretKey] = {}


LAUNCH = "launch"
"""What `train` is where it is given `cluster_settings`, and the TrainJob's pods do the work."""

STEPS: Mapping[str, Mapping[str, Any]] = {
    # What is wrong with a cohort is wrong the second time, too; only a lost pod deserves another try.
    "validate": {"cpu": "1", "retries": 1},
    "ingest": {"cpu": "1"},
    "audit": {"memory": "3Gi", "retries": 1},
    "preprocess": {"cpu": "1"},
    "train": {"cpu": "1", "memory": "6Gi", "shared_memory": "1Gi", "timeout": 24 * 3600},
    # Takes no time of `train`'s: the step creates a TrainJob, follows it, and loads no TensorFlow.
    LAUNCH: {"cpu": "250m", "memory": "512Mi", "shared_memory": None},
    # A training after the other.
    "search": {"cpu": "1", "memory": "6Gi", "shared_memory": "1Gi", "timeout": 72 * 3600},
    "evaluate": {"cpu": "1", "memory": "4Gi"},
    "register": {"memory": "3Gi"},
    # Challenger and champion are loaded side by side.
    "promote": {"cpu": "1", "memory": "4Gi"},
    "score": {"cpu": "1", "memory": "4Gi"},
    # Reads every image, decodes none.
    "news": {"cpu": "1", "memory": "2Gi", "retries": 1},
    "outcome": {"timeout": 600},
}
"""What each component needs where it differs from `Step`'s defaults, unless the settings say otherwise."""


class Storage(_Fields):
    """Where runs keep their data.

    Attributes:
      data_root: URI of the folder that holds all runs, s3:// or gs://.
      endpoint: of an S3 server that is not Amazon's, as pods reach it.
      secret_env: variables with its credentials, whose values lie in Secrets.
    """

    data_root: str = ""
    endpoint: str = ""
    secret_env: dict[str, SecretKey] = {}


class Settings(_Fields):
    """Where pipelines run and on what.

    Attributes:
      host: URL of Kubeflow Pipelines, as this machine reaches it.
      ui: URL that people open; `host` unless given.
      namespace: of a multi-user installation.
      experiment: under which runs are listed.
      service_account: that pods run as; empty is the installation's default.
      ca_file: certificates to trust instead of the system's.
      request_seconds: how long one answer may take.
      context: of this machine's kubeconfig, leads to the cluster where the pods run, whose nodes are then looked at.
      autoscaled: nodes are added there when pods wait for them, so that what no node could hold is told, not refused.
      token: for an installation that asks for one; only from the environment.
      images: instead of the components' own, by name: base, train. A digest is resolved for a tag.
      pin_images: whether `submit` and `schedule` refuse a tag whose digest cannot be had.
      image_pull_secrets: Secrets with the registry's credentials.
      labels: of every pod.
      env: variables of every step.
      secret_env: variables of every step whose values lie in Secrets.
      storage: where the data lies.
      tracking_uri: MLflow's server.
      beam_args: Beam's own options, for the pipelines that take some.
      pools: nodes, by name.
      steps: what each step's pod gets, by component; `default` is for all steps.
      parameters: of each pipeline, instead of its defaults.
      schedules: of each pipeline, in six cron fields, seconds first, UTC.
    """

    host: str = ""
    ui: str = ""
    namespace: str = ""
    experiment: str = "angiopipe"
    service_account: str = ""
    ca_file: str = ""
    request_seconds: float = Field(default=30, gt=0)
    context: str = ""
    autoscaled: bool = False
    token: SecretStr = SecretStr("")
    images: dict[str, str] = {}
    pin_images: bool = True
    image_pull_secrets: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    env: Environment = {}
    secret_env: dict[str, SecretKey] = {}
    storage: Storage = Storage()
    tracking_uri: str = ""
    beam_args: tuple[str, ...] = ()
    pools: dict[str, Pool] = {}
    steps: dict[str, dict[str, Any]] = {}
    parameters: dict[str, dict[str, Any]] = {}
    schedules: dict[str, Cron] = {}

    @field_validator("images")
    @classmethod
    def _are_known(cls, images: dict[str, str]) -> dict[str, str]:
        unknown = sorted(images.keys() - IMAGES.keys())
        if unknown:
            raise ValueError(f"expected only {', '.join(IMAGES)}, found {', '.join(unknown)}")
        return images

    @model_validator(mode="after")
    def _steps_are_valid(self) -> Settings:
        """Says now what compiling would say later."""
        known = ("default", *STEPS)
        if unknown := sorted(self.steps.keys() - set(known)):
            raise ValueError(f"steps: expected only {', '.join(known)}, found {', '.join(unknown)}")
        for name in self.steps:
            step = self.step(name)
            if step.pool and step.pool not in self.pools:
                raise ValueError(
                    f"steps.{name}.pool: expected one of {sorted(self.pools)}, found {step.pool!r}"
                )
            if step.accelerators and not (step.pool and self.pools[step.pool].accelerator):
                raise ValueError(
                    f"steps.{name}.accelerators: expected a pool that names its accelerator, found "
                    f"{step.pool or 'no pool'!r}"
                )
        return self

    def step(self, component: str, parameters: Mapping[str, Any] | None = None) -> Step:
        """What the pod of a component gets: the settings' own, else this library's, else `Step`'s.

        Args:
          component: its name.
          parameters: of the pipeline; with `cluster_settings` among them `train` is a `LAUNCH` too.
        """
        launches = component == "train" and bool((parameters or {}).get("cluster_settings"))
        names = (component, LAUNCH) if launches else (component,)
        own: dict[str, Any] = {}
        for rows in (STEPS, {name: self.steps.get("default", {}) for name in names}, self.steps):
            for name in names:
                own |= rows.get(name, {})
        try:
            return Step(**own)
        except ValidationError as error:
            raise ValueError(f"steps.{component}: {in_words(error)}") from None

    def parameters_of(self, pipeline: str) -> dict[str, Any]:
        """The settings' values for a pipeline's parameters.

        Raises:
          PipelineError: it has no such parameter, or of another type; names every one.
        """
        from pipelines.graphs import parameters

        known = parameters(pipeline)
        shared = {"data_root": self.storage.data_root, "tracking_uri": self.tracking_uri}
        given: dict[str, Any] = {name: value for name, value in shared.items() if value and name in known}
        if self.beam_args and "beam_args" in known:
            given["beam_args"] = list(self.beam_args)
        own = self.parameters.get(pipeline, {})
        wrong = [
            _wrong(name, value, known[name].type if name in known else None) for name, value in own.items()
        ]
        if any(wrong):
            raise PipelineError(f"settings, parameters.{pipeline}: " + "; ".join(filter(None, wrong)))
        return given | own


def load_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads the settings, of which the environment may replace any field.

    Args:
      path: a YAML file; None is the one that ANGIOPIPE_KFP_SETTINGS names, or none.
      environ: its variables that begin with `PREFIX` count, `__` leads into a field.

    Raises:
      PipelineError: the file cannot be read, or a field is unknown or wrong; names every one.
    """
    named = path or (Path(environ[SETTINGS_VARIABLE]) if environ.get(SETTINGS_VARIABLE) else None)
    where = str(named or "settings")
    try:
        content = yaml.safe_load(named.read_text(encoding="utf-8")) if named else {}
    except (OSError, yaml.YAMLError) as error:
        raise PipelineError(f"{where}: expected a YAML file of settings, found {error}") from None
    if not isinstance(content or {}, dict):
        raise PipelineError(f"{where}: expected fields and values, found {type(content).__name__}")
    if "token" in (content or {}):
        raise PipelineError(f"{where}: expected no token in a file; give it in {TOKEN_VARIABLE}")
    try:
        return Settings.model_validate(_overridden(content or {}, environ))
    except ValidationError as error:
        raise PipelineError(f"{where}: {in_words(error)}; docs/pipelines.md names all fields") from None


def in_words(error: ValidationError) -> str:
    """Every fault of the settings in one line each would be long; here in one sentence each."""
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")]))
        for one in error.errors()
    )


def _overridden(content: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    result = dict(content)
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == SETTINGS_VARIABLE:
            continue
        *path, last = name.removeprefix(PREFIX).lower().split("__")
        inner = result
        for part in path:
            inner[part] = dict(inner.get(part) or {})
            inner = inner[part]
        inner[last] = value if name == TOKEN_VARIABLE else yaml.safe_load(value)
    return result


def _wrong(name: str, value: Any, kind: Any) -> str:
    if kind is None:
        return f"{name}: the pipeline has no such parameter"
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return f"{name}: expected {getattr(kind, '__name__', kind)}, found {value!r}"
    return ""


def _six_fields(cron: str) -> str:
    if not re.fullmatch(r"\S+( \S+){5}", cron):
        raise ValueError(
            f"expected six cron fields, seconds first, such as '0 0 3 * * 1' (Mondays at 03:00 UTC), found {cron!r}"
        )
    return cron
