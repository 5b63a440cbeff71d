"""Under which name a package is kept: the commit it came from, and what is in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipelines.errors import PipelineError
from pipelines.package import Package

_ROOT = Path(__file__).parents[1]


def version_name(package: Package) -> str:
    """`<commit>-<digest>`, `<commit>-changed-<digest>` where files differ from the commit.

    The digest is the package's: with other settings the same commit makes another package.

    Raises:
      PipelineError: there is no commit to name.
    """
    changed = "-changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{_git('rev-parse', '--short=12', 'HEAD')}{changed}-{package.digest}"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        found = getattr(error, "stderr", "") or error
        raise PipelineError(
            f"{_ROOT}: expected a git checkout whose commit names the version, found {str(found).strip()}; give "
            "--version"
        ) from None
    return done.stdout.strip()
