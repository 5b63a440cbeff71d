"""The ingest step: images and labels become studies, one TFRecord each, bytes as they came."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from angiopipe import defaults, storage
from angiopipe.cohort.inventory import InventoryManifest
from angiopipe.dataflow.shards import make_once, make_shards, shard_name
from angiopipe.records.manifest import StudiesManifest
from angiopipe.records.schema import StudyRecord
from angiopipe.step import FaultyStudies, step
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES

STUDIES_PER_SHARD = 32
"""About 22 MB of 720 x 720 JPEGs: large enough to stream, small enough to spread over workers."""

RECORD_FORMAT = "studies-1"


@dataclass(frozen=True)
class PlannedView:
    """One image to be ingested, as the inventory saw it."""

    uri: str
    sha256: str
    height: int
    width: int


@dataclass(frozen=True)
class PlannedStudy:
    """One study to be ingested; `labels` in the order of `study.LABELS`, `views` of `study.VIEWS`."""

    index: str
    labels: tuple[int, ...]
    views: tuple[PlannedView, ...]


@dataclass(frozen=True)
class StudiesPlan:
    """One shard of studies to be written."""

    name: str
    split: str
    studies: tuple[PlannedStudy, ...]


@step("ingest")
def ingest(
    inventory: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    seed: int = 0,
    validation_share: float = defaults.VALIDATION_SHARE,
    test_share: float = defaults.TEST_SHARE,
    beam_args: Sequence[str] = defaults.BEAM_ARGS,
) -> StudiesManifest:
    """Writes the studies of an inventory as TFRecord shards, split for training and evaluation.

    Args:
      inventory: URI of the inventory's manifest.
      out: where the studies' manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      seed: of the splits.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test.
      beam_args: Beam's own options: `--beam-args="--runner=PortableRunner --parallelism=2"`.

    Raises:
      FaultyStudies: images changed since they were listed; names every study.
    """
    # Kept out of the module so that the command line does not wait for scikit-learn.
    from angiopipe.cohort.splits import assign_splits

    source = InventoryManifest.read(inventory)
    labels = pd.read_parquet(io.BytesIO(storage.read_bytes(source.labels_uri)))
    views = pd.read_parquet(io.BytesIO(storage.read_bytes(source.views_uri)))
    splits = assign_splits(labels, seed, validation_share, test_share)
    fingerprint = _fingerprint(source.data_fingerprint, splits)
    location = storage.join(storage.absolute(data_root), "studies", fingerprint)
    manifest = make_once(
        StudiesManifest,
        location,
        lambda: StudiesManifest(
            fingerprint=fingerprint,
            data_fingerprint=source.data_fingerprint,
            location=location,
            shards=make_shards(plan_studies(labels, views, splits), read_studies, location, beam_args),
        ),
    )
    manifest.write(out)
    return manifest


def plan_studies(labels: pd.DataFrame, views: pd.DataFrame, splits: pd.Series) -> list[StudiesPlan]:
    """Decides which study goes where: the same plan for the same content.

    Studies are ordered by the hash of their Index, so that every shard is a fair mixture.
    """
    images = {
        (row.Index, row.view): PlannedView(row.uri, row.sha256, int(row.height), int(row.width))
        for row in views.itertuples(index=False)
    }
    studies = [
        PlannedStudy(index, tuple(map(int, flags)), tuple(images[index, view] for view in VIEW_NAMES))
        for index, flags in zip(labels[INDEX], labels[list(LABELS)].to_numpy(), strict=True)
    ]
    studies.sort(key=lambda study: hashlib.sha256(study.index.encode()).digest())
    return [
        plan for split in SPLITS for plan in _chunks(split, [s for s in studies if splits[s.index] == split])
    ]


def read_studies(plan: StudiesPlan) -> Iterator[bytes]:
    """Yields the records of a planned shard, one study in memory at a time.

    Raises:
      FaultyStudies: after the last study, if images are not the bytes that the inventory saw.
    """
    faults: list[str] = []
    for study in plan.studies:
        contents = [storage.read_bytes(view.uri) for view in study.views]
        changed = [
            f"study {study.index}, view {name} ({view.uri}): expected the bytes that were validated "
            f"(SHA-256 {view.sha256[:12]}...), found others"
            for name, view, content in zip(VIEW_NAMES, study.views, contents, strict=True)
            if hashlib.sha256(content).hexdigest() != view.sha256
        ]
        faults += changed
        if not changed:
            yield _record(study, plan.split, contents).encode()
    if faults:
        raise FaultyStudies(f"{plan.name}: {len(faults)} images changed since they were validated:", faults)


def _record(study: PlannedStudy, split: str, contents: Sequence[bytes]) -> StudyRecord:
    return StudyRecord(
        index=study.index,
        split=split,
        labels=np.array(study.labels, np.uint8),
        views=tuple(contents),
        sha256=tuple(view.sha256 for view in study.views),
        source=tuple(view.uri.rsplit("/", 1)[-1] for view in study.views),
        sizes=tuple((view.height, view.width) for view in study.views),
    )


def _chunks(split: str, studies: Sequence[PlannedStudy]) -> Iterator[StudiesPlan]:
    starts = range(0, len(studies), STUDIES_PER_SHARD)
    for position, start in enumerate(starts):
        chunk = tuple(studies[start : start + STUDIES_PER_SHARD])
        yield StudiesPlan(shard_name(split, position, len(starts)), split, chunk)


def _fingerprint(data_fingerprint: str, splits: pd.Series) -> str:
    assigned = ",".join(f"{index}={split}" for index, split in sorted(splits.items()))
    content = "\n".join([RECORD_FORMAT, data_fingerprint, str(STUDIES_PER_SHARD), assigned])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
