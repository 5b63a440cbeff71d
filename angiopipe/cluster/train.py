"""The train step's way to a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from angiopipe.cluster.launcher import launch
from angiopipe.cluster.settings import load_cluster_settings
from angiopipe.cluster.trainjob import COMMAND, TrainJob


def train_on_cluster(
    settings: str,
    run_id: str,
    arguments: Sequence[str],
    command: Sequence[str] = COMMAND,
    steps_done: Callable[[], int] = lambda: 0,
) -> None:
    """Trains as a TrainJob, until it has ended well.

    Args:
      settings: URI of a YAML file of `ClusterSettings`.
      run_id: the run's name, after which the job is called.
      arguments: flags and values as on a command line. What they name must be in reach of every worker:
        object stores, or a file system that all nodes mount.
      command: what takes them.
      steps_done: how many steps the run's checkpoints hold; while there are more after each failure of the
        cluster's, it is launched again.

    Raises:
      ValueError: the settings are wrong.
      OSError: the job failed, took too long, or was refused; see `launcher.launch`.
    """
    job = TrainJob(run_id, tuple(arguments), load_cluster_settings(settings), tuple(command))
    launch(job, steps_done=steps_done)
