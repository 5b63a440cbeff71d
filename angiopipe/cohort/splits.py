"""Which study is for training, validation and test: by study, stratified and stable."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from angiopipe import storage
from angiopipe.study import INDEX, LABELS


@dataclass(frozen=True)
class SplitSettings:
    """How a cohort is split.

    Attributes:
      seed: the same seed, settings and studies give the same splits.
      validation_share: of all studies.
      test_share: of all studies.
      folds: 0 for one validation split; k to cut the studies that are not for the test into k folds.
      fold: which of them, counted from 0, is for validation.
    """

    seed: int
    validation_share: float
    test_share: float
    folds: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1 or not 0 < self.validation_share + self.test_share < 1:
            raise ValueError(
                "expected shares that leave studies to train on, "
                f"got {self.validation_share} for validation and {self.test_share} for the test"
            )
        if self.folds and not (self.folds > 1 and 0 <= self.fold < self.folds):
            raise ValueError(
                f"expected 2 or more folds and a fold among them from 0, got {self.fold} of {self.folds}"
            )


def stable_splits(labels: pd.DataFrame, settings: SplitSettings, ledger: str) -> pd.Series:
    """Assigns each study to a split, and remembers it: a study that has one keeps it.

    Iterative stratification looks at all studies together, so alone it would shuffle everything
    whenever one is added; a test set must not leak into training that way.

    Args:
      labels: `Index` and the 22 labels.
      settings: seed, shares and folds; each combination has a memory of its own.
      ledger: URI of the folder where the assignments are remembered.

    Returns:
      "train", "validation" or "test" by `Index`, for the studies in `labels`.
    """
    name = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    uri = storage.join(ledger, f"{name}.csv")
    known = pd.Series([], index=pd.Index([], name=INDEX, dtype=str), name="split", dtype=str)
    if storage.exists(uri):
        known = pd.read_csv(io.StringIO(storage.read_text(uri)), dtype=str, index_col=INDEX)["split"]
    new = labels[~labels[INDEX].isin(known.index)]
    if len(new):
        known = pd.concat([known, assign_splits(new, settings)])
        storage.write_text(uri, known.rename("split").rename_axis(INDEX).sort_index().to_csv())
    return known.loc[sorted(labels[INDEX])].rename("split").rename_axis(INDEX)


def assign_splits(labels: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """Assigns each study to a split, stratified over the 22 labels.

    Args:
      labels: `Index` and the 22 labels, one row a study, in any order.
      settings: seed, shares and folds.

    Returns:
      "train", "validation" or "test" by `Index`, in the order of `Index`.

    Source: iterative stratification, Sechidis et al. 2011.
    """
    table = labels.sort_values(INDEX, ignore_index=True)
    split = np.full(len(table), "train", dtype=object)
    test = _draw(table, settings.test_share, settings.seed)
    split[test] = "test"
    rest = np.flatnonzero(~test)
    if settings.folds:
        split[rest[_fold(table.loc[rest], settings)]] = "validation"
    else:
        share = settings.validation_share / (1 - settings.test_share)
        split[rest[_draw(table.loc[rest], share, settings.seed)]] = "validation"
    return pd.Series(split, index=table[INDEX], name="split")


def _draw(table: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """(studies,) bool: the share of the rows drawn, stratified over the labels.

    Too few to stratify, as when a handful joins a known cohort, are drawn by the hash of their Index.
    """
    if not share:
        return np.zeros(len(table), bool)
    if len(table) * share < 2:
        return np.array([_uniform(index, seed) < share for index in table[INDEX]])
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    draw = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    labels = table[list(LABELS)].to_numpy()
    _, drawn = next(draw.split(np.zeros(len(labels)), labels))
    chosen = np.zeros(len(labels), bool)
    chosen[drawn] = True
    return chosen


def _fold(table: pd.DataFrame, settings: SplitSettings) -> np.ndarray:
    """Positions of the rows in the fold that is for validation."""
    labels = table[list(LABELS)].to_numpy()
    if len(labels) < settings.folds:
        hashes = [int(_uniform(index, settings.seed) * settings.folds) for index in table[INDEX]]
        return np.flatnonzero(np.array(hashes) == settings.fold)
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    folds = MultilabelStratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    return list(folds.split(np.zeros(len(labels)), labels))[settings.fold][1]


def _uniform(index: str, seed: int) -> float:
    """A number in [0, 1) that only the seed and the Index decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:8]) / 2**64
