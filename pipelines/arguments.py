"""The command line: a command's own options, and each of the pipeline's parameters as a flag."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from pipelines.errors import PipelineError
from pipelines.graphs import REQUIRED, Parameter, parameters
from pipelines.settings import SETTINGS_VARIABLE, Settings, load_settings

REPLACED = ("{{", "/kfp-workspace", "pipelinechannel--")
"""Texts that Kubeflow, or Argo below it, takes for its own wherever they stand in a parameter."""


@dataclass(frozen=True)
class Options:
    """What every command takes.

    Attributes:
      settings: YAML file of settings; else the one that ANGIOPIPE_KFP_SETTINGS names, else defaults.
    """

    settings: Path | None = None


O = TypeVar("O", bound=Options)  # noqa: E741


def parse(
    command: str, pipeline: str, options: type[O], arguments: Sequence[str], complete: bool = True
) -> tuple[Settings, O, dict[str, Any]]:
    """Reads the command line of one command.

    A parameter's value is the flag's, else the settings', else the pipeline's default.

    Args:
      command: its name.
      pipeline: whose parameters are flags.
      options: the command's own.
      arguments: what follows the pipeline on the command line.
      complete: whether the parameters without a default have to be given.

    Returns:
      The settings, the options, and the value of each parameter that has one.

    Raises:
      PipelineError: the settings are wrong, or Kubeflow would not hand a parameter on as it is.
      SystemExit: the arguments are, or help was asked for.
    """
    settings = load_settings(_settings_file(arguments))
    flags = _flags(parameters(pipeline), settings.parameters_of(pipeline), complete)

    def collect(own: Any, values: Any) -> tuple[Any, dict[str, Any]]:
        return own, {name: value for name, value in vars(values).items() if value is not None}

    collect.__annotations__ = {
        "own": Annotated[options, tyro.conf.arg(name="")],
        "values": Annotated[flags, tyro.conf.arg(name="")],
    }
    own, values = tyro.cli(
        collect,
        prog=f"python -m pipelines {command} {pipeline}",
        description=options.__doc__.split("\n")[0] if options.__doc__ else None,
        args=list(arguments),
    )
    refuse_what_kubeflow_replaces(values)
    return settings, own, values


def refuse_what_kubeflow_replaces(values: Mapping[str, Any]) -> None:
    """Refuses parameters that a step would not get as they were given.

    Raises:
      PipelineError: names each.
    """
    faults = []
    for name, value in values.items():
        text = " ".join(value) if isinstance(value, list) else str(value)
        flag = f"--{name.replace('_', '-')}"
        faults += [
            f"{flag}: expected no {own!r} in it, which means something to Kubeflow, found {text!r}; rename the folder"
            for own in REPLACED
            if own in text
        ]
        if text != text.encode(errors="replace").decode():
            faults.append(f"{flag}: expected text in UTF-8, found {text!r}; rename the folder")
    if faults:
        raise PipelineError("; ".join(faults))


def parse_options(command: str, options: type[O], arguments: Sequence[str]) -> tuple[Settings, O]:
    """Reads the command line of a command that starts no run, so that it takes no parameters."""
    own = tyro.cli(options, prog=f"python -m pipelines {command}", args=list(arguments))
    return load_settings(_settings_file(arguments)), own


def _settings_file(arguments: Sequence[str]) -> Path | None:
    """The settings come first: the flags' defaults are theirs."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--settings", type=Path)
    try:
        return parser.parse_known_args(list(arguments))[0].settings
    except argparse.ArgumentError:
        return None  # The command line proper tells what is wrong.


def _flags(known: dict[str, Parameter], given: dict[str, Any], complete: bool) -> type:
    """A dataclass of a pipeline's parameters, with the settings' values for defaults."""
    fields: list[Any] = []
    for one in known.values():
        default: Any = given.get(one.name, one.default)
        optional = default is REQUIRED and not complete
        kind: Any = one.type | None if optional else one.type
        described = Annotated[kind, tyro.conf.arg(help=one.help or None)]
        fields.append((one.name, described, _field(None if optional else default)))
    return dataclasses.make_dataclass("Parameters", fields, kw_only=True)


def _field(default: Any) -> Any:
    if default is REQUIRED:
        return dataclasses.field()
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default))
    return dataclasses.field(default=default)


__all__ = ["Options", "SETTINGS_VARIABLE", "parse", "parse_options"]
