"""How steps are spread over devices and workers, and which part of the data is a worker's own."""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

_WATCHDOG = """
import select, sys
seconds, message = sys.argv[1:]
if not select.select([sys.stdin], [], [], float(seconds))[0]:
    print(message, file=sys.stderr, flush=True)
"""


@dataclass(frozen=True)
class Share:
    """Which studies of every global batch a worker trains on: consecutive ones, in the workers' order.

    Attributes:
      worker: counted from 0, the chief.
      workers: how many.
      replicas: devices of each worker.
    """

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def per_replica(self, batch_size: int) -> int:
        return batch_size // (self.workers * self.replicas)


def share_of(strategy: tf.distribute.Strategy) -> Share:
    """This process's share under a strategy."""
    resolver = strategy.cluster_resolver
    workers = resolver.cluster_spec().as_dict().get("worker", ()) if resolver else ()
    if not workers:
        return Share(replicas=strategy.num_replicas_in_sync)
    return Share(resolver.task_id, len(workers), strategy.num_replicas_in_sync // len(workers))


def start_strategy(deadline: float) -> tf.distribute.Strategy:
    """The strategy that this process's TF_CONFIG and devices ask for.

    Several workers: one strategy over all of them. One with several GPUs: over these. Else the default.

    Args:
      deadline: seconds to wait for the other workers; then the process ends, with a message.
    """
    addresses = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker", [])
    if len(addresses) > 1:
        message = (
            f"expected {len(addresses)} workers within {deadline:g} s, found some missing; see that all of "
            f"{', '.join(addresses)} run and reach one another, or raise start_deadline"
        )
        with _ended_after(deadline, message):
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextmanager
def _ended_after(seconds: float, message: str) -> Iterator[None]:
    """Ends the process, with exit code 1, if the block takes longer."""
    # TensorFlow holds Python's lock and ignores SIGTERM while it waits for workers, so no thread of
    # Python's can speak, and as a container's first process it cannot be killed from within: another
    # process speaks, and faulthandler's own thread, which needs no lock, ends this one.
    command = [sys.executable, "-c", _WATCHDOG, str(seconds), message]
    with open(os.devnull, "w") as nowhere, subprocess.Popen(command, stdin=subprocess.PIPE) as watchdog:
        faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            if watchdog.stdin:
                watchdog.stdin.close()


def summed(strategy: tf.distribute.Strategy, array: np.ndarray) -> np.ndarray:
    """The sum of every worker's array of one shape and dtype; each worker waits for the others."""
    share = share_of(strategy)
    if share.workers == 1:
        return array

    @tf.function
    def total(own: tf.Tensor) -> tf.Tensor:
        # Every device of a worker adds the same array; only the first one's counts.
        def part() -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return own * tf.cast(replica % share.replicas == 0, own.dtype)

        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(part), axis=None)

    return total(tf.constant(array)).numpy()
