"""`schedule` and `unschedule`: one recurring run of a pipeline, made, replaced or left as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.arguments import Options, parse, parse_options
from pipelines.commands.prepare import VersionOptions, prepare
from pipelines.errors import PipelineError
from pipelines.graphs import load
from pipelines.kubeflow.answers import Object, at, needed, text
from pipelines.kubeflow.api import Kubeflow
from pipelines.settings import Cron, in_words

NOT_YET = "to be made"
_ABSENT = "none"


@dataclass(frozen=True)
class ScheduleOptions(VersionOptions):
    """Makes a pipeline's recurring run what it is to be: one at a time, nothing caught up.

    Attributes:
      cron: when, in six fields, seconds first, UTC; the settings' unless given.
      dry_run: tell what would change, and change nothing.
    """

    cron: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class UnscheduleOptions(Options):
    """Deletes a pipeline's recurring run; its past runs stay.

    Attributes:
      dry_run: tell what would be deleted, and delete nothing.
    """

    dry_run: bool = False


def schedule(pipeline: str, arguments: Sequence[str]) -> None:
    """Creates or replaces a pipeline's recurring run, unless it is as wanted.

    Raises:
      PipelineError: there is no time to run at, or the server refuses it.
    """
    settings, options, values = parse("schedule", pipeline, ScheduleOptions, arguments)
    cron = _cron(options.cron or settings.schedules.get(pipeline, ""))
    kubeflow = Kubeflow(settings)
    package, version = prepare(pipeline, settings, options, values)
    name = schedule_name(pipeline)
    experiment_id = kubeflow.find_experiment() if options.dry_run else kubeflow.experiment()
    if options.dry_run:
        pipeline_id = kubeflow.find_pipeline(package.name) or NOT_YET
        version_id = (
            NOT_YET if pipeline_id == NOT_YET else kubeflow.find_version(pipeline_id, version) or NOT_YET
        )
    else:
        pipeline_id, version_id, _ = kubeflow.upload_version(package, version, settings.experiment)
    body = kubeflow.recurring_run(name, experiment_id or NOT_YET, pipeline_id, version_id, values, cron)
    existing = _named(kubeflow, name, experiment_id)
    _tell(name, version, body, existing, options.dry_run)
    if not options.dry_run:
        _replace(kubeflow, body, existing)


def unschedule(pipeline: str, arguments: Sequence[str]) -> None:
    """Deletes a pipeline's recurring run, if there is one.

    Raises:
      PipelineError: there is no such pipeline, or the server refuses it.
    """
    load(pipeline)
    settings, options = parse_options(f"unschedule {pipeline}", UnscheduleOptions, arguments)
    kubeflow = Kubeflow(settings)
    existing = _named(kubeflow, schedule_name(pipeline), kubeflow.find_experiment())
    for one in existing:
        if not options.dry_run:
            kubeflow.delete_schedule(_id(one))
        print(f"schedule {schedule_name(pipeline)}: {'would be' if options.dry_run else 'is'} deleted")
    if not existing:
        print(f"schedule {schedule_name(pipeline)}: there is none")


def schedule_name(pipeline: str) -> str:
    """The server lets many recurring runs share a name; ours is the only one of this name."""
    return f"angiopipe-{pipeline}"


def _replace(kubeflow: Kubeflow, body: Object, existing: Sequence[Object]) -> None:
    """Leaves exactly one; the new one comes first, so that a refusal leaves the old."""
    same = [one for one in existing if not changes(one, body)]
    keep = _id(same[0]) if same else kubeflow.create_schedule(body)
    for one in existing:
        if _id(one) != keep:
            kubeflow.delete_schedule(_id(one))


def _id(schedule: Object) -> str:
    return needed(schedule, "recurring_run_id", "list the schedules")


def changes(old: Object, new: Object) -> dict[str, tuple[Any, Any]]:
    """What differs between a recurring run and the wanted one: each field's old and new value."""
    before, after = _flat(old), _flat(new)
    # The server names an account where none was asked for.
    names = sorted(before.keys() | after.keys())
    names = [name for name in names if name != "service_account" or name in after]
    differing = [name for name in names if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    return {name: (before.get(name, _ABSENT), after.get(name, _ABSENT)) for name in differing}


def _flat(body: Object) -> dict[str, Any]:
    flat: dict[str, Any] = {
        name: body[name] for name in ("max_concurrency", "mode", "service_account") if name in body
    }
    flat["no_catchup"] = at(body, "no_catchup", default=False)
    flat["cron"] = text(body, "trigger", "cron_schedule", "cron", default=_ABSENT)
    flat["version"] = text(body, "pipeline_version_reference", "pipeline_version_id", default=_ABSENT)
    return flat | at(body, "runtime_config", "parameters", default={})


def _tell(name: str, version: str, body: Object, existing: Sequence[Object], dry_run: bool) -> None:
    would = "would be" if dry_run else "is"
    cron = body["trigger"]["cron_schedule"]["cron"]
    if not existing:
        print(f"schedule {name}: {would} created, at {cron}, version {version}")
        return
    found = [changes(one, body) for one in existing]
    least = min(found, key=len)
    if not least and len(existing) == 1:
        print(f"schedule {name}: unchanged, at {cron}, version {version}")
        return
    print(
        f"schedule {name}: {would} replaced"
        if least
        else f"schedule {name}: {would} the only one of its name"
    )
    for field, (before, after) in least.items():
        print(f"  {field}: {json.dumps(before)} -> {json.dumps(after)}")


def _named(kubeflow: Kubeflow, name: str, experiment_id: str | None) -> list[Object]:
    if experiment_id is None:
        return []
    return [one for one in kubeflow.schedules(experiment_id) if text(one, "display_name") == name]


def _cron(cron: str) -> str:
    if not cron:
        raise PipelineError(
            "cron: expected a time to run at, found none; give --cron or set `schedules` in the settings"
        )
    try:
        return TypeAdapter(Cron).validate_python(cron)
    except ValidationError as error:
        raise PipelineError(f"cron: {in_words(error)}") from None
