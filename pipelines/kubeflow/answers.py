"""What an answer of Kubeflow Pipelines holds; any field may be absent, null or of another kind than documented."""

from __future__ import annotations

from typing import Any, TypeVar

from pipelines.errors import PipelineError

Object = dict[str, Any]

T = TypeVar("T", str, int, bool, list, dict)


def at(answer: Any, *path: str, default: T) -> T:
    """What an answer holds at a path of names; the default where any part of it is absent or of another type."""
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer if type(answer) is type(default) else default


def text(answer: Any, *path: str, default: str = "") -> str:
    """A text in an answer; an empty one counts as absent."""
    return at(answer, *path, default="") or default


def entries(answer: Any, *path: str) -> list[Object]:
    """The objects of a list in an answer; an empty list may be absent."""
    return [one for one in at(answer, *path, default=[]) if isinstance(one, dict)]


def needed(answer: Any, name: str, wanted: str) -> str:
    """An id in an answer, without which nothing can follow.

    Raises:
      PipelineError: it is absent.
    """
    found = text(answer, name)
    if not found:
        raise PipelineError(
            f"expected to {wanted}, found an answer without `{name}`; see on Kubeflow's pages whether it was done, and "
            "which version answers (docs/pipelines.md names the one that is known)"
        )
    return found
