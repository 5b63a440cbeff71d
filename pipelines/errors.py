"""How a command of the pipelines fails."""

from __future__ import annotations


class PipelineError(Exception):
    """What stops a command, in words for who called it."""
