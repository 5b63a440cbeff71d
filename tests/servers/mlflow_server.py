"""A real `mlflow server` on loopback that a test may kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.seaweedfs import free_ports

START_SECONDS = 300
"""A machine that does other things takes a minute; alone it is up in ten seconds."""


class MlflowServer:
    """`mlflow server` in a process group of its own, always on the same port.

    Attributes:
      uri: where it listens while it runs.
    """

    def __init__(
        self, folder: Path, backend: str, artefacts: str, *options: str, variables: Mapping[str, str] = {}
    ):
        """Starts nothing yet; `folder` is for its log."""
        [port] = free_ports(1)
        self.uri, self.log = f"http://127.0.0.1:{port}", folder / "mlflow-server.log"
        self.command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", backend, "--artifacts-destination", artefacts, *options,
        ]  # fmt: skip
        own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self.environment = {**own, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=self.environment,
                cwd=self.log.parent, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no MLflow server:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.3)

    def kill(self) -> None:
        """Kills it and its workers at once, as a machine that fails does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
