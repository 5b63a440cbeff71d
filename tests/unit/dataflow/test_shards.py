"""Shards made several at a time: all are counted, and an error loses none that was whole."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from angiopipe.dataflow.shards import _words, make_shards
from angiopipe.defaults import BEAM_ARGS

TOGETHER = 3


@dataclass(frozen=True)
class Planned:
    """A shard of three small records."""

    name: str
    split: str = "train"


PLANS = [Planned(f"shard-{position}") for position in range(7)]
meeting = threading.Barrier(TOGETHER)


def records(plan: Planned) -> Iterator[bytes]:
    for position in range(3):
        yield f"{plan.name}, record {position}".encode()


def met(plan: Planned) -> Iterator[bytes]:
    """Nobody's records begin before as many shards as there are threads are being made."""
    meeting.wait(timeout=60)
    yield from records(plan)


def broken(plan: Planned) -> Iterator[bytes]:
    yield from records(plan)
    if plan.name == "shard-0":
        raise RuntimeError("the disk is full")


def test_as_many_shards_are_made_at_once_as_there_are_threads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        made = make_shards(iter(PLANS[:TOGETHER]), met, str(tmp_path), BEAM_ARGS, threads=TOGETHER)
    assert [(shard.name, shard.studies) for shard in made] == [(f"shard-{n}", 3) for n in range(TOGETHER)]
    bytes_made = sum((tmp_path / shard.name).stat().st_size for shard in made)
    assert f"made 3 shards, 9 studies, {bytes_made} bytes" in caplog.text


@pytest.mark.parametrize("threads", [1, TOGETHER])
def test_an_error_leaves_whole_shards_for_the_next_run(tmp_path: Path, threads: int) -> None:
    with pytest.raises(RuntimeError, match="the disk is full"):
        make_shards(PLANS, broken, str(tmp_path), BEAM_ARGS, threads=threads)
    assert not (tmp_path / "shard-0").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-?")}
    assert len(kept) < len(PLANS)
    made = make_shards(PLANS, records, str(tmp_path), BEAM_ARGS, threads=threads)
    assert [shard.name for shard in made] == [plan.name for plan in PLANS]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {path.name for path in tmp_path.iterdir()} == {
        name for plan in PLANS for name in (plan.name, f"{plan.name}.json")
    }


def test_the_value_of_an_option_may_have_blanks_and_quotes():
    command = '{"command": "/opt/my worker"}'
    assert _words(f"--runner=PortableRunner --environment_config={command} --parallelism 2") == [
        "--runner=PortableRunner", f"--environment_config={command}", "--parallelism", "2",
    ]  # fmt: skip
