"""Who works on a training run: TF_CONFIG, for processes on this machine or pods of a TrainJob."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack

WORKERS_VARIABLE = "ANGIOPIPE_WORKERS"
"""How many pods a launcher started; Kubeflow Trainer does not tell them."""

PORT = 2222


def tf_config(addresses: Sequence[str], index: int) -> str:
    """The TF_CONFIG of worker `index`; worker 0 is the chief."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def loopback_addresses(workers: int) -> list[str]:
    """As many addresses on loopback as workers, each with a port that was free a moment ago."""
    with ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(workers)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in bound]


def join(environment: MutableMapping[str, str]) -> None:
    """Sets the TF_CONFIG of a TrainJob's pod; one that is there already stays.

    Raises:
      ValueError: see `pod_config`.
    """
    config = environment.get("TF_CONFIG") or pod_config(environment)
    if config:
        environment["TF_CONFIG"] = config


def pod_config(environment: Mapping[str, str]) -> str | None:
    """The TF_CONFIG of a pod of a Kubeflow Trainer v2 TrainJob, from what the pod finds around it.

    Args:
      environment: ANGIOPIPE_WORKERS (from the launcher), and of a pod among several
        JOB_COMPLETION_INDEX and HOSTNAME, `<job>-node-0-<index>`.

    Returns:
      None where one worker works alone.

    Raises:
      ValueError: a variable is absent, or they contradict one another.
    """
    count = environment.get(WORKERS_VARIABLE, "1")
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{WORKERS_VARIABLE}: expected the number of workers, found {count!r}")
    if int(count) == 1:
        return None
    index, host = environment.get("JOB_COMPLETION_INDEX", ""), environment.get("HOSTNAME", "")
    if not index.isdecimal() or int(index) >= int(count):
        raise ValueError(
            f"JOB_COMPLETION_INDEX: expected a number below {WORKERS_VARIABLE}={count}, found {index!r}; start "
            "the workers as one TrainJob with as many nodes"
        )
    base = host.removesuffix(f"-{index}")
    job = base.removesuffix("-node-0")
    if base == host or job == base:
        raise ValueError(
            f"HOSTNAME: expected <job>-node-0-{index} of a TrainJob's pod {index}, found {host!r}; name the "
            "runtime's replicated job `node`, with one replica"
        )
    return tf_config([f"{base}-{k}.{job}:{PORT}" for k in range(int(count))], int(index))
