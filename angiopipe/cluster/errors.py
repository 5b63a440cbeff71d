"""How training on a cluster fails."""

from __future__ import annotations

from collections.abc import Sequence


class ClusterError(OSError):
    """The cluster refuses, cannot be reached, or has lost the job."""


class WorkerFailed(ChildProcessError):
    """A worker ended in error.

    Attributes:
      worker: its number, counted from 0; None where none was seen to fail.
      exit_code: None where it was not seen.
      reason: Kubernetes' word, such as OOMKilled, StartError, Error, Evicted, Deleted.
      last_lines: the end of its log.
      passing: the cluster or the network ended it, not its program, so that another try may end well.
      message: all of it but the last lines.
    """

    def __init__(
        self,
        message: str,
        worker: int | None,
        exit_code: int | None,
        reason: str,
        last_lines: Sequence[str],
        passing: bool = False,
    ):
        self.worker, self.exit_code, self.reason = worker, exit_code, reason
        self.last_lines, self.passing, self.message = list(last_lines), passing, message
        super().__init__("\n  ".join([message, *self.last_lines]))
