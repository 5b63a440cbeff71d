"""What `--wait` does: follows a run, and ends as it does."""

from __future__ import annotations

from collections.abc import Sequence

from angiopipe.outcome import resume_in_words
from pipelines.errors import PipelineError
from pipelines.failures import causes
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import failed_steps, follow, was_terminated
from pipelines.kubeflow.steps import SUCCEEDED, seconds, state_of


def wait(kubeflow: Kubeflow, run_id: str, steps: Sequence[str], data_root: str, poll_seconds: float) -> None:
    """Follows a run to its end, a line for each step's change.

    Args:
      kubeflow: where it runs.
      run_id: of the run.
      steps: the names of the graph's tasks.
      data_root: where its steps leave their errors.
      poll_seconds: between two looks.

    Raises:
      PipelineError: it did not succeed, and why; or it is no longer waited for.
    """
    try:
        run = follow(kubeflow, run_id, steps, poll_seconds, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        raise PipelineError(f"no longer waited for; the run goes on: {kubeflow.run_url(run_id)}") from None
    if state_of(run) == SUCCEEDED:
        print(f"succeeded after {seconds(run):.0f} s")
        return
    if was_terminated(run):
        raise PipelineError(
            f"run {run_id} was terminated after {seconds(run):.0f} s; {resume_in_words(run_id)}"
        )
    failed = ", ".join(failed_steps(run, steps)) or "no step"
    first = f"run {run_id}: {state_of(run).lower()} after {seconds(run):.0f} s; failed: {failed}"
    told = [first, *causes(kubeflow, run, run_id, steps, data_root), resume_in_words(run_id)]
    raise PipelineError("\n".join(told))
