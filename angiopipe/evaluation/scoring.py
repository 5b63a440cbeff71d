"""A model's logits for the studies of a split, with what is known of the studies' own views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from angiopipe import storage
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.records.schema import ExampleRecord
from angiopipe.study import LABELS, VIEWS

# The figures' modules know these classes too, and need no TensorFlow.
if TYPE_CHECKING:
    from angiopipe.training.predict import Scorer

ALL_VIEWS = "all"
"""The selection that gives the model every view there is."""

_NO_VIEWS = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class ScoredSplit:
    """The studies of a split, in the order of its shards.

    Attributes:
      split: train, validation or test.
      indices: study ids.
      labels: (n, 22) uint8, in the order of `study.LABELS`.
      present: (n, 8) uint8, 1 where the study has the view.
      sizes: (n, 8, 2) int64, rows and columns of each view before preprocessing; 0 where absent.
      sha256: of each study's views before preprocessing; empty where absent.
      logits: (n, 22) float32 for each selection of views; NaN where the model has no output.
      clinical: (12,) float32 a study, from `clinical.encode`; empty without clinical data.
    """

    split: str
    indices: tuple[str, ...]
    labels: np.ndarray
    present: np.ndarray
    sizes: np.ndarray
    sha256: tuple[tuple[str, ...], ...]
    logits: Mapping[str, np.ndarray]
    clinical: tuple[np.ndarray, ...] = ()


def score(
    forward: Scorer,
    examples: ExamplesManifest,
    split: str,
    batch_size: int,
    selections: Mapping[str, np.ndarray] | None = None,
) -> ScoredSplit:
    """Scores every study of a split; reads it once, a batch of views in memory at a time.

    Args:
      forward: the model's, from `training.predict.scorer`.
      examples: made with the model's own preprocessing.
      split: train, validation or test.
      batch_size: studies at once; it does not change the answers.
      selections: name to (8,) uint8, 1 for the views the model is given, scored beside `ALL_VIEWS`.

    Raises:
      ValueError: there is no such split, or a shard is missing, truncated or damaged.
    """
    masks = {ALL_VIEWS: np.ones(len(VIEWS), np.uint8), **(selections or {})}
    studies: list[ExampleRecord] = []
    logits: dict[str, list[np.ndarray]] = {name: [] for name in masks}
    for batch in _batches(records(examples, split), batch_size):
        names = ("views", "present", "clinical") if examples.clinical else ("views", "present")
        given = {name: np.stack([getattr(study, name) for study in batch]) for name in names}
        for name, mask in masks.items():
            logits[name].append(forward({**given, "present": given["present"] * mask}).numpy())
        studies += [replace(study, views=_NO_VIEWS) for study in batch]
    return ScoredSplit(
        split=split,
        indices=tuple(study.index for study in studies),
        labels=np.stack([study.labels for study in studies]),
        present=np.stack([study.present for study in studies]),
        sizes=np.array([study.sizes for study in studies], np.int64),
        sha256=tuple(study.sha256 for study in studies),
        logits={name: _all_labels(np.concatenate(parts)) for name, parts in logits.items()},
        clinical=tuple(study.clinical for study in studies if study.clinical is not None),
    )


def records(examples: ExamplesManifest, split: str) -> Iterator[ExampleRecord]:
    """The studies of a split, one at a time, in the order of its shards.

    Raises:
      ValueError: there is no such split, or a shard is missing, truncated or damaged.
    """
    if split not in examples.counts:
        found = ", ".join(examples.counts)
        raise ValueError(f"examples {examples.fingerprint}: expected split {split}, found {found}")
    for uri in examples.shard_uris(split):
        try:
            with storage.staged(uri) as path, path.open("rb") as file:
                for payload in read_records(file, uri):
                    yield ExampleRecord.decode(payload, examples.shape)
        except FileNotFoundError:
            raise ValueError(f"{uri}: expected a shard, found none; make the examples again") from None


def _batches(studies: Iterable[ExampleRecord], size: int) -> Iterator[list[ExampleRecord]]:
    batch: list[ExampleRecord] = []
    for study in studies:
        batch.append(study)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _all_labels(logits: np.ndarray) -> np.ndarray:
    """(n, 1) or (n, 22) to (n, 22)."""
    filled = np.full((len(logits), len(LABELS)), np.nan, np.float32)
    filled[:, : logits.shape[1]] = logits
    return filled
