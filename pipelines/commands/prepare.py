"""What `submit` and `schedule` do before anything is sent: compile, pin, name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from angiopipe import storage
from pipelines.arguments import Options
from pipelines.errors import PipelineError
from pipelines.images import pinned
from pipelines.package import Package, compile_package
from pipelines.settings import Settings
from pipelines.versions import version_name


@dataclass(frozen=True)
class VersionOptions(Options):
    """What a command takes that uploads a version.

    Attributes:
      version: its name; the commit and the package's digest unless given.
      unpinned: run what the images' tags mean at that time, instead of digests.
    """

    version: str = ""
    unpinned: bool = False


def prepare(
    pipeline: str, settings: Settings, options: VersionOptions, values: Mapping[str, Any]
) -> tuple[Package, str]:
    """Compiles a pipeline with its images pinned.

    The run's parameters are given to the run, so that runs of other parameters share a version, as long as
    their steps need the same; only those of the settings become the package's defaults.

    Returns:
      The package, and the version's name.

    Raises:
      PipelineError: the data would lie on a pod's own disk, there is no registry for the model, an image's
        digest cannot be had, or there is no commit to name.
    """
    _refuse_what_only_a_laptop_has(settings, values)
    defaults = settings.parameters_of(pipeline)
    package = compile_package(pipeline, settings, defaults, values)
    if settings.pin_images and not options.unpinned:
        by_digest = pinned(settings, package.images)
        if by_digest != settings:
            package = compile_package(pipeline, by_digest, defaults, values)
    return package, options.version or version_name(package)


def _refuse_what_only_a_laptop_has(settings: Settings, values: Mapping[str, Any]) -> None:
    """Says before anything is paid for what the first or the last step would say."""
    faults = []
    if storage.is_local(values.get("data_root", "s3://")):
        faults.append(
            f"data_root: expected a URI that every pod reaches, found {values['data_root']}; give s3:// or gs://"
        )
    named = {*settings.env, *settings.secret_env, *settings.storage.secret_env}
    if not values.get("tracking_uri", "given") and "MLFLOW_TRACKING_URI" not in named:
        faults.append(
            "tracking_uri: expected MLflow's server, found none; set `tracking_uri` in the settings, or "
            "MLFLOW_TRACKING_URI in `env`"
        )
    if faults:
        raise PipelineError("; ".join(faults))
