import numpy as np
import pandas as pd
import pytest

from angiopipe.cohort.leaks import refuse_leaks
from angiopipe.cohort.splits import SplitSettings, assign_splits, stable_splits
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX, LABELS

USUAL = SplitSettings(seed=0, validation_share=0.15, test_share=0.2)


def made_up_labels(studies: int = 300, first: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(first)
    locations = (rng.random((studies, 21)) < np.linspace(0.002, 0.08, 21)).astype(np.uint8)
    flags = np.column_stack([locations.any(axis=1), locations]).astype(np.uint8)
    names = [f"s{i:04d}" for i in range(first, first + studies)]
    return pd.DataFrame(flags, columns=list(LABELS)).assign(**{INDEX: names})


def test_the_shares_are_kept_and_labels_stratified():
    labels = made_up_labels()
    table = labels.assign(split=labels[INDEX].map(assign_splits(labels, USUAL)))
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
    pd.testing.assert_series_equal(assign_splits(labels, USUAL), assign_splits(shuffled, USUAL))
    other = SplitSettings(seed=5, validation_share=0.15, test_share=0.2)
    assert (assign_splits(labels, USUAL) != assign_splits(labels, other)).any()


@pytest.mark.parametrize("added", [1, 7, 150])
def test_studies_that_are_added_move_no_other(tmp_path, added):
    ledger = str(tmp_path / "splits")
    before = stable_splits(made_up_labels(), USUAL, ledger)
    grown = pd.concat([made_up_labels(), made_up_labels(added, first=300)])
    after = stable_splits(grown, USUAL, ledger)
    pd.testing.assert_series_equal(after.loc[before.index], before)
    assert len(after) == 300 + added
    if added == 150:
        assert (after.iloc[300:] == "test").sum() == pytest.approx(30, abs=3)


def test_a_study_that_left_and_came_back_is_where_it_was(tmp_path):
    ledger = str(tmp_path / "splits")
    before = stable_splits(made_up_labels(), USUAL, ledger)
    stable_splits(made_up_labels().iloc[:100], USUAL, ledger)
    pd.testing.assert_series_equal(stable_splits(made_up_labels(), USUAL, ledger), before)


def test_other_settings_have_a_memory_of_their_own(tmp_path):
    ledger = str(tmp_path / "splits")
    other = SplitSettings(seed=1, validation_share=0.15, test_share=0.2)
    assert (
        stable_splits(made_up_labels(), USUAL, ledger) != stable_splits(made_up_labels(), other, ledger)
    ).any()


def test_folds_share_the_test_set_and_cover_the_rest_once():
    labels = made_up_labels()
    folds = [
        assign_splits(
            labels, SplitSettings(seed=0, validation_share=0.15, test_share=0.2, folds=5, fold=fold)
        )
        for fold in range(5)
    ]
    tests = {tuple(fold.index[fold == "test"]) for fold in folds}
    assert len(tests) == 1
    validated = [index for fold in folds for index in fold.index[fold == "validation"]]
    assert sorted(validated) == sorted(set(labels[INDEX]) - set(tests.pop()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"validation_share": 0.5, "test_share": 0.5},
            "expected shares that leave studies to train on, got 0.5",
        ),
        ({"validation_share": 0.1, "test_share": 0.2, "folds": 5, "fold": 5}, "got 5 of 5"),
        ({"validation_share": 0.1, "test_share": 0.2, "folds": 1}, "expected 2 or more folds"),
    ],
)
def test_impossible_settings_are_told(fields, message):
    with pytest.raises(ValueError, match=message):
        SplitSettings(seed=0, **fields)


def test_a_leak_is_an_error_that_names_study_and_image():
    labels = pd.DataFrame({INDEX: ["1", "2", "3", "3"], "split": ["train", "test", "train", "validation"]})
    views = pd.DataFrame(
        {INDEX: ["1", "1", "2"], "view": ["LI-A", "LI-B", "RI-A"], "sha256": ["aa", "bb", "aa"]}
    )
    with pytest.raises(FaultyStudies) as caught:
        refuse_leaks(labels, views)
    assert caught.value.faults == [
        "study 3: in train and validation",
        "image aa...: the same bytes in study 1 view LI-A (train), study 2 view RI-A (test)",
    ]


def test_the_same_image_twice_in_one_split_is_no_leak():
    labels = pd.DataFrame({INDEX: ["1", "2"], "split": ["train", "train"]})
    views = pd.DataFrame({INDEX: ["1", "2"], "view": ["LI-A", "RI-A"], "sha256": ["aa", "aa"]})
    refuse_leaks(labels, views)
