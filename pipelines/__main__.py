"""Compiles, runs, submits and schedules the pipelines: `python -m pipelines COMMAND PIPELINE`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from angiopipe.ending import told
from pipelines.errors import PipelineError
from pipelines.graphs import PIPELINES

COMMANDS = {
    "compile": ("pipelines.commands.compile", "compile_pipeline"),
    "run": ("pipelines.commands.run", "run_pipeline"),
    "submit": ("pipelines.commands.submit", "submit"),
    "schedule": ("pipelines.commands.schedule", "schedule"),
    "unschedule": ("pipelines.commands.schedule", "unschedule"),
}
"""Each command's module and function. Only the one called is imported, where a signal is heard already."""

USAGE = f"""usage: python -m pipelines {"|".join(COMMANDS)} {"|".join(PIPELINES)} [--help]
       python -m pipelines resume RUN [--help]
       python -m pipelines status [--help]"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Dispatches to a command.

    Raises:
      SystemExit: with what stopped the command, in words.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with told(" ".join(["python -m pipelines", *given[:2]])):
        try:
            match given:
                case ["status", *rest]:
                    importlib.import_module("pipelines.commands.status").status(rest)
                case ["resume", run_id, *rest] if not run_id.startswith("-"):
                    importlib.import_module("pipelines.commands.resume").resume(run_id, rest)
                case [command, pipeline, *rest] if command in COMMANDS:
                    module, function = COMMANDS[command]
                    getattr(importlib.import_module(module), function)(pipeline, rest)
                case _:
                    sys.exit(USAGE)
        except PipelineError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
