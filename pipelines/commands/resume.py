"""`resume`: a run that goes on with the work of one that failed, here or on Kubeflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.arguments import parse_options
from pipelines.commands.local_runs import resumed_here
from pipelines.commands.prepare import prepare
from pipelines.commands.run import run_here
from pipelines.commands.submit import StartOptions, start
from pipelines.errors import PipelineError
from pipelines.failures import work_of
from pipelines.graphs import PIPELINES
from pipelines.kubeflow.answers import Object, at, needed, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import is_finished
from pipelines.kubeflow.steps import SUCCEEDED, state_of
from pipelines.package import Package
from pipelines.settings import Settings

_NOT_THE_WORK = frozenset({"resources", "env", "retryPolicy", "cachingOptions", "defaultValue"})
"""Fields of a package that say on what its steps run, and with what: a step that had too little memory may get more."""


@dataclass(frozen=True)
class ResumeOptions(StartOptions):
    """Starts a run with the parameters of one that failed, which goes on with what that one finished.

    Attributes:
      data_root: of a run on this machine (`run`); without it the run is Kubeflow's.
    """

    data_root: str = ""


def resume(run_id: str, arguments: Sequence[str]) -> None:
    """Goes on with a run.

    Raises:
      PipelineError: it still runs, or succeeded, or was made by another package; or the new run failed.
    """
    settings, options = parse_options(f"resume {run_id}", ResumeOptions, arguments)
    if options.data_root:
        run_here(*resumed_here(run_id, options.data_root))
    else:
        _resume_on_kubeflow(run_id, settings, options)


def _resume_on_kubeflow(run_id: str, settings: Settings, options: ResumeOptions) -> None:
    kubeflow = Kubeflow(settings)
    run = kubeflow.run(run_id)
    work = work_of(run, run_id)
    _refuse_what_needs_no_resuming(kubeflow, run, run_id, work)
    pipeline, spec = _pipeline_of(kubeflow, run, run_id)
    values = at(run, "runtime_config", "parameters", default={}) | {"run_id": work}
    package, version = prepare(pipeline, settings, options, values)
    _refuse_another_package(package, spec, run_id)
    start(kubeflow, package, version, values, options, work)


def _refuse_what_needs_no_resuming(kubeflow: Kubeflow, run: Object, run_id: str, work: str) -> None:
    """Refuses a run that may still write its folder, or whose work is done, by itself or by one that went on with it."""
    if not is_finished(run):
        raise PipelineError(
            f"run {run_id}: expected one that has failed, found it {state_of(run).lower() or 'without an end'}; wait for "
            f"its end, or end it: {kubeflow.run_url(run_id)}"
        )
    if state_of(run) == SUCCEEDED:
        raise PipelineError(
            f"run {run_id}: expected one that has failed, found it succeeded; there is no more to do"
        )
    for other in kubeflow.last_runs(needed(run, "experiment_id", f"see run {run_id}")):
        other_id = text(other, "run_id")
        if (
            other_id != run_id
            and work_of(other, other_id) == work
            and not (is_finished(other) and state_of(other) != SUCCEEDED)
        ):
            raise PipelineError(
                f"run {run_id}: expected nobody to have gone on with it, found that run {other_id} "
                f"{'did and succeeded' if is_finished(other) else 'does'}: {kubeflow.run_url(other_id)}"
            )


def _pipeline_of(kubeflow: Kubeflow, run: Object, run_id: str) -> tuple[str, Object]:
    """Which of the pipelines a run was of, and its graph as the server has it."""
    wanted = f"see the package of run {run_id}"
    reference = at(run, "pipeline_version_reference", default={})
    answer = kubeflow.version(
        *(needed(reference, name, wanted) for name in ("pipeline_id", "pipeline_version_id"))
    )
    given = at(answer, "pipeline_spec", default={})
    spec = at(given, "pipeline_spec", default={}) or given
    pipeline = text(spec, "pipelineInfo", "name")
    if pipeline not in PIPELINES:
        raise PipelineError(
            f"run {run_id}: expected one of {', '.join(PIPELINES)}, found {pipeline or 'no name of a pipeline'}"
        )
    if "run_id" not in at(spec, "root", "inputDefinitions", "parameters", default={}):
        raise PipelineError(
            f"run {run_id}: expected a package whose runs can be gone on with, found one of an earlier release, without the "
            f"parameter run_id; start anew with `python -m pipelines submit {pipeline}`, which finds the data's steps done"
        )
    return pipeline, spec


def _refuse_another_package(package: Package, spec: Object, run_id: str) -> None:
    mine, theirs = _work(package.documents[0]), _work(spec)
    if mine != theirs:
        parts = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
        raise PipelineError(
            f"run {run_id}: expected this checkout to make its package, found that they differ in {', '.join(parts)} (other "
            "code or images); check out the commit that its version is named after, or start anew with `submit`"
        )


def _work(part: Any) -> Any:
    """A package's graph, or a part of it, without what its steps run on."""
    if isinstance(part, dict):
        return {name: _work(one) for name, one in part.items() if name not in _NOT_THE_WORK}
    return [_work(one) for one in part] if isinstance(part, list) else part
