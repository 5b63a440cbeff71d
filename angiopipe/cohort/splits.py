"""Which study is for training, validation and test: by study, stratified over all labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from angiopipe.study import INDEX, LABELS


def assign_splits(labels: pd.DataFrame, seed: int, validation_share: float, test_share: float) -> pd.Series:
    """Assigns each study to a split, stratified over the 22 labels.

    Args:
      labels: `Index` and the 22 labels, one row a study, in any order.
      seed: the same seed and studies give the same splits, whatever the rows' order.
      validation_share: of all studies.
      test_share: of all studies.

    Returns:
      "train", "validation" or "test" by `Index`, in the order of `Index`.

    Raises:
      ValueError: a split would be empty, or the shares leave nothing to train on.

    Source: iterative stratification, Sechidis et al. 2011.
    """
    if not 0 < validation_share + test_share < 1:
        raise ValueError(
            f"expected shares that leave studies to train on, got {validation_share} and {test_share}"
        )
    table = labels.sort_values(INDEX, ignore_index=True)
    split = np.full(len(table), "train", dtype=object)
    rest = np.arange(len(table))
    for name, share in (("test", test_share), ("validation", validation_share / (1 - test_share))):
        chosen = _draw(table.loc[rest, list(LABELS)].to_numpy(), share, seed, name)
        split[rest[chosen]] = name
        rest = rest[~chosen]
    return pd.Series(split, index=table[INDEX], name="split")


def _draw(labels: np.ndarray, share: float, seed: int, name: str) -> np.ndarray:
    """(studies,) bool: the share of the rows drawn, stratified over the columns."""
    if round(len(labels) * share) < 1:
        raise ValueError(f"{len(labels)} studies are too few for a {name} split of {share:.0%}: add studies")
    draw = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    _, drawn = next(draw.split(np.zeros(len(labels)), labels))
    chosen = np.zeros(len(labels), bool)
    chosen[drawn] = True
    return chosen
