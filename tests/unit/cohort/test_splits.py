import numpy as np
import pandas as pd
import pytest

from angiopipe.cohort.splits import assign_splits
from angiopipe.study import INDEX, LABELS


def made_up_labels(studies: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    locations = (rng.random((studies, 21)) < np.linspace(0.002, 0.08, 21)).astype(np.uint8)
    flags = np.column_stack([locations.any(axis=1), locations]).astype(np.uint8)
    return pd.DataFrame(flags, columns=list(LABELS)).assign(**{INDEX: [f"s{i}" for i in range(studies)]})


def test_the_shares_are_kept_and_labels_stratified():
    labels = made_up_labels()
    splits = assign_splits(labels, 0, 0.15, 0.2)
    table = labels.assign(split=labels[INDEX].map(splits))
    counts = table["split"].value_counts()
    assert counts.to_dict() == pytest.approx({"train": 195, "test": 60, "validation": 45}, abs=6)
    prevalence = table.groupby("split")["Aneurysm"].mean()
    assert prevalence.max() - prevalence.min() < 0.05
    common = labels[list(LABELS)].sum().loc[lambda n: n >= 20].index
    share = table[table["split"] == "test"][common].sum() / labels[common].sum()
    assert share.between(0.1, 0.3).all()


def test_the_same_seed_gives_the_same_splits_in_any_order():
    labels = made_up_labels()
    shuffled = labels.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(assign_splits(labels, 4, 0.15, 0.2), assign_splits(shuffled, 4, 0.15, 0.2))
    assert (assign_splits(labels, 4, 0.15, 0.2) != assign_splits(labels, 5, 0.15, 0.2)).any()


def test_too_few_studies_and_impossible_shares_are_told():
    with pytest.raises(ValueError, match="2 studies are too few for a test split of 20%: add studies"):
        assign_splits(made_up_labels(2), 0, 0.15, 0.2)
    with pytest.raises(ValueError, match="expected shares that leave studies to train on, got 0.5 and 0.5"):
        assign_splits(made_up_labels(), 0, 0.5, 0.5)
