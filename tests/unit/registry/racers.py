"""Real processes that promote at once, for the tests of the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

PROMOTER = """
import sys
from mlflow import MlflowClient
from angiopipe.registry.aliases import Aliases, LostMove
uri, version, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
aliases = Aliases(MlflowClient(uri), "detector")
for _ in range(rounds):
    seen = aliases.read("champion")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        aliases.move("champion", version, f"because of {version}", "promote", seen)
        print("won", flush=True)
    except LostMove as lost:
        print(f"lost: {lost}", flush=True)
"""
"""Reads the ledger, waits for the starting signal, and promotes."""


def race(tracking_uri: str, versions: Sequence[int], rounds: int) -> list[int]:
    """One process for each version; in each round all have read the ledger before any promotes.

    Returns:
      The winner of each round; that there was exactly one is asserted.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTER, tracking_uri, str(version), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for version in versions
    ]
    winners = []
    try:
        for _ in range(rounds):
            assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(processes)
            for process in processes:
                process.stdin.write("go\n")
            for process in processes:
                process.stdin.flush()
            answers = [process.stdout.readline() for process in processes]
            assert answers.count("won\n") == 1, answers
            winners.append(versions[answers.index("won\n")])
        assert [process.wait(600) for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
    return winners
