"""The folds of an ensemble: the training split cut by study, a member each trained without one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from angiopipe.cohort.splits import fold_of_studies
from angiopipe.records.manifest import ExamplesManifest, Shard
from angiopipe.training.input import PartOfShard, labels


def parts_of(manifest: ExamplesManifest, folds: int, seed: int) -> list[ExamplesManifest]:
    """What each member of an ensemble sees, as examples of its own over the same shards.

    A member's "train" is the training split without its fold, its "validation" that fold. The
    validation and test splits are in none of them.

    Args:
      manifest: the examples.
      folds: how many.
      seed: the same seed and examples give the same folds.

    Raises:
      ValueError: a fold would lack studies with, or without, an aneurysm.
    """
    fold = fold_of_studies(labels(manifest, "train"), folds, seed)
    return [_part(manifest, fold, number, f"{number} of {folds} by seed {seed}") for number in range(folds)]


def _part(manifest: ExamplesManifest, fold: np.ndarray, number: int, name: str) -> ExamplesManifest:
    digest = hashlib.sha256(f"{manifest.fingerprint} without fold {name}".encode()).hexdigest()
    shards = (*_shards(manifest, fold != number, "train"), *_shards(manifest, fold == number, "validation"))
    return manifest.model_copy(update={"fingerprint": digest[:16], "shards": shards})


def _shards(manifest: ExamplesManifest, chosen: np.ndarray, split: str) -> Iterator[Shard]:
    """The training shards, as if they held nothing but the chosen studies."""
    first = 0
    for shard in manifest.shards:
        if shard.split == "train":
            rows = tuple(np.flatnonzero(chosen[first : first + shard.studies]).tolist())
            first += shard.studies
            fields = shard.model_dump() | {"split": split, "studies": len(rows), "rows": rows}
            if rows:
                yield PartOfShard(**fields)
