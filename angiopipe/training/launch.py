"""Workers as processes of this machine: started together, watched, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

from angiopipe.environment import usable_cores
from angiopipe.logs import plain_lines
from angiopipe.training.cluster import loopback_addresses, tf_config

LAUNCHED_VARIABLE = "ANGIOPIPE_LAUNCHED"
"""Tells a worker that its standard input closes when its launcher is gone."""

_POLL_SECONDS = 0.1
_TERMINATE_SECONDS = 3.0
"""How long a worker has between being asked to end and being killed."""
_LAST_LINES = 20


def launch(command: Sequence[str], workers: int) -> None:
    """Runs a command once per worker, each with its own TF_CONFIG, until all have ended.

    What worker 0 prints is passed on; of the others' output the last lines are kept. When one fails,
    the others are terminated, and killed if that does not end them within 3 s (TensorFlow ignores SIGTERM at times).

    Args:
      command: program and arguments, the same for every worker.
      workers: how many.

    Raises:
      ChildProcessError: a worker failed.
    """
    addresses = loopback_addresses(workers)
    running: list[_Worker] = []
    try:
        for index in range(workers):
            running.append(_Worker(command, addresses, index))
        while any(worker.process.poll() is None for worker in running):
            _raise_first_failure(running)
            time.sleep(_POLL_SECONDS)
        _raise_first_failure(running)
    finally:
        _end(running)


class _Worker:
    """One process and the last lines it printed."""

    def __init__(self, command: Sequence[str], addresses: Sequence[str], index: int):
        self.index, self.count, self.ended = index, len(addresses), False
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        # Workers that each take all cores would only take turns.
        threads = max(1, usable_cores() // self.count)
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            **os.environ,
            "TF_CONFIG": tf_config(addresses, index),
            LAUNCHED_VARIABLE: "1",
        }
        self.process = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which ends them.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.extend(plain_lines(line.rstrip("\n")))
            if self.index == 0 and not self.ended:
                print(line, end="", file=sys.stderr, flush=True)

    def failure(self) -> str:
        """What happened to a process that failed, in a sentence and its last lines."""
        code = self.process.returncode
        cause = f", killed by {signal.Signals(-code).name}" if code < 0 else ""
        self.reader.join(timeout=1)
        lines = "\n  ".join(self.lines) or "(none)"
        return (
            f"worker {self.index} of {self.count} ended with exit code {code}{cause}; the other workers were "
            f"ended; start again to resume from the last checkpoint; its last lines:\n  {lines}"
        )


def _raise_first_failure(workers: Sequence[_Worker]) -> None:
    failed = [worker for worker in workers if worker.process.poll()]
    if failed:
        # Who was killed did not end because of its peers.
        raise ChildProcessError(min(failed, key=lambda worker: worker.process.returncode).failure())


def _end(workers: Sequence[_Worker]) -> None:
    living = [worker for worker in workers if worker.process.poll() is None]
    for worker in living:
        worker.ended = True
        worker.process.terminate()
    until = time.monotonic() + _TERMINATE_SECONDS
    for worker in living:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
    for worker in workers:
        worker.reader.join(timeout=1)
        if worker.process.stdin:
            worker.process.stdin.close()
