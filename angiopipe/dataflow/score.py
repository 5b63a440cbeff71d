"""Scoring on Beam: studies and a model become shards of predictions, and then two tables.

The model comes as a function that loads it, since what loads it (MLflow, TensorFlow) is no part of
the data path. Every worker process calls that function once.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

import numpy as np
from pydantic import TypeAdapter

if TYPE_CHECKING:
    import pandas as pd

from angiopipe import storage
from angiopipe.clinical import cells
from angiopipe.cohort.deidentify import clean
from angiopipe.dataflow.ingest import PlannedStudy, PlannedView
from angiopipe.dataflow.shards import make_once, make_shards, shard_name
from angiopipe.faults import FaultyStudies
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import ShardedManifest
from angiopipe.study import ANEURYSM, INDEX, LABELS, LOCATIONS, VIEW_NAMES

STUDIES_PER_SHARD = 32
"""Some seconds of a small model's work on one core: what an interrupted run loses at most per worker."""

STUDIES_AT_ONCE = 8
"""Studies whose encoded images a worker holds."""

RECORD_FORMAT = "predictions-1"
SPLIT = "scored"

LINEAGE = ("model_name", "model_version", "weights_sha256", "data_fingerprint")
"""Fields of the manifest that every row of the predictions' table repeats."""


class Predictor(Protocol):
    """A model as MLflow's pyfunc offers it."""

    def predict(self, data: pd.DataFrame, params: dict[str, Any]) -> pd.DataFrame: ...


Loader = Callable[[], Predictor]
"""Loads a model; travels to the workers, and is equal to another that loads the same one."""


class PredictionsManifest(ShardedManifest):
    """Predictions: one record a study, a JSON of `ScoredStudy`; the shards are in the order of the list.

    Attributes:
      model_name, model_version: in the registry.
      weights_sha256: of the model, as the registry has it.
      operating_point: what `decision` was made at.
      quarantined: studies left out because of their faults.
      output_uri: the competition's table: Index, Aneurysm (probability), 21 decisions.
      predictions_uri: all probabilities, with what each came from.
    """

    kind: Literal["predictions"] = "predictions"
    model_name: str
    model_version: str
    weights_sha256: str
    operating_point: str
    quarantined: int = 0
    output_uri: str = ""
    predictions_uri: str = ""


@dataclass(frozen=True)
class ScoringPlan:
    """One shard of predictions to be made; `clinical` names the clinical variables that the model is told."""

    name: str
    split: str
    studies: tuple[PlannedStudy, ...]
    clinical: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredStudy:
    """What a model said of a study.

    Attributes:
      index: the study id.
      probabilities: in the order of `study.LABELS`; None where the model predicts none.
      decision: 1 or 0, at the operating point.
      missing_views: names, comma-separated.
      sha256: of the files of the eight views, in the order of `study.VIEWS`; empty where absent.
    """

    index: str
    probabilities: tuple[float | None, ...]
    decision: int
    missing_views: str
    sha256: tuple[str, ...]


_RECORD = TypeAdapter(ScoredStudy)


def plan_scoring(
    studies: pd.DataFrame,
    views: pd.DataFrame,
    clinical: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    told: tuple[str, ...] = (),
) -> list[ScoringPlan]:
    """Cuts a list of studies into shards, in its own order.

    Args:
      studies: `Index`, one row a study.
      views: `Index`, `view`, `uri`, `sha256` and `frame`, one row an image.
      clinical: each study's values of `clinical.MODEL_VARIABLES`, by Index; empty without clinical data.
      told: the clinical variables that the model takes.
    """
    import pandas as pd

    images = {
        (index, view): PlannedView(uri, sha256, None if pd.isna(frame) else int(frame))
        for index, view, uri, sha256, frame in views[[INDEX, "view", "uri", "sha256", "frame"]].itertuples(
            index=False
        )
    }
    planned = [
        PlannedStudy(
            index,
            (),
            tuple(images.get((index, view), PlannedView()) for view in VIEW_NAMES),
            clinical.get(index, ()),
        )
        for index in studies[INDEX]
    ]
    starts = range(0, len(planned), STUDIES_PER_SHARD)
    return [
        ScoringPlan(
            shard_name(SPLIT, position, len(starts)),
            SPLIT,
            tuple(planned[start : start + STUDIES_PER_SHARD]),
            told if clinical else (),
        )
        for position, start in enumerate(starts)
    ]


def make_predictions(
    plans: Sequence[ScoringPlan],
    load: Loader,
    described: PredictionsManifest,
    data_root: str,
    beam_args: Sequence[str],
) -> PredictionsManifest:
    """Scores what has not been scored yet by this model.

    Args:
      plans: from `plan_scoring`.
      load: loads the model.
      described: the model and the data; fingerprint, location and shards are filled in here.
      data_root: where the shards go, a path or URI.
      beam_args: Beam's own options.

    Raises:
      FaultyStudies: images changed since they were listed, or cannot be scored; names every one.
    """
    fingerprint = _fingerprint(plans, described)
    location = storage.join(storage.absolute(data_root), "predictions", fingerprint)
    records = partial(score_studies, load=load, operating_point=described.operating_point)
    made = make_once(
        PredictionsManifest,
        location,
        lambda: described.model_copy(
            update={
                "fingerprint": fingerprint,
                "location": location,
                # One at a time: the model uses every core for each.
                "shards": make_shards(plans, records, location, beam_args, threads=1),
            }
        ),
    )
    return described.model_copy(
        update={"fingerprint": fingerprint, "location": location, "shards": made.shards}
    )


def score_studies(plan: ScoringPlan, load: Loader, operating_point: str) -> Iterator[bytes]:
    """Yields the records of a planned shard, `STUDIES_AT_ONCE` studies in memory at a time.

    Raises:
      FaultyStudies: after the last study, if images are not the bytes that were listed, or the
        model refuses them.
    """
    import pandas as pd

    faults: list[str] = []
    for start in range(0, len(plan.studies), STUDIES_AT_ONCE):
        studies = plan.studies[start : start + STUDIES_AT_ONCE]
        rows = [_contents(study, faults) for study in studies]
        if faults:
            continue
        table = pd.DataFrame(rows, columns=list(VIEW_NAMES), index=[study.index for study in studies])
        for name in plan.clinical:
            table[name] = [cells(study.clinical)[name] for study in studies]
        try:
            answers = _loaded(load).predict(table, params={"operating_point": operating_point})
        except ValueError as error:
            faults += [
                fault.replace("row ", "study ", 1) for fault in getattr(error, "faults", None) or [str(error)]
            ]
            continue
        for study, answer in zip(studies, answers.to_dict("records"), strict=True):
            yield _RECORD.dump_json(_scored(study, answer))
    if faults:
        raise FaultyStudies(f"{plan.name}: {len(faults)} images cannot be scored:", faults)


def _contents(study: PlannedStudy, faults: list[str]) -> list[bytes | None]:
    """The bytes of a study's views, None where one is absent; adds those that changed to the faults."""
    contents: list[bytes | None] = []
    for name, view in zip(VIEW_NAMES, study.views, strict=True):
        content = storage.read_bytes(view.uri) if view.uri else None
        if content is not None and hashlib.sha256(content).hexdigest() != view.sha256:
            faults.append(
                f"study {study.index}, view {name} ({view.uri}): expected the bytes that were listed "
                f"(SHA-256 {view.sha256[:12]}...), found others; score again"
            )
        # The model takes whole files, so a frame is cut out here.
        contents.append(clean(content, view.frame).content if content and view.frame else content)
    return contents


def _scored(study: PlannedStudy, answer: dict[str, Any]) -> ScoredStudy:
    numbers = [float(answer[label]) for label in LABELS]
    return ScoredStudy(
        index=study.index,
        probabilities=tuple(None if np.isnan(number) else number for number in numbers),
        decision=int(answer["decision"]),
        missing_views=answer["missing_views"],
        sha256=tuple(view.sha256 for view in study.views),
    )


_loading = threading.Lock()


@functools.lru_cache(maxsize=1)
def _load_once(load: Loader) -> Predictor:
    return load()


def _loaded(load: Loader) -> Predictor:
    """This process's model; Beam's threads wait for the first of them to load it."""
    with _loading:
        return _load_once(load)


def write_tables(manifest: PredictionsManifest, location_threshold: float) -> None:
    """Writes `output.csv` and `predictions.csv` from the shards, a study in memory at a time.

    Args:
      manifest: says where to.
      location_threshold: a location is decided 1 from this probability on; its cell stays empty
        where the model predicts no locations.
    """
    lineage = [getattr(manifest, field) for field in LINEAGE]
    with (
        storage.new_file(manifest.output_uri) as output,
        storage.new_file(manifest.predictions_uri) as predictions,
        output.open("w", encoding="utf-8", newline="") as answers,
        predictions.open("w", encoding="utf-8", newline="") as sources,
    ):
        answer = _table(answers, [INDEX, ANEURYSM, *LOCATIONS])
        source = _table(
            sources,
            [INDEX, *LABELS, "decision", "operating_point", "missing_views", *LINEAGE]
            + [f"sha256_{view}" for view in VIEW_NAMES],
        )
        for study in read_predictions(manifest):
            # As many digits as a float32 needs to come back the same.
            cells = ["" if p is None else str(np.float32(p)) for p in study.probabilities]
            decisions = ["" if p is None else int(p >= location_threshold) for p in study.probabilities[1:]]
            answer([study.index, cells[0], *decisions])
            decided = [study.decision, manifest.operating_point, study.missing_views]
            source([study.index, *cells, *decided, *lineage, *study.sha256])


def read_predictions(manifest: PredictionsManifest) -> Iterator[ScoredStudy]:
    """The scored studies, in the order of the list."""
    for uri in manifest.shard_uris(SPLIT):
        with storage.staged(uri) as path, path.open("rb") as file:
            for payload in read_records(file, uri):
                yield _RECORD.validate_json(payload)


def _table(file: TextIO, header: Sequence[str]) -> Callable[[Sequence[object]], object]:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(header)
    return rows.writerow


def _fingerprint(plans: Sequence[ScoringPlan], described: PredictionsManifest) -> str:
    content = hashlib.sha256()
    parts = [RECORD_FORMAT, *(str(getattr(described, field)) for field in LINEAGE), described.operating_point]
    content.update("\n".join([*parts, str(STUDIES_PER_SHARD)]).encode())
    for plan in plans:
        content.update("\n".join(["", *(study.index for study in plan.studies)]).encode())
    return content.hexdigest()[:16]
