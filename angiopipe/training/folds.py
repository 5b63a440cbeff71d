"""The folds of an ensemble: the training split cut by study, a member each trained without one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

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


def fold_of_studies(truth: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each study, stratified over the labels.

    Args:
      truth: (studies, 22) uint8 labels.
      folds: how many.
      seed: of the draw.

    Returns:
      (studies,) int64 from 0 to `folds` - 1.

    Raises:
      ValueError: a fold would lack studies with, or without, an aneurysm.

    Source: iterative stratification, Sechidis et al. 2011.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    fold = np.full(len(truth), -1)
    if len(truth) >= folds:
        draw = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
        for number, (_, members) in enumerate(draw.split(np.zeros(len(truth)), truth)):
            fold[members] = number
    counts = [(int(truth[fold == n, 0].sum()), int((fold == n).sum())) for n in range(folds)]
    if any(not 0 < positives < studies for positives, studies in counts):
        raise ValueError(
            f"training.ensemble={folds}: expected folds of the {len(truth)} training studies with and "
            "without an aneurysm, found (with, of all) "
            f"{', '.join(f'{positives} of {studies}' for positives, studies in counts)}; choose fewer folds"
        )
    return fold


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
