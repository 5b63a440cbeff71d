"""What a run will ask of the cluster, told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.commands.room import job_settings
from pipelines.kubeflow.answers import text
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import is_finished
from pipelines.kubeflow.steps import SUCCEEDED, seconds, state_of
from pipelines.package import Package
from pipelines.settings import Pool, Settings


def preview(kubeflow: Kubeflow, package: Package, values: Mapping[str, Any]) -> list[str]:
    """The steps with what each asks for, the TrainJob, and how long the last like run took, a line each."""
    settings = kubeflow.settings
    lines = ["asks for", *(f"  {name:12} {_asked(settings, name, values)}" for name in package.tasks)]
    if values.get("cluster_settings"):
        lines.append(f"  {'TrainJob':12} {_trainjob(values)}")
    took = _last_like(kubeflow, package.name)
    lines.append(
        "  one step after the other; "
        + (f"the last like run took {took:.0f} s" if took else "no like run has succeeded yet")
    )
    if not settings.context:
        lines.append("  not checked: whether a node can hold them, as the settings name no `context`")
    return lines


def _asked(settings: Settings, name: str, values: Mapping[str, Any]) -> str:
    step = settings.step(name, values)
    pool = settings.pools.get(step.pool, Pool())
    gpus = f", {step.accelerators} {pool.accelerator}" if step.accelerators else ""
    return f"cpu {step.cpu}, memory {step.memory}{gpus}" + (f", pool {step.pool}" if step.pool else "")


def _trainjob(values: Mapping[str, Any]) -> str:
    job = job_settings(values)
    if job is None:
        return f"as {values['cluster_settings']} says, which was not read from here"
    gpus = f", {job.gpus} {job.gpu_resource}" if job.gpus else ""
    return f"{job.workers} workers, each cpu {job.cpu}, memory {job.memory}{gpus}"


def _last_like(kubeflow: Kubeflow, pipeline: str) -> float:
    """Seconds that the last run of a pipeline took that succeeded; 0 where none is known."""
    experiment, pipeline_id = kubeflow.find_experiment(), kubeflow.find_pipeline(pipeline)
    for run in kubeflow.last_runs(experiment) if experiment and pipeline_id else ():
        same = text(run, "pipeline_version_reference", "pipeline_id") == pipeline_id
        if same and is_finished(run) and state_of(run) == SUCCEEDED:
            return seconds(run)
    return 0.0
