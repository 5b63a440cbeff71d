"""The graphs on a real Flink cluster give the bytes that FnApiRunner gives, also when a machine is lost."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from angiopipe.cohort.validate import validate
from angiopipe.dataflow import ingest as ingest_module
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.defaults import BEAM_ARGS
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, ShardedManifest, StudiesManifest
from infra.flink.local_cluster import JAR, LocalCluster

pytestmark = [
    pytest.mark.jvm,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2, which only Linux has unasked"),
    pytest.mark.skipif(not shutil.which("java"), reason="no Java on the PATH"),
    pytest.mark.skipif(not JAR.is_file(), reason=f"no {JAR}: `make test-flink` makes it with Maven"),
]

SLOW = ["preprocessing.size=256", "preprocessing.background=0.6"]
"""A blur wider than the view takes about 0.2 s a study: time to kill who is writing a shard."""

STUDIES_PER_SHARD = 2
JOB_SECONDS = 240


class Line:
    """Ingest and preprocess over one inventory, with the data in one folder."""

    def __init__(self, folder: Path, inventory: str, beam_args: Sequence[str] = BEAM_ARGS):
        self.inventory, self.beam_args = inventory, beam_args
        self.root, self.studies, self.examples = (
            str(folder / name) for name in ("root", "studies", "examples")
        )
        self.seconds: dict[str, float] = {}

    def ingest(self) -> StudiesManifest:
        return self._timed("ingest", ingest, self.inventory, self.studies)

    def preprocess(self, studies: str) -> ExamplesManifest:
        return self._timed("preprocess", preprocess, studies, self.examples, overrides=SLOW)

    def _timed(self, name: str, step: Callable[..., Any], *places: str, **options: object) -> Any:
        started = time.monotonic()
        manifest = step(*places, self.root, beam_args=self.beam_args, **options)
        self.seconds[name] = time.monotonic() - started
        return manifest


class Expected(Line):
    """What FnApiRunner makes."""

    def __init__(self, folder: Path, inventory: str):
        super().__init__(folder, inventory)
        self.ingested = self.ingest()
        self.preprocessed = self.preprocess(self.studies)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, cohort) -> Iterator[Expected]:
    folder = tmp_path_factory.mktemp("expected")
    inventory = str(folder / "inventory.json")
    validate(cohort.images, cohort.labels, inventory, str(folder / "root"))
    with pytest.MonkeyPatch.context() as patch:
        # Shards are planned before any worker is asked, so the patch need not reach the workers.
        patch.setattr(ingest_module, "STUDIES_PER_SHARD", STUDIES_PER_SHARD)
        yield Expected(folder, inventory)


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("flink") / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def assert_same(made: ShardedManifest, expected: ShardedManifest) -> None:
    """The same manifest, the same bytes, and nothing else that could be taken for a shard."""
    assert made.model_copy(update={"location": expected.location}) == expected
    folder, model = Path(made.location), Path(expected.location)
    names = {shard.name for shard in expected.shards}
    for name in names:
        assert (folder / name).read_bytes() == (model / name).read_bytes(), name
        assert (folder / f"{name}.json").read_bytes() == (model / f"{name}.json").read_bytes(), name
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".writing-")}
    assert visible == names | {f"{name}.json" for name in names} | {MANIFEST_NAME}


def test_flink_writes_the_bytes_that_fn_api_runner_writes(flink, expected, tmp_path, capsys):
    line, before = Line(tmp_path, expected.inventory, flink.beam_args), flink.failures()
    with flink.explaining(JOB_SECONDS):
        ingested, preprocessed = line.ingest(), line.preprocess(line.studies)
        assert flink.failures() == before
    assert_same(ingested, expected.ingested)
    assert_same(preprocessed, expected.preprocessed)
    with capsys.disabled():
        print(f"\ncluster up in {flink.start_seconds:.1f} s")
        for name, seconds in line.seconds.items():
            print(f"{name}: {seconds:.1f} s on Flink, {expected.seconds[name]:.1f} s on FnApiRunner")


class Killer(threading.Thread):
    """Kills a machine of the cluster as soon as one shard is finished and another is being written.

    Attributes:
      finished, writing: how many shards were, when it struck.
      published: the bytes of every file that had a shard's name right afterwards.
      struck: when, monotonic seconds.
    """

    def __init__(self, flink: LocalCluster, examples: Path):
        super().__init__(daemon=True)
        self.flink, self.examples = flink, examples
        self.finished = self.writing = 0

    def run(self) -> None:
        deadline = time.monotonic() + JOB_SECONDS
        while not (self.finished and self.writing) and time.monotonic() < deadline:
            time.sleep(0.02)
            self.finished = len(list(self.examples.glob("*/*.tfrecord.json")))
            self.writing = len(list(self.examples.glob("*/.writing-*")))
        self.flink.machines[-1].kill()
        self.struck = time.monotonic()
        self.published = {path.name: path.read_bytes() for path in self.examples.glob("*/*.tfrecord")}


def test_a_machine_killed_while_it_writes_changes_no_byte(flink, expected, tmp_path, capsys):
    line, before = Line(tmp_path, expected.inventory, flink.beam_args), flink.failures()
    killer = Killer(flink, tmp_path / "root" / "examples")
    with flink.explaining(JOB_SECONDS):
        killer.start()
        preprocessed = line.preprocess(expected.studies)
        seconds = time.monotonic() - killer.struck
        assert flink.failures() > before
    assert killer.writing
    assert 1 <= killer.finished <= len(killer.published) < len(preprocessed.shards)
    for name, content in killer.published.items():
        assert content == Path(expected.preprocessed.location, name).read_bytes(), name
    assert_same(preprocessed, expected.preprocessed)
    with capsys.disabled():
        print(f"\nkilled with {killer.finished} of {len(preprocessed.shards)} shards finished")
        print(f"preprocess: {line.seconds['preprocess']:.1f} s, {seconds:.1f} s of them after the kill")
