"""The command line: each command is a step function, its flags that function's parameters."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
import sys
from collections.abc import Sequence

from angiopipe.ending import told

COMMANDS = {
    "synthesize": "angiopipe.cohort.synthetic.synthesize",
    "pretrain": "angiopipe.pretraining.pretrain",
    "validate": "angiopipe.cohort.validate",
    "ingest": "angiopipe.dataflow.ingest",
    "audit": "angiopipe.records.audit",
    "preprocess": "angiopipe.dataflow.preprocess",
    "search": "angiopipe.training.search",
    "train": "angiopipe.training.train",
    "evaluate": "angiopipe.evaluation.evaluate",
    "register": "angiopipe.registry.register",
    "news": "angiopipe.registry.news",
    "promote": "angiopipe.registry.promote",
    "rollback": "angiopipe.registry.champion",
    "history": "angiopipe.registry.champion",
    "verify": "angiopipe.registry.verify",
    "score": "angiopipe.registry.score",
}
"""Each command's module, which has a function of the command's name. Only the one called is imported."""


ALLOCATIONS_A_COLLECTION = 50_000
"""Python's own 700 would spend a third of the time it takes to import Apache Beam on looking for
cycles among modules and classes that stay."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; tells in one message why it failed."""
    gc.set_threshold(ALLOCATIONS_A_COLLECTION, *gc.get_threshold()[1:])
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else "--help"
    with told(f"angiopipe {name}" if name in COMMANDS else "angiopipe"):
        if name not in COMMANDS:
            print(_usage(), flush=True)
            sys.exit(0 if name in ("-h", "--help") else f"angiopipe: no command {name!r}")
        import tyro

        command = getattr(importlib.import_module(COMMANDS[name]), name)
        tyro.cli(command, prog=f"angiopipe {name}", args=list(arguments[1:]))


def _usage() -> str:
    lines = [f"  {name:12}{_summary(module, name)}" for name, module in COMMANDS.items()]
    return "\n".join(["usage: angiopipe COMMAND --help", "", *lines])


def _summary(module: str, function: str) -> str:
    """The first line of a command's docstring, read without importing what the command needs."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return ""
    with open(found.origin, encoding="utf-8") as file:
        for node in ast.parse(file.read()).body:
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


if __name__ == "__main__":
    main()
