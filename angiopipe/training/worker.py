"""One worker of a training run: `python -m angiopipe.training.worker`, with the flags of `angiopipe train`.

On one machine `angiopipe train --workers N` starts N of them with TF_CONFIG set. On a cluster each pod
of a TrainJob runs the same command with ANGIOPIPE_WORKERS, and TF_CONFIG is made from the pod's name.
"""

from __future__ import annotations

import os
import sys
import threading

import tyro

from angiopipe import stores
from angiopipe.ending import EXPECTED, TRY_AGAIN
from angiopipe.logs import show_log
from angiopipe.training.launch import LAUNCHED_VARIABLE
from angiopipe.training.train import work


def main() -> None:
    """Trains as the worker that the environment names."""
    show_log()
    if LAUNCHED_VARIABLE in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        tyro.cli(work)
    except EXPECTED as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(TRY_AGAIN if stores.is_away(error) else 1)


def _end_with_launcher() -> None:
    # Not through sys.stdin, whose lock a daemon thread must not hold when Python ends.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
