"""Which study is for training, validation and test: by study, stratified and stable."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pandas as pd

from angiopipe import storage
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.study import INDEX, LABELS, SPLITS
from angiopipe.tables import Row, read_own_table

_RESTORE = "restore it from a copy: split anew, test studies would be trained on"


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
        if not (0 < self.test_share and 0 <= self.validation_share < 1 - self.test_share):
            raise ValueError(
                "expected shares that leave studies to train on, "
                f"got {self.validation_share} for validation and {self.test_share} for the test"
            )
        if self.folds and not (self.folds > 1 and 0 <= self.fold < self.folds):
            raise ValueError(
                f"expected 2 or more folds and a fold among them from 0, got {self.fold} of {self.folds}"
            )


def stable_splits(
    labels: pd.DataFrame,
    settings: SplitSettings,
    ledger: str,
    accept: Callable[[pd.Series], None] = lambda splits: None,
) -> pd.Series:
    """Assigns each study to a split, and remembers it: a study that has one keeps it.

    Args:
      labels: `Index` and the 22 labels.
      settings: seed, shares and folds; each combination has a memory of its own.
      ledger: URI of the folder where the assignments are remembered.
      accept: is given the splits before they are remembered; where it raises, they are not.

    Returns:
      "train", "validation" or "test" by `Index`, for the studies in `labels`.

    Raises:
      FaultyStudies: the memory is damaged; it is left as it is.
    """
    known = remembered_splits(settings, ledger)
    splits = splits_of(labels, settings, known)
    accept(splits)
    new = splits[~splits.index.isin(known.index)]
    if len(new):
        storage.write_text(_uri(settings, ledger), pd.concat([known, new]).sort_index().to_csv())
    return splits


def splits_of(labels: pd.DataFrame, settings: SplitSettings, known: pd.Series) -> pd.Series:
    """Each study's split, by `Index`: that which is known, or else one drawn among the new studies.

    Iterative stratification looks at all studies together, so alone it would shuffle everything
    whenever one is added; a test set must not leak into training that way.

    Args:
      labels: `Index` and the 22 labels.
      settings: seed, shares and folds.
      known: from `remembered_splits`.
    """
    new = labels[~labels[INDEX].isin(known.index)]
    splits = pd.concat([known, assign_splits(new, settings)]) if len(new) else known
    return splits.loc[sorted(labels[INDEX])].rename("split").rename_axis(INDEX)


def remembered_splits(settings: SplitSettings, ledger: str) -> pd.Series:
    """The splits of earlier runs by `Index`; none where there was no run.

    Raises:
      FaultyStudies: a study has none, two, or one that there is not.
    """
    uri, rows = _uri(settings, ledger), list[Row]()
    if storage.exists(uri):
        rows = read_own_table(storage.read_bytes(uri), uri, (INDEX, "split"), _RESTORE).rows
    known = pd.DataFrame([row.cells for row in rows], columns=[INDEX, "split"], dtype=str)
    wrong = known.duplicated(INDEX, keep=False) | (known[INDEX] == "") | ~known["split"].isin(SPLITS)
    if wrong.any():
        expected = f"one line, and one of {', '.join(SPLITS)}"
        faults = [
            Fault(index, "", "", line, expected, repr(split), "correct it")
            for line, (index, split) in compress(rows, wrong)
        ]
        raise FaultyStudies(f"{uri}: expected each study's split once, found it damaged; {_RESTORE}:", faults)
    return known.set_index(INDEX)["split"]


def _uri(settings: SplitSettings, ledger: str) -> str:
    name = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    return storage.join(ledger, f"{name}.csv")


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
    if len(table) * share < 2 or math.ceil(len(table) * share) == len(table):
        return np.array([_uniform(index, seed) < share for index in table[INDEX]], bool)
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    draw = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    labels = table[list(LABELS)].to_numpy()
    _, drawn = next(draw.split(np.zeros(len(labels)), labels))
    chosen = np.zeros(len(labels), bool)
    chosen[drawn] = True
    return chosen


def _fold(table: pd.DataFrame, settings: SplitSettings) -> np.ndarray:
    """Positions of the rows in the fold that is for validation."""
    if len(table) < settings.folds:
        hashes = [int(_uniform(index, settings.seed) * settings.folds) for index in table[INDEX]]
        return np.flatnonzero(np.array(hashes) == settings.fold)
    folds = _stratified_folds(table[list(LABELS)].to_numpy(), settings.folds, settings.seed)
    return np.flatnonzero(folds == settings.fold)


def fold_of_studies(truth: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each training study in an ensemble, stratified over the labels.

    Args:
      truth: (studies, 22) uint8 labels, in the order of the records (`in_record_order`).
      folds: how many.
      seed: of the draw.

    Returns:
      (studies,) int64 from 0 to `folds` - 1.

    Raises:
      ValueError: a fold would lack studies with, or without, an aneurysm.
    """
    fold = np.full(len(truth), -1)
    if len(truth) >= folds:
        fold = _stratified_folds(truth, folds, seed)
    counts = [(int(truth[fold == n, 0].sum()), int((fold == n).sum())) for n in range(folds)]
    if any(not 0 < positives < studies for positives, studies in counts):
        raise ValueError(
            f"training.ensemble={folds}: expected folds of the {len(truth)} training studies with and "
            "without an aneurysm, found (with, of all) "
            f"{', '.join(f'{positives} of {studies}' for positives, studies in counts)}; choose fewer folds"
        )
    return fold


def in_record_order(studies: pd.DataFrame) -> pd.DataFrame:
    """Studies of a split in the order in which they are written: any part of it is a fair mixture."""
    hashes = studies[INDEX].map(lambda index: hashlib.sha256(index.encode()).hexdigest())
    return studies.assign(hash=hashes).sort_values("hash", ignore_index=True).drop(columns="hash")


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(studies,) int64, the fold of each.

    Source: iterative stratification, Sechidis et al. 2011.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    fold = np.full(len(labels), -1)
    draw = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(draw.split(np.zeros(len(labels)), labels)):
        fold[members] = number
    return fold


def _uniform(index: str, seed: int) -> float:
    """A number in [0, 1) that only the seed and the Index decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:8]) / 2**64
