"""One process of a cluster on loopback: started with a log of its own, ended with all it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

LOG_LINES = 25


@dataclass(frozen=True)
class Member:
    """A process that leads a process group of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Ends the process and all that it started, at once (SIGKILL)."""
        with suppress(ProcessLookupError):  # It ended by itself, and so did what it had started.
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"{self.name}, last lines of {self.log}:", *(f"  {line}" for line in lines)])


def start_member(name: str, command: Sequence[str], folder: Path, **environment: str) -> Member:
    """Starts a process whose output goes to `<folder>/<name>.log`, with further variables in its environment."""
    log = folder / f"{name}.log"
    # Beam's worker pool starts its workers by the plain name `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, **environment},
            start_new_session=True,
        )
    return Member(name, process, log)


def answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
