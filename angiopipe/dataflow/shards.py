"""The shard as the unit of work: planned up front, written whole by one worker, then published.

No payload passes between Beam's stages, so memory is bounded by one study, the same bytes come out
on any runner, and a rerun makes only what an interrupted run left undone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shlex
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, Protocol, TypeVar, cast

import cv2
from pydantic import TypeAdapter
from tqdm import tqdm

from angiopipe import storage
from angiopipe.ending import EXPECTED, in_words
from angiopipe.environment import usable_cores
from angiopipe.faults import FaultyStudies
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import MANIFEST_NAME, Shard, ShardedManifest

log = logging.getLogger(__name__)

COUNTERS = "angiopipe"
"""Namespace of the counters that Beam's engine collects and shows."""

WATCH_SECONDS = 0.5

_TOLD = "<told: {} :told>"
"""How a worker's error in words crosses an engine, which hands on no exception as it was."""

MOST_THREADS = 8
"""Of one process: with more, Python's lock is what they wait for; Beam's processes go on from there."""


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
    plans: Iterable[P],
    records: Records[P],
    location: str,
    beam_args: Sequence[str],
    threads: int | None = None,
) -> tuple[Shard, ...]:
    """Makes every planned shard under `location` that is not there yet.

    Args:
      plans: the shards, each with its own name; taken one by one, and none is kept.
      records: gives a plan's records in order; a top-level function or a partial of one, since it
        travels to the workers.
      location: URI of the folder.
      beam_args: Beam's own options, such as `--runner=FnApiRunner`; one string may hold several.
      threads: how many shards are made at once where Beam runs everything in this process; None is
        one for each core, up to `MOST_THREADS`. Engines with workers of their own ignore it.

    Returns:
      The shards in the order of `plans`.

    Raises:
      FaultyStudies: some studies could not be written; every one is named.
    """
    names: list[str] = []
    undone: list[str] = []
    kind: type[P] | None = None
    for plan in plans:
        names.append(plan.name)
        if not _is_made(plan.name, location):
            kind = type(plan)
            # Beam keeps several copies of its elements, so names travel and the workers read the plans.
            storage.write_bytes(_plan_uri(plan.name, location), _adapter(kind).dump_json(plan))
            undone.append(plan.name)
    if len(undone) < len(names):
        log.info(
            "%d of %d shards were made by an earlier run and are kept", len(names) - len(undone), len(names)
        )
    if kind:
        with _progress(len(names), location):
            make = partial(_make_shard, kind=kind, records=records, location=location)
            _run_graph(undone, make, beam_args, threads or min(usable_cores(), MOST_THREADS))
    storage.sweep(location)
    receipts = tuple(_receipts(names, location))
    for name in names:
        storage.remove(_plan_uri(name, location))
    return receipts


@functools.cache
def _adapter(kind: type[P]) -> TypeAdapter[P]:
    return TypeAdapter(kind)


def _run_graph(
    names: Sequence[str], make: Callable[[str], Mapping[str, int]], beam_args: Sequence[str], threads: int
) -> None:
    """The whole graph: the shards' names, spread over the workers, each made where it lands.

    Ends by telling Beam's own counters, as its engine collected them.
    """
    logging.disable(logging.WARNING)  # Beam warns of absent Google Cloud clients while it is imported.
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
    finally:
        logging.disable(logging.NOTSET)
    # Beam logs the traceback of what it raises, twice.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    options = PipelineOptions([word for given in beam_args for word in _words(given)])
    runner, direct = options.view_as(StandardOptions).runner, options.view_as(DirectOptions)
    # Beam's own threads talk over ports that any machine can reach, and its processes start in two
    # seconds; in one process, one element that holds all the work needs neither.
    alone = runner == "FnApiRunner" and direct.direct_running_mode == "in_memory"
    parts = [tuple(names)] if alone else [(name,) for name in names]
    pipeline = beam.Pipeline(options=options)
    planned = pipeline | "Plans" >> beam.Create(parts)
    spread = planned | "Spread" >> beam.Reshuffle()
    spread | "Make" >> beam.Map(_make_part, make=make, threads=threads)
    try:
        with contextlib.nullcontext() if alone else _python_for_shells():
            result = pipeline.run()
            result.wait_until_finish()
    except Exception as error:
        raise _cause(error) from error
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(COUNTERS))["counters"]
    log.info("made %s", ", ".join(f"{counter.committed:,} {counter.key.metric.name}" for counter in counters))


def _words(given: str) -> list[str]:
    """The words of one or several options; a value may have blanks and quotes in it."""
    options = re.split(r"\s+(?=--)", given.strip())
    return [word for one in options for word in ([one] if "=" in one.split()[0] else one.split(maxsplit=1))]


@contextlib.contextmanager
def _python_for_shells() -> Iterator[None]:
    """Has Beam's shell, which starts `sys.executable` as it stands, start processes that are quiet.

    They leave Ctrl-C to this one, which is told of their errors, and write no log of Beam's.
    """
    python = sys.executable
    sys.executable = f"trap '' INT; exec 2>{os.devnull}; exec {shlex.quote(python)}"
    try:
        yield
    finally:
        sys.executable = python


def _cause(error: Exception) -> Exception:
    """What a worker told of its failure, which engines wrap into errors of their own, tracebacks among it."""
    told = re.search(_TOLD.format("(.*?)"), str(error), re.DOTALL)
    return OSError(told[1]) if told else error


@contextlib.contextmanager
def _progress(shards: int, location: str) -> Iterator[None]:
    """Counts receipts while the graph runs, whatever runs it; on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        with tqdm(total=shards, unit=" shards", desc=location.rsplit("/", 2)[-2], leave=False) as bar:
            while not ended.wait(WATCH_SECONDS):
                bar.update(sum(uri.endswith(".json") for uri in storage.list_files(location)) - bar.n)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _make_part(names: Sequence[str], make: Callable[[str], Mapping[str, int]], threads: int) -> None:
    """Makes some shards, several at a time, and counts what was made."""
    # Only a worker counts; planning and reading receipts need no Beam.
    from apache_beam.metrics import Metrics

    cv2.setNumThreads(1)  # The shards are the parallelism.
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(threads) as makers:
        try:
            # After an error, `map` leaves what has not begun for the next run.
            for counts in makers.map(make, names):
                total.update(counts)
        except EXPECTED as error:
            raise RuntimeError(_TOLD.format(in_words(error))) from None
    for counter, count in total.items():  # Beam counts in its own thread alone.
        Metrics.counter(COUNTERS, counter).inc(count)


def _make_shard(name: str, kind: type[P], records: Records[P], location: str) -> Mapping[str, int]:
    """Writes one shard and then its receipt, or a note of its faults; returns what to count."""
    if _is_made(name, location):  # An engine that restarts a job plans its finished shards again.
        return {}
    plan: P = _adapter(kind).validate_json(storage.read_bytes(_plan_uri(name, location)))
    try:
        with storage.new_file(storage.join(location, plan.name)) as path, path.open("wb") as file:
            counted = _Counted(file)
            studies = 0
            for record in records(plan):
                write_record(cast(BinaryIO, counted), record)
                studies += 1
    except FaultyStudies as error:
        storage.write_text(_faults_uri(name, location), "\n".join(error.faults))
        return {"faults": len(error.faults)}
    shard = Shard(
        name=plan.name,
        split=plan.split,
        studies=studies,
        bytes=counted.bytes,
        sha256=counted.sha256.hexdigest(),
    )
    storage.write_text(_receipt_uri(name, location), shard.model_dump_json() + "\n")
    return {"shards": 1, "studies": studies, "bytes": counted.bytes}


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
