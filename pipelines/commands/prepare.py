"""What `submit` and `schedule` do before anything is sent: compile, pin, name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.arguments import Options
from pipelines.commands.reach import refuse_what_pods_cannot_reach
from pipelines.commands.room import refuse_what_no_node_holds
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
      PipelineError: pods cannot reach what a parameter or the settings name, no node could hold a step, an
        image's digest cannot be had, or there is no commit to name.
    """
    refuse_what_pods_cannot_reach(settings, values)
    defaults = settings.parameters_of(pipeline)
    package = compile_package(pipeline, settings, defaults, values)
    refuse_what_no_node_holds(settings, package, values)
    if settings.pin_images and not options.unpinned:
        by_digest = pinned(settings, package.images)
        if by_digest != settings:
            package = compile_package(pipeline, by_digest, defaults, values)
    return package, options.version or version_name(package)
