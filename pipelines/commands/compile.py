"""`compile`: the package as a file, to read, to keep, or to upload by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from angiopipe import storage
from pipelines.arguments import Options, parse
from pipelines.package import compile_package


@dataclass(frozen=True)
class CompileOptions(Options):
    """Writes a pipeline's package, the IR YAML that Kubeflow takes; parameters given become its defaults.

    Attributes:
      out: the file to write; `<pipeline>.yaml` unless given.
    """

    out: Path | None = None


def compile_pipeline(pipeline: str, arguments: Sequence[str]) -> None:
    """Writes a pipeline's package to a file."""
    settings, options, values = parse("compile", pipeline, CompileOptions, arguments, complete=False)
    path = options.out or Path(f"{pipeline}.yaml")
    storage.write_bytes(str(path), compile_package(pipeline, settings, values).content)
    print(f"compiled {pipeline} to {path}")
