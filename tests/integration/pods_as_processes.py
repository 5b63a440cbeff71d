"""The train step against an API whose pods are processes of this machine, the second of which is killed once.

usage: pods_as_processes.py FOLDER STEP RUN_ID CLUSTER_SETTINGS OVERRIDE...   kills it after the checkpoint of that step
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import yaml

from angiopipe.training.checkpoint import CHECKPOINTS, steps_done
from angiopipe.training.cluster import loopback_addresses, tf_config
from angiopipe.training.train import train

# Some package that is installed has a folder of that name, too.
sys.modules["tests"] = types.ModuleType("tests")
sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.unit.cluster.replayed_api import CREATED, Frame, Object, ReplayedApi  # noqa: E402
from tests.unit.cluster.seen import COMPLETE, FAILED, at, pod  # noqa: E402

CLEARED_SECONDS = 2.0
"""How long a job's other pods run on once one has failed."""


class PodsAsProcesses(ReplayedApi):
    """Runs what a TrainJob asks for, each pod as a process that finds its peers on loopback."""

    def __init__(self, folder: Path):
        self.processes: list[subprocess.Popen] = []
        self._folder = folder
        self._failed_at, self._cleared = 0.0, set[int]()
        super().__init__()

    def create(self, body: Object) -> Object:
        job = super().create(body)
        trainer = body["spec"]["trainer"]
        environment = {one["name"]: one["value"].replace("$$", "$") for one in trainer["env"]}
        addresses = loopback_addresses(trainer["numNodes"])
        command = [
            sys.executable,
            *trainer["command"][1:],
            *(one.replace("$$", "$") for one in trainer["args"]),
        ]
        self._failed_at, self._cleared = 0.0, set[int]()
        self.processes = []
        for index in range(len(addresses)):
            with self._log(index).open("wb") as log:
                config = {**os.environ, **environment, "TF_CONFIG": tf_config(addresses, index)}
                self.processes.append(subprocess.Popen(command, env=config, stdout=log, stderr=log))
        return job

    def _log(self, index: int) -> Path:
        return self._folder / f"log-{self.made}-{index}"

    @property
    def frame(self) -> Frame:
        codes = [one.poll() for one in self.processes]
        if any(codes) and not self._failed_at:
            self._failed_at = time.monotonic()
        cleared = bool(self._failed_at) and time.monotonic() - self._failed_at > CLEARED_SECONDS
        if cleared:
            self._cleared |= {index for index, code in enumerate(codes) if code is None}
            self._end()
        ended_well = bool(codes) and all(code == 0 for code in codes)
        conditions = [COMPLETE] if ended_well else [FAILED] if cleared else []
        pods = [self._pod(index, code) for index, code in enumerate(codes) if index not in self._cleared]
        return Frame(pods, conditions)

    def _pod(self, index: int, code: int | None) -> Object:
        ended = {
            "exitCode": code if (code or 0) >= 0 else 128 - code,
            "reason": "Error",
            "finishedAt": at(20),
        }
        state = {"running": {"startedAt": CREATED}} if code is None else {"terminated": ended}
        return pod(index, state, name=f"pod-{self.made}-{index}", uid=f"pod-{self.made}-{index}")

    @property
    def logs(self) -> dict[str, list[tuple[float, str]]]:
        return {
            f"pod-{self.made}-{index}": [(3.0, line) for line in self._log(index).read_text().splitlines()]
            for index in range(len(self.processes))
        }

    @logs.setter
    def logs(self, logs: Any) -> None:
        pass

    def _end(self) -> None:
        for one in self.processes:
            one.kill()
            one.wait()


def kill_once(api: PodsAsProcesses, checkpoints: str, step: int) -> None:
    while steps_done(checkpoints) < step:
        time.sleep(0.05)
    os.kill(api.processes[1].pid, signal.SIGKILL)


def main(folder: str, step: str, run_id: str, settings: str, *overrides: str) -> None:
    api = PodsAsProcesses(Path(folder))
    cluster = {"name": "here", "cluster": {"server": api.url}}
    user = {"name": "me", "user": {"token": "t"}}
    context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
    config = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "here"}
    kubeconfig = Path(folder, "kubeconfig")
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    os.environ["KUBECONFIG"] = str(kubeconfig)
    root = str(Path(folder, "root"))
    checkpoints = f"{root}/runs/{run_id}/{CHECKPOINTS}"
    threading.Thread(target=kill_once, args=(api, checkpoints, int(step)), daemon=True).start()
    train(
        examples=str(Path(folder, "examples.json")),
        out=str(Path(folder, f"{run_id}.json")),
        data_root=root,
        run_id=run_id,
        overrides=overrides,
        cluster_settings=settings,
    )
    api.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
