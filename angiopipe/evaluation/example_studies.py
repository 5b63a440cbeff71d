"""The few test studies a reader should look at, with the views the model saw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from angiopipe.evaluation.overlays import overlays
from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.scoring import records
from angiopipe.html.thumbnail import thumbnail
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.records.schema import ExampleRecord
from angiopipe.study import LOCATIONS, VIEW_NAMES

if TYPE_CHECKING:
    import keras

STUDIES_A_GROUP = 2
THUMBNAIL_PIXELS = 192


@dataclass(frozen=True)
class Group:
    """Test studies that show the same thing.

    Attributes:
      title: what they show.
      none: what is said where there is no such study.
      rows: positions in the test predictions, the most telling first.
    """

    title: str
    none: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Thumbnail:
    """One view of an example study.

    Attributes:
      name: one of `study.VIEW_NAMES`.
      source: a data URI of a JPEG; empty where the study lacks the view.
      overlay: a data URI of a PNG of the model's evidence; empty where it has none to show.
    """

    name: str
    source: str
    overlay: str


@dataclass(frozen=True)
class ExampleStudy:
    """One study as the report shows it.

    Attributes:
      index: the study id.
      probability: of an aneurysm.
      positive: whether it has one in truth.
      truth: the locations that have one.
      guesses: the three likeliest locations with their probabilities; empty where none is predicted.
      views: in the order of `study.VIEWS`.
    """

    index: str
    probability: float
    positive: bool
    truth: tuple[str, ...]
    guesses: tuple[tuple[str, float], ...]
    views: tuple[Thumbnail, ...]


def choose(test: Predictions, threshold: float) -> tuple[Group, ...]:
    """Picks the studies on which the model is surest, right or wrong, and those nearest `threshold`."""
    rising = np.argsort(test.scores, kind="stable")
    falling = rising[::-1]
    positive, called = test.truth == 1, test.scores >= threshold
    nearest = np.argsort(np.abs(test.scores - threshold), kind="stable")
    return (
        _group("Surest right: aneurysm found", "No aneurysm was found.", falling, positive & called),
        _group("Surest right: nothing called", "No study was rightly cleared.", rising, ~positive & ~called),
        _group("Surest wrong: aneurysm missed", "No aneurysm was missed.", rising, positive & ~called),
        _group("Surest wrong: false alarm", "There was no false alarm.", falling, ~positive & called),
        _group(
            "Borderline: nearest the threshold",
            "There is no test study.",
            nearest,
            np.ones(len(called), bool),
        ),
    )


def _group(title: str, none: str, order: np.ndarray, members: np.ndarray) -> Group:
    return Group(title, none, tuple(int(row) for row in order if members[row])[:STUDIES_A_GROUP])


def read_examples(
    examples: ExamplesManifest, split: str, indices: Collection[str]
) -> dict[str, ExampleRecord]:
    """Reads some studies of a split, one record in memory at a time beside those wanted.

    Raises:
      ValueError: a study is not among the split's records.
    """
    wanted, found = set(indices), dict[str, ExampleRecord]()
    for record in records(examples, split):
        if record.index in wanted:
            found[record.index] = record
            if len(found) == len(wanted):
                break
    if missing := sorted(wanted - set(found)):
        raise ValueError(f"{examples.location}: the {split} split has no study {', '.join(missing)}")
    return found


def illustrate(
    test: Predictions, row: int, record: ExampleRecord, evidence: keras.Model | None = None
) -> ExampleStudy:
    """The study at `row` of the predictions with its thumbnails, and what `models.evidence` says of them."""
    answers = test.probabilities[row, 1:]
    likeliest = np.argsort(-answers, kind="stable")[:3] if test.predicts_locations else ()
    views = tuple(
        Thumbnail(name, thumbnail(view, THUMBNAIL_PIXELS), seen) if present else Thumbnail(name, "", "")
        for name, view, present, seen in zip(
            VIEW_NAMES, record.views, record.present, overlays(evidence, record), strict=True
        )
    )
    return ExampleStudy(
        index=test.indices[row],
        probability=float(test.scores[row]),
        positive=bool(test.truth[row]),
        truth=tuple(name for name, label in zip(LOCATIONS, test.labels[row, 1:], strict=True) if label),
        guesses=tuple((LOCATIONS[place], float(answers[place])) for place in likeliest),
        views=views,
    )
