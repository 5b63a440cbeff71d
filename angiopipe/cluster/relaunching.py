"""Whether a training that failed is launched again: where it can go on, and as long as it gets further.

Kubeflow Pipelines tries a step again whose pod was lost, not one that failed, so it happens inside the step.
"""

from __future__ import annotations

from collections.abc import Callable

from angiopipe.cluster.errors import WorkerFailed


class Relaunches:
    """The launches of one training and what came of them."""

    def __init__(self, limit: int, steps_done: Callable[[], int], pause_seconds: float):
        """None has been made yet.

        Args:
          limit: how many in a row may end without a later checkpoint.
          steps_done: how many steps the training's checkpoints hold.
          pause_seconds: before the first; each further wait in a row is twice as long.
        """
        self._limit, self._steps_done, self._pause_seconds = limit, steps_done, pause_seconds
        self._launches = self._in_vain = 0
        self._steps = self._look(0)

    def after(self, error: WorkerFailed) -> tuple[str, float]:
        """What is told after a launch that failed, and how many seconds to wait before the next one.

        Raises:
          WorkerFailed: there is no use in a next one.
        """
        self._launches += 1
        steps = self._look(self._steps)
        self._in_vain = 0 if steps > self._steps else self._in_vain + 1
        self._steps = steps
        if not error.passing or not self._limit:
            raise error
        if self._in_vain > self._limit:
            raise _after_all(error, self._launches, self._in_vain)
        pause = self._pause_seconds * 2 ** max(0, self._in_vain - 1)
        start = (
            f"from the checkpoint after step {steps}"
            if steps
            else "from its start, no checkpoint being there"
        )
        times = (
            f", relaunch {self._in_vain} of {self._limit} in a row without a later one"
            if self._in_vain
            else ""
        )
        return f"{error}\nTrainJob is launched again in {pause:g} s, {start}{times}", pause

    def _look(self, otherwise: int) -> int:
        try:
            return self._steps_done()
        except OSError:  # What failed the workers may keep this from being read.
            return otherwise


def _after_all(error: WorkerFailed, launches: int, in_vain: int) -> WorkerFailed:
    told = f"launched {launches} times, {in_vain} of them in a row without a later checkpoint; the last: "
    return WorkerFailed(
        told + error.message, error.worker, error.exit_code, error.reason, error.last_lines, error.passing
    )
