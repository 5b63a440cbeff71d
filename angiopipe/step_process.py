"""A step's process on this machine: `python -m angiopipe.step_process -m MODULE ARGUMENTS` runs a module as Python does.

It ends in words, and with whoever reads its output: a pipeline that was stopped or killed leaves no step behind.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

from angiopipe import storage
from angiopipe.ending import END_SECONDS, is_unread, told

FAILED = "angiopipe-failed "
"""How the lines begin that say why the step failed, for who follows its output."""


def main() -> None:
    """Runs the module that the command line names; Kubeflow names the step's function last."""
    sys.argv[:] = sys.argv[2:]
    threading.Thread(target=_end_with_reader, daemon=True).start()
    with told(f"{sys.argv[-1]} failed", FAILED):
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_reader() -> None:
    """Asks this process to end once nobody reads its output any more."""
    is_unread(sys.stdout, wait=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS + 1)  # A main thread that is deep in TensorFlow hears no signal.
    storage.abandon()
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
