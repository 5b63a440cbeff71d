"""The shard as the unit of work: planned up front, written whole by one worker, then published.

No payload passes between Beam's stages, so memory is bounded by one study, the same bytes come out
on any runner, and a rerun makes only what an interrupted run left undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, Protocol, TypeVar, cast

import cv2
from pydantic import TypeAdapter
from tqdm import tqdm

from angiopipe import storage
from angiopipe.faults import FaultyStudies
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import MANIFEST_NAME, Shard, ShardedManifest

log = logging.getLogger(__name__)

COUNTERS = "angiopipe"
"""Namespace of the counters that Beam's engine collects and shows."""

WATCH_SECONDS = 0.5


class Plan(Protocol):
    """One shard to be made: a dataclass that JSON can hold, since workers read it."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...


P = TypeVar("P", bound=Plan)
M = TypeVar("M", bound=ShardedManifest)
Records = Callable[[P], Iterable[bytes]]


def shard_name(split: str, position: int, total: int) -> str:
    return f"{split}-{position:05d}-of-{total:05d}.tfrecord"


def make_once(kind: type[M], location: str, make: Callable[[], M]) -> M:
    """The manifest published under `location`, made first if there is none.

    The location is named by its content, so a manifest that is there is the right one.

    Args:
      kind: the manifest's class.
      location: URI of the folder.
      make: makes the shards and their manifest.
    """
    uri = storage.join(location, MANIFEST_NAME)
    name = kind.model_fields["kind"].default
    if storage.exists(uri):
        log.info("%s %s: unchanged, reused", name, location.rsplit("/", 1)[-1])
        # The data root may have been moved, or be mounted elsewhere.
        return kind.read(uri).model_copy(update={"location": location})
    manifest = make()
    manifest.write(uri)
    counts = ", ".join(f"{count} {split}" for split, count in manifest.counts.items())
    log.info("%s %s: made, %s", name, manifest.fingerprint, counts)
    return manifest


def make_shards(
    plans: Sequence[P], records: Records[P], location: str, beam_args: Sequence[str]
) -> tuple[Shard, ...]:
    """Makes every planned shard under `location` that is not there yet.

    Args:
      plans: the shards, each with its own name.
      records: gives a plan's records in order; a top-level function or a partial of one, since it
        travels to the workers.
      location: URI of the folder.
      beam_args: Beam's own options, such as `--runner=FnApiRunner`; one string may hold several.

    Returns:
      The shards in the order of `plans`.

    Raises:
      FaultyStudies: some studies could not be written; every one is named.
    """
    undone = [plan for plan in plans if not _is_made(plan.name, location)]
    if len(undone) < len(plans):
        log.info(
            "%d of %d shards were made by an earlier run and are kept", len(plans) - len(undone), len(plans)
        )
    if undone:
        # Beam keeps several copies of its elements, so names travel and the workers read the plans.
        kind = TypeAdapter(type(undone[0]))
        for plan in undone:
            storage.write_bytes(_plan_uri(plan.name, location), kind.dump_json(plan))
        with _progress(plans, location):
            make = partial(_make_shard, kind=type(undone[0]), records=records, location=location)
            _run_graph([plan.name for plan in undone], make, beam_args)
    storage.sweep(location)
    receipts = tuple(_receipts([plan.name for plan in plans], location))
    for plan in plans:
        storage.remove(_plan_uri(plan.name, location))
    return receipts


def _run_graph(names: Sequence[str], make: Callable[[str], None], beam_args: Sequence[str]) -> None:
    """The whole graph: the shards' names, spread over the workers, each made where it lands.

    Ends by telling Beam's own counters, as its engine collected them.
    """
    logging.disable(logging.WARNING)  # Beam warns of absent Google Cloud clients while it is imported.
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    finally:
        logging.disable(logging.NOTSET)
    options = PipelineOptions([option for given in beam_args for option in given.split()])
    pipeline = beam.Pipeline(options=options)
    planned = pipeline | "Plans" >> beam.Create(names)
    spread = planned | "Spread" >> beam.Reshuffle()
    spread | "Make" >> beam.Map(make)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(COUNTERS))["counters"]
    log.info("made %s", ", ".join(f"{counter.committed:,} {counter.key.metric.name}" for counter in counters))


@contextlib.contextmanager
def _progress(plans: Sequence[Plan], location: str) -> Iterator[None]:
    """Counts receipts while the graph runs, whatever runs it; on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        with tqdm(total=len(plans), unit=" shards", desc=location.rsplit("/", 2)[-2], leave=False) as bar:
            while not ended.wait(WATCH_SECONDS):
                bar.update(sum(uri.endswith(".json") for uri in storage.list_files(location)) - bar.n)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _make_shard(name: str, kind: type[P], records: Records[P], location: str) -> None:
    """Writes one shard and then its receipt, or a note of its faults."""
    if _is_made(name, location):  # An engine that restarts a job plans its finished shards again.
        return
    plan = TypeAdapter(kind).validate_json(storage.read_bytes(_plan_uri(name, location)))
    # Only a worker counts; planning and reading receipts need no Beam.
    from apache_beam.metrics import Metrics

    cv2.setNumThreads(1)  # Beam's workers are the parallelism.
    try:
        with storage.new_file(storage.join(location, plan.name)) as path, path.open("wb") as file:
            counted = _Counted(file)
            studies = 0
            for record in records(plan):
                write_record(cast(BinaryIO, counted), record)
                studies += 1
    except FaultyStudies as error:
        storage.write_text(_faults_uri(name, location), "\n".join(error.faults))
        Metrics.counter(COUNTERS, "faults").inc(len(error.faults))
        return
    shard = Shard(
        name=plan.name,
        split=plan.split,
        studies=studies,
        bytes=counted.bytes,
        sha256=counted.sha256.hexdigest(),
    )
    storage.write_text(_receipt_uri(name, location), shard.model_dump_json() + "\n")
    for counter, count in (("shards", 1), ("studies", studies), ("bytes", counted.bytes)):
        Metrics.counter(COUNTERS, counter).inc(count)


class _Counted:
    """A file that counts and hashes what is written to it, so that no shard is read back for that."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.file.write(content)
        self.bytes += len(content)
        self.sha256.update(content)


def _plan_uri(name: str, location: str) -> str:
    return storage.join(location, f"{name}.plan")


def _receipt_uri(name: str, location: str) -> str:
    return storage.join(location, f"{name}.json")


def _faults_uri(name: str, location: str) -> str:
    return storage.join(location, f"{name}.faults")


def _is_made(name: str, location: str) -> bool:
    return storage.exists(_receipt_uri(name, location)) and storage.exists(storage.join(location, name))


def _receipts(names: Sequence[str], location: str) -> Iterable[Shard]:
    faults = []
    for name in names:
        if not storage.exists(_receipt_uri(name, location)):
            faults += storage.read_text(_faults_uri(name, location)).splitlines()
    if faults:
        raise FaultyStudies(f"{location}: {len(faults)} faults; correct the images and run again:", faults)
    for name in names:
        yield Shard.model_validate_json(storage.read_text(_receipt_uri(name, location)))
