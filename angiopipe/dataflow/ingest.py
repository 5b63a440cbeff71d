"""The ingest step: images and labels become studies, one TFRecord each, bytes as they came."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

from angiopipe import defaults, storage
from angiopipe.cohort.deidentify import clean, removal_report
from angiopipe.cohort.pseudonyms import pseudonyms
from angiopipe.dataflow.shards import make_once, make_shards, shard_name
from angiopipe.faults import FaultyStudies
from angiopipe.records.manifest import InventoryManifest, StudiesManifest
from angiopipe.records.schema import StudyRecord
from angiopipe.step import record_figures, run_folder, step
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES

STUDIES_PER_SHARD = 32
"""About 22 MB of 720 x 720 JPEGs: large enough to stream, small enough to spread over workers."""

RECORD_FORMAT = "studies-2"

CONVERSION = 1
"""Version of the pixels that other files than plain JPEG and PNG become (TIFF, DICOM, what lies on its side),
raised with every change that moves one. tests/unit/imaging/test_pixels.py holds the pixels of each version."""

VIEW_COLUMNS = (INDEX, "view", "uri", "sha256", "frame", "height", "width", "removed", "as_is")
"""Of the inventory's table of views."""


@dataclass(frozen=True, slots=True)
class PlannedView:
    """One image to be ingested, as the inventory saw it; `uri` is empty where the view is absent.

    With `as_is`, validation found nothing to take out of these very bytes, and nobody looks again.
    """

    uri: str = ""
    sha256: str = ""
    frame: int | None = None
    height: int = 0
    width: int = 0
    as_is: bool = False


@dataclass(frozen=True, slots=True)
class PlannedStudy:
    """One study to be ingested; `labels`, `views` and `clinical` as in `records.schema.StudyRecord`."""

    index: str
    labels: tuple[int, ...]
    views: tuple[PlannedView, ...]
    clinical: tuple[int, ...] = ()


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
    pseudonymise: bool = False,
    beam_args: Sequence[str] = defaults.BEAM_ARGS,
) -> StudiesManifest:
    """Writes the studies of an inventory as TFRecord shards, with nothing but pixels, Index and labels.

    Args:
      inventory: URI of the inventory's manifest.
      out: where the studies' manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      pseudonymise: replace each Index by a pseudonym that the key in the environment variable
        ANGIOPIPE_PSEUDONYM_KEY decides.
      beam_args: Beam's own options: `--beam-args="--runner=PortableRunner --parallelism=2"`.

    Raises:
      FaultyStudies: images changed since they were listed, or a study or image is in two splits;
        names every one.
      ValueError: pseudonyms are wanted and there is no key.
    """
    from angiopipe.cohort.clinical import model_values
    from angiopipe.cohort.leaks import refuse_leaks

    source = InventoryManifest.read(inventory)
    labels, views = _read_parquet(source.labels_uri), _read_parquet(source.views_uri, VIEW_COLUMNS)
    removed = (names.split(",") if names else [] for names in views["removed"])
    report = removal_report(zip(views[INDEX], removed, strict=True)).to_csv(index=False)
    known = model_values(_read_parquet(source.clinical_uri)) if source.clinical else {}
    refuse_leaks(labels, views)
    names = pseudonyms(labels[INDEX]) if pseudonymise else {}
    converted = not bool(views["as_is"].all())
    fingerprint = _fingerprint(source.data_fingerprint, labels, names, converted)
    location = storage.join(storage.absolute(data_root), "studies", fingerprint)
    manifest = make_once(
        StudiesManifest,
        location,
        lambda: StudiesManifest(
            fingerprint=fingerprint,
            data_fingerprint=source.data_fingerprint,
            location=location,
            shards=make_shards(
                plan_studies(labels, views, known), partial(read_studies, names=names), location, beam_args
            ),
            clinical=source.clinical,
        ),
    )
    storage.write_text(storage.join(run_folder(data_root, run_id), "deidentification.csv"), report)
    manifest.write(out)
    record_figures(
        studies_in=len(labels), studies_out=manifest.studies, views=len(views), bytes_out=manifest.bytes
    )
    return manifest


def _read_parquet(uri: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    # Beam's workers import this module too, and have no use for tables.
    import pandas as pd

    return pd.read_parquet(io.BytesIO(storage.read_bytes(uri)), columns=columns)


def plan_studies(
    labels: pd.DataFrame, views: pd.DataFrame, clinical: Mapping[str, tuple[int, ...]] = MappingProxyType({})
) -> Iterator[StudiesPlan]:
    """Decides which study goes where: the same plan for the same content.

    Studies are in record order, so that every shard is a fair mixture.

    Args:
      labels: `Index`, the 22 labels and `split`, one row a study.
      views: `Index`, `view`, `uri`, `sha256`, `frame`, `height`, `width` and `as_is`, one row an image.
      clinical: each study's values of `clinical.MODEL_VARIABLES`, by Index; empty without clinical data.
    """
    import pandas as pd

    from angiopipe.cohort.splits import in_record_order

    place = pd.Categorical(labels["split"], categories=SPLITS, ordered=True)
    studies = in_record_order(labels.assign(place=place)).sort_values(
        "place", kind="stable", ignore_index=True
    )
    # In the studies' order, once, since rows picked from all over such a table take long.
    ranks = views[INDEX].map(pd.Series(studies.index, index=studies[INDEX])).to_numpy()
    order = np.argsort(ranks, kind="stable")
    views, starts = views.iloc[order], np.searchsorted(ranks[order], np.arange(len(studies) + 1))
    for split, members in studies.groupby("place", observed=True):
        chunks = range(0, len(members), STUDIES_PER_SHARD)
        for number, at in enumerate(chunks):
            chunk = members.iloc[at : at + STUDIES_PER_SHARD]
            images = _planned_views(views.iloc[starts[chunk.index[0]] : starts[chunk.index[-1] + 1]])
            planned = tuple(
                PlannedStudy(
                    index,
                    tuple(map(int, flags)),
                    tuple(images.get((index, view), PlannedView()) for view in VIEW_NAMES),
                    clinical.get(index, ()),
                )
                for index, *flags in chunk[[INDEX, *LABELS]].itertuples(index=False)
            )
            yield StudiesPlan(shard_name(split, number, len(chunks)), split, planned)


def _planned_views(views: pd.DataFrame) -> dict[tuple[str, str], PlannedView]:
    """By Index and view."""
    import pandas as pd

    return {
        (row.Index, row.view): PlannedView(
            row.uri,
            row.sha256,
            None if pd.isna(row.frame) else int(row.frame),
            int(row.height),
            int(row.width),
            bool(row.as_is),
        )
        for row in views.itertuples(index=False)
    }


def read_studies(plan: StudiesPlan, names: Mapping[str, str] = MappingProxyType({})) -> Iterator[bytes]:
    """Yields the records of a planned shard, one study in memory at a time.

    Args:
      plan: the shard.
      names: what to call a study in its record; its own Index where there is no entry.

    Raises:
      FaultyStudies: after the last study, if images are not the bytes that the inventory saw.
    """
    faults: list[str] = []
    for study in plan.studies:
        contents = [storage.read_bytes(view.uri) if view.uri else b"" for view in study.views]
        changed = [
            f"study {study.index}, view {name} ({view.uri}): expected the bytes that were validated "
            f"(SHA-256 {view.sha256[:12]}...), found others; validate again"
            for name, view, content in zip(VIEW_NAMES, study.views, contents, strict=True)
            if view.uri and hashlib.sha256(content).hexdigest() != view.sha256
        ]
        faults += changed
        if not changed:
            yield _record(study, names.get(study.index, study.index), plan.split, contents).encode()
    if faults:
        raise FaultyStudies(f"{plan.name}: {len(faults)} images changed since they were validated:", faults)


def _record(study: PlannedStudy, name: str, split: str, contents: Sequence[bytes]) -> StudyRecord:
    stored = [_stored(view, content) for view, content in zip(study.views, contents, strict=True)]
    return StudyRecord(
        index=name,
        split=split,
        labels=np.array(study.labels, np.uint8),
        views=tuple(content for content, _ in stored),
        sha256=tuple(digest for _, digest in stored),
        # The original's hash would lead whoever has the originals from a pseudonym to its patient.
        original_sha256=tuple(view.sha256 if name == study.index else "" for view in study.views),
        sizes=tuple((view.height, view.width) for view in study.views),
        clinical=study.clinical,
    )


def _stored(view: PlannedView, content: bytes) -> tuple[bytes, str]:
    """What a record holds of an image, and its SHA-256; nothing of an absent one."""
    if view.as_is or not content:
        return content, view.sha256
    cleaned = clean(content, view.frame).content
    return cleaned, hashlib.sha256(cleaned).hexdigest()


def _fingerprint(
    data_fingerprint: str, labels: pd.DataFrame, names: Mapping[str, str], converted: bool
) -> str:
    assigned = ",".join(
        f"{names.get(index, index)}={split}"
        for index, split in labels[[INDEX, "split"]].sort_values(INDEX).itertuples(index=False)
    )
    parts = [RECORD_FORMAT, data_fingerprint, str(STUDIES_PER_SHARD), assigned]
    if converted:
        parts.append(f"conversion {CONVERSION}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
