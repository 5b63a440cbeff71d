"""Shards read back one study at a time, each against its manifest and its own checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from angiopipe import storage
from angiopipe.clinical import ENCODED, MODEL_VARIABLES, are_values, encode
from angiopipe.environment import usable_cores
from angiopipe.faults import Fault
from angiopipe.records import tensorflow_reader as reader
from angiopipe.records.manifest import ExamplesManifest, Shard, ShardedManifest, StudiesManifest
from angiopipe.study import LABELS, VIEW_NAMES

REMEDY = "write it again"


@dataclass(frozen=True)
class SeenStudy:
    """What is kept of a study once its record has been read.

    Attributes:
      index, split, shard: which it is, and where it was found.
      labels: 22 values in the order of `study.LABELS`.
      present: for each view, whether it is there.
      digests: SHA-256 of each view's bytes, hexadecimal, empty where it is absent; none for an example.
      clinical: as `clinical.encode` makes it; none without clinical data.
    """

    index: str
    split: str
    shard: str
    labels: tuple[int, ...]
    present: tuple[bool, ...]
    digests: tuple[str, ...] = ()
    clinical: tuple[float, ...] = ()


@dataclass
class ShardAudit:
    """What was found in a shard.

    Attributes:
      whole: every record was read, so that what is not in `studies` is not in the shard.
    """

    shard: Shard
    studies: list[SeenStudy] = field(default_factory=list)
    faults: list[Fault | str] = field(default_factory=list)
    bytes: int = 0
    whole: bool = False


Check = Callable[[bytes, Shard], tuple[SeenStudy, list[Fault]]]


def audit_shards(manifest: ShardedManifest, check: Check) -> list[ShardAudit]:
    """Reads every shard of a manifest; a damaged one does not keep the others from being read.

    Args:
      manifest: of studies or examples.
      check: from `study_check` or `example_check`.
    """
    # TensorFlow reads and decodes without Python's lock; memory is bounded by one study a reader.
    with ThreadPoolExecutor(usable_cores()) as readers:
        return list(readers.map(partial(_audit_shard, manifest.location, check), manifest.shards))


def example_check(manifest: ExamplesManifest) -> Check:
    return partial(check_example, shape=manifest.shape)


def study_check(manifest: StudiesManifest) -> Check:
    return partial(check_study, clinical=bool(manifest.clinical))


def check_study(payload: bytes, shard: Shard, clinical: bool = False) -> tuple[SeenStudy, list[Fault]]:
    """Reads a study's record; gives what it is and what is wrong with it.

    Args:
      payload: the record.
      shard: that it comes from.
      clinical: whether the manifest promises clinical values.

    Raises:
      Unreadable: it has not the features of a study.
    """
    study = reader.parse(payload, reader.STUDY)
    index, split = (study[name].decode(errors="replace") for name in ("index", "split"))
    views = [bytes(view) for view in study["views"]]
    values = tuple(map(int, study["clinical"]))
    seen = SeenStudy(
        index=index,
        split=split,
        shard=shard.name,
        labels=tuple(study["labels"]),
        present=tuple(map(bool, views)),
        digests=tuple(hashlib.sha256(view).hexdigest() if view else "" for view in views),
        clinical=tuple(encode(values).tolist()) if values and are_values(values) else (),
    )
    faults = _label_faults(seen)
    if not are_values(values) or bool(values) != clinical:
        expected = (
            f"{len(MODEL_VARIABLES)} clinical values in their ranges" if clinical else "no clinical values"
        )
        faults.append(_fault(seen, expected, str(list(values))))
    if split != shard.split:
        faults.append(_fault(seen, f"split {shard.split}, as the manifest says", split))
    if not any(views):
        faults.append(_fault(seen, "at least one view", "none"))
    sizes = zip(map(int, study["height"]), map(int, study["width"]), strict=True)
    recorded = zip(map(bytes.decode, study["sha256"]), sizes, strict=True)
    for name, view, digest, promised in zip(VIEW_NAMES, views, seen.digests, recorded, strict=True):
        faults += [_fault(seen, *fault, view=name) for fault in _view_faults(view, digest, *promised)]
    return seen, faults


def check_example(payload: bytes, shard: Shard, shape: tuple[int, ...]) -> tuple[SeenStudy, list[Fault]]:
    """Reads an example's record; gives what it is and what is wrong with it.

    Args:
      payload: the record.
      shard: that it comes from.
      shape: (views, rows, columns, channels) that the manifest promises.

    Raises:
      Unreadable: it has not the features of an example.
    """
    example = reader.parse(payload, reader.EXAMPLE)
    pixels, present = example["views"], tuple(example["present"])
    seen = SeenStudy(
        index=example["index"].decode(errors="replace"),
        split=shard.split,
        shard=shard.name,
        labels=tuple(example["labels"]),
        present=tuple(map(bool, present)),
        clinical=tuple(np.frombuffer(example["clinical"][: len(example["clinical"]) & ~3], "<f4").tolist()),
    )
    faults = _label_faults(seen)
    if len(example["clinical"]) not in (0, 4 * ENCODED):
        found = f"{len(example['clinical'])} bytes"
        faults.append(_fault(seen, f"clinical values of {4 * ENCODED} bytes, or none", found))
    if len(present) != shape[0] or not set(present) <= {0, 1}:
        faults.append(_fault(seen, f"{shape[0]} presence flags of 0 or 1", str(list(present))))
    size = len(pixels) // shape[0]
    if len(pixels) != shape[0] * shape[1] * shape[2] * shape[3]:
        faults.append(_fault(seen, f"views of {' x '.join(map(str, shape))} bytes", f"{len(pixels)} bytes"))
    elif len(present) == shape[0]:
        for position, view in enumerate(VIEW_NAMES):
            if not present[position] and any(pixels[position * size : (position + 1) * size]):
                faults.append(_fault(seen, "zeros, as it is absent", "pixels", view=view))
    return seen, faults


def _audit_shard(location: str, check: Check, shard: Shard) -> ShardAudit:
    found = ShardAudit(shard)
    try:
        with reader.opened(storage.join(location, shard.name)) as name:
            found.bytes, sha256 = reader.size_and_sha256(name)
            found.faults += _file_faults(shard, found.bytes, sha256)
            _audit_records(name, found, check)
    except (reader.Unreadable, OSError) as error:
        found.faults.append(
            f"{shard.name}: expected a file of {shard.bytes} bytes, found none to read: {error}"
        )
    return found


def _file_faults(shard: Shard, size: int, sha256: str) -> Iterator[str]:
    if size != shard.bytes:
        yield f"{shard.name}: expected {shard.bytes} bytes, found {size}; {REMEDY}"
    if sha256 != shard.sha256:
        yield f"{shard.name}: expected SHA-256 {shard.sha256[:12]}..., found {sha256[:12]}...; {REMEDY}"


def _audit_records(name: str, found: ShardAudit, check: Check) -> None:
    shard, records, unread = found.shard, 0, 0
    before = "the first study"
    try:
        for payload in reader.read_records(name, found.bytes):
            records += 1
            try:
                seen, faults = check(payload, shard)
            except reader.Unreadable as error:
                unread += 1
                found.faults.append(f"{shard.name}: record {records} ({before}): {error}; {REMEDY}")
                continue
            found.studies.append(seen)
            found.faults += faults
            before = f"study after {seen.index}"
    except reader.DamagedRecord as error:
        left = f"{shard.studies - records} of {shard.studies} records could not be audited"
        found.faults.append(
            f"{shard.name}: record at byte {error.offset} ({before}): {error}; {left}; {REMEDY}"
        )
        return
    if records != shard.studies:
        found.faults.append(f"{shard.name}: expected {shard.studies} records, found {records}; {REMEDY}")
    found.whole = not unread


def _label_faults(seen: SeenStudy) -> list[Fault]:
    labels = seen.labels
    if len(labels) != len(LABELS) or not set(labels) <= {0, 1}:
        return [_fault(seen, f"{len(LABELS)} labels of 0 or 1", str(list(labels)))]
    if labels[0] != max(labels[1:]):
        return [_fault(seen, f"Aneurysm {max(labels[1:])}, as its locations say", str(labels[0]))]
    return []


def _view_faults(
    view: bytes, digest: str, recorded_digest: str, recorded_size: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """What was expected of a view and what was found; an absent view is no fault."""
    if view and digest != recorded_digest:
        yield f"the bytes of its SHA-256 {recorded_digest[:12]}...", f"those of {digest[:12]}..."
    if not view:
        return
    try:
        size = reader.decode_size(view)
    except reader.Unreadable as error:
        yield "an image that TensorFlow decodes", f"{len(view)} bytes ({error})"
        return
    if size != recorded_size:
        yield "{} x {} pixels, as recorded".format(*recorded_size), "{} x {}".format(*size)


def _fault(seen: SeenStudy, expected: str, found: str, view: str = "") -> Fault:
    return Fault(seen.index, view, seen.shard, None, expected, found, REMEDY)
