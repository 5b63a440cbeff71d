"""A Flink cluster with Beam's job server and worker pools, as separate processes on loopback.

The layout is the one for Kubernetes: a JobManager, a job server that takes Beam's graphs, and
TaskManagers, each with a pool that starts its Python workers, which are replaced when they are lost.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from infra.flink.member import Member, answers, free_ports, start_member

HERE = Path(__file__).parent
JAR = HERE / "target" / "beam-flink.jar"
"""What `mvn package` makes of `pom.xml`."""

TASK_MANAGERS = 2
START_SECONDS = 90
LOOPBACK = "127.0.0.1"

JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"

JAVA_OPTIONS = (
    f"@{HERE / 'java.options'}",
    "-XX:TieredStopAtLevel=1",  # Short-lived processes: the second compiler would cost more than it gives.
)


@dataclass(frozen=True)
class Machine:
    """What Kubernetes would put into one pod: a TaskManager and the pool of its Python workers."""

    pool: Member
    task_manager: Member

    @property
    def runs(self) -> bool:
        return self.pool.runs and self.task_manager.runs

    def kill(self) -> None:
        self.task_manager.kill()
        self.pool.kill()


class LocalCluster:
    """The processes; `stop` is to be called whatever happens.

    Attributes:
      members: every process ever started, dead ones too.
      start_seconds: what the whole start took.
    """

    def __init__(self, folder: Path):
        """Starts nothing yet.

        Args:
          folder: new; takes the configuration, the logs and Flink's temporary files.
        """
        self.folder = folder
        self.members: list[Member] = []
        self.start_seconds = 0.0
        names = ("rpc", "rest", "job", "artifact", "expansion", "pool")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._machines: list[Machine] = []
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._replace_lost_machines, daemon=True)

    @property
    def beam_args(self) -> tuple[str, ...]:
        """The options that send a step's graph here, in one string as on the command line."""
        options = (
            "--runner=PortableRunner",
            f"--job_endpoint={LOOPBACK}:{self._ports['job']}",
            "--environment_type=EXTERNAL",
            f"--environment_config=worker-pool:{self._ports['pool']}",
            f"--parallelism={TASK_MANAGERS}",
        )
        return (" ".join(options),)

    @property
    def machines(self) -> list[Machine]:
        """Those that run, in the order of their start."""
        return [machine for machine in self._machines if machine.runs]

    def start(self) -> None:
        """Starts every part and waits until each answers.

        Raises:
          RuntimeError: a part ended or did not answer in time; the last lines of its log are told.
        """
        started = time.monotonic()
        self._write_config()
        job_manager = self._start_java(
            "jobmanager",
            JOB_MANAGER,
            *self._flink_options(
                f"jobmanager.bind-host={LOOPBACK}",
                f"rest.address={LOOPBACK}",
                f"rest.bind-address={LOOPBACK}",
                f"rest.port={self._ports['rest']}",
            ),
        )
        job_server = self._start_java("jobserver", JOB_SERVER, *self._job_server_options())
        for _ in range(TASK_MANAGERS):
            self._start_machine()
        self._await("Flink's JobManager", LOOPBACK, "rest", job_manager)
        self._await("Beam's job server", LOOPBACK, "job", job_server)
        task_managers = [machine.task_manager for machine in self._machines]
        self._await(
            "the JobManager with all TaskManagers", LOOPBACK, "rest", *task_managers, ready=self.is_whole
        )
        self._supervisor.start()
        self.start_seconds = time.monotonic() - started

    def stop(self) -> None:
        """Ends every process and removes all but the logs; Flink keeps a copy of the jar for every job."""
        self._ending.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        for member in self.members:
            member.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def is_whole(self) -> bool:
        """Whether the JobManager knows as many TaskManagers as there should be."""
        try:
            return len(self._ask("/taskmanagers")["taskmanagers"]) >= TASK_MANAGERS
        except OSError:
            return False  # It listens before it can answer.

    def failures(self) -> int:
        """How many failures the jobs so far have met, survived ones included."""
        jobs = self._ask("/jobs/overview")["jobs"]
        histories = [self._ask(f"/jobs/{job['jid']}/exceptions")["exceptionHistory"] for job in jobs]
        return sum(len(history["entries"]) for history in histories)

    @contextmanager
    def explaining(self, seconds: float) -> Iterator[None]:
        """A block of work on the cluster: cut off after `seconds`, its failure told with all logs' ends."""
        deadline = threading.Timer(seconds, self.stop)
        deadline.start()
        try:
            yield
        except BaseException as error:
            if self._ending.is_set():
                error.add_note(f"the cluster was stopped: expected the work to take less than {seconds} s")
            for member in self.members:
                error.add_note(member.last_lines())
            raise
        finally:
            deadline.cancel()

    def _write_config(self) -> None:
        self._scratch.mkdir(parents=True)
        shutil.copy(HERE / "flink-conf.yaml", self.folder)

    @property
    def _scratch(self) -> Path:
        return self.folder / "scratch"

    def _flink_options(self, *own: str) -> list[str]:
        """A Flink process's configuration: the file that all share, and what its place decides."""
        shared = (
            f"jobmanager.rpc.address={LOOPBACK}",
            f"jobmanager.rpc.port={self._ports['rpc']}",
            f"io.tmp.dirs={self._scratch}",
        )
        return ["--configDir", str(self.folder), *(f"-D{setting}" for setting in (*shared, *own))]

    def _job_server_options(self) -> list[str]:
        return [
            f"--job-host={LOOPBACK}",
            f"--job-port={self._ports['job']}",
            f"--artifact-port={self._ports['artifact']}",
            f"--expansion-port={self._ports['expansion']}",
            f"--artifacts-dir={self.folder / 'artifacts'}",
            f"--flink-master={LOOPBACK}:{self._ports['rest']}",
            f"--flink-conf-dir={self.folder}",
        ]

    def _start_machine(self) -> None:
        """Starts a pool and, once it answers, the TaskManager that will use it.

        A pod has a `localhost` of its own. Here each pool has a loopback address of its own, which
        only its TaskManager knows, by the name that all TaskManagers are told.
        """
        number = len(self._machines) + 1
        host = f"127.0.0.{1 + number}"
        hosts = self.folder / f"hosts-{number}"
        hosts.write_text(f"{LOOPBACK} localhost {socket.gethostname()}\n{host} worker-pool\n")
        address = f"{host}:{self._ports['pool']}"
        pool = self._start(f"workerpool-{number}", sys.executable, str(HERE / "worker_pool.py"), address)
        self._await("Beam's worker pool", host, "pool", pool)
        task_manager = self._start_java(
            f"taskmanager-{number}",
            f"-Djdk.net.hosts.file={hosts}",
            TASK_MANAGER,
            *self._flink_options(f"taskmanager.bind-host={LOOPBACK}", f"taskmanager.host={LOOPBACK}"),
        )
        self._machines.append(Machine(pool, task_manager))

    def _start_java(self, name: str, *arguments: str) -> Member:
        scratch = f"-Djava.io.tmpdir={self._scratch}"
        return self._start(name, "java", *JAVA_OPTIONS, scratch, "-cp", str(JAR), *arguments)

    def _start(self, name: str, *command: str) -> Member:
        self.members.append(start_member(name, command, self.folder))
        return self.members[-1]

    def _replace_lost_machines(self) -> None:
        """Keeps the number of machines, as a Kubernetes Deployment does."""
        while not self._ending.wait(0.2):
            if len(self.machines) < TASK_MANAGERS:
                self._start_machine()

    def _await(
        self, title: str, host: str, port: str, *needed: Member, ready: Callable[[], bool] = lambda: True
    ) -> None:
        """Waits until a part answers on its port and is ready, as long as the needed members run."""
        deadline = time.monotonic() + START_SECONDS
        address = f"{host}:{self._ports[port]}"
        while not self._ending.is_set() and not (answers(host, self._ports[port]) and ready()):
            ended = [f"{member.name} ended" for member in needed if not member.runs]
            if ended or time.monotonic() > deadline:
                told = ", ".join(ended) or f"not within {START_SECONDS} s"
                logs = "\n".join(member.last_lines() for member in needed)
                raise RuntimeError(f"{title} did not answer on {address}: {told}; {logs}")
            time.sleep(0.2)

    def _ask(self, path: str) -> Any:
        """The JobManager's answer to a GET request; loopback is never behind a proxy."""
        url = f"http://{LOOPBACK}:{self._ports['rest']}{path}"
        with build_opener(ProxyHandler({})).open(url, timeout=10) as answer:
            return json.load(answer)
