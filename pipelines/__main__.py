"""Compiles, runs, submits and schedules the pipelines: `python -m pipelines COMMAND PIPELINE`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from pipelines.commands.compile import compile_pipeline
from pipelines.commands.run import run_pipeline
from pipelines.commands.schedule import schedule, unschedule
from pipelines.commands.status import status
from pipelines.commands.submit import submit
from pipelines.errors import PipelineError
from pipelines.graphs import PIPELINES

COMMANDS: dict[str, Callable[[str, Sequence[str]], None]] = {
    "compile": compile_pipeline,
    "run": run_pipeline,
    "submit": submit,
    "schedule": schedule,
    "unschedule": unschedule,
}

USAGE = f"""usage: python -m pipelines {"|".join(COMMANDS)} {"|".join(PIPELINES)} [--help]
       python -m pipelines status [--help]"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Dispatches to a command.

    Raises:
      SystemExit: with what stopped the command, in words.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        match given:
            case ["status", *rest]:
                status(rest)
            case [command, pipeline, *rest] if command in COMMANDS:
                COMMANDS[command](pipeline, rest)
            case _:
                sys.exit(USAGE)
    except PipelineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
