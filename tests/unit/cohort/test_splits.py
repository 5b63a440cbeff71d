import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angiopipe import storage
from angiopipe.cohort.leaks import refuse_leaks
from angiopipe.cohort.splits import SplitSettings, assign_splits, in_record_order, stable_splits
from angiopipe.dataflow.ingest import plan_studies
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES
from tests.unit.cohort.made_up import SPELLINGS

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


def test_studies_that_join_one_by_one_all_get_a_split(tmp_path):
    ledger = str(tmp_path / "splits")
    known = made_up_labels(16)
    before = stable_splits(known, USUAL, ledger)
    for number in range(30):
        known = pd.concat([known, made_up_labels(1, first=1000 + number)])
        after = stable_splits(known, USUAL, ledger)
        pd.testing.assert_series_equal(after.loc[before.index], before)
        assert set(after) <= set(SPLITS)
        before = after


def test_a_first_cohort_of_one_study_gets_a_split(tmp_path):
    cohorts = (made_up_labels(1, first=number) for number in range(20))
    alone = [stable_splits(one, USUAL, f"{tmp_path}/{number}").item() for number, one in enumerate(cohorts)]
    assert {"train", "test"} <= set(alone) <= set(SPLITS)


SETTINGS = st.builds(
    lambda seed, test, validation, folds: SplitSettings(
        seed, validation * (1 - test), test, folds, seed % folds if folds else 0
    ),
    st.integers(0, 3),
    st.floats(0.01, 0.97),
    st.floats(0, 0.99),
    st.sampled_from([0, 0, 2, 5]),
)


@given(SETTINGS, st.lists(st.sets(st.integers(0, 39), max_size=40), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_whoever_joins_and_leaves_nobody_changes_split(tmp_path_factory, chosen, cohorts):
    everyone, ledger = made_up_labels(40), str(tmp_path_factory.mktemp("splits"))
    first: dict[str, str] = {}
    for members in cohorts:
        splits = stable_splits(everyone.iloc[sorted(members)], chosen, ledger)
        assert list(splits.index) == [f"s{number:04d}" for number in sorted(members)]
        for index, split in splits.items():
            assert split in SPLITS
            assert first.setdefault(index, split) == split


FROZEN = {
    "usual": (
        USUAL,
        [
            "22f05bcbd61d",
            "ca925479ede6",
            "338e4f7f1117",
            "ab8a94653754",
            "22a7132bd4e2",
            None,
            "e7abc31ef7cd",
        ],
    ),
    "other": (
        SplitSettings(5, 0.3, 0.3),
        [
            "5a6e281e3d67",
            "aa6572e66fd8",
            "ab583f3af4f9",
            "991ac2a7422a",
            "a36081fedc29",
            "a6c0c16a268d",
            "e22da2fe962b",
        ],
    ),
    "one of five folds": (
        SplitSettings(0, 0.15, 0.2, 5, 1),
        [
            "22f05bcbd61d",
            "09df27f8c52b",
            "5e65f601e1f9",
            "08c97637eed9",
            "59ce4f424296",
            "819274c2ff2d",
            "944f19348b30",
        ],
    ),
    "one of two folds": (
        SplitSettings(3, 0.15, 0.2, 2, 0),
        [
            "44a1ad8ccfcf",
            "b2bacf95487c",
            "62dc21869518",
            "f7d13c655d53",
            "7fe9e6bedbf3",
            "285b377d8b71",
            "69aac8fdd197",
        ],
    ),
    "no validation": (
        SplitSettings(0, 0.0, 0.5),
        [
            "22f05bcbd61d",
            "b9737a3e8190",
            "b5af9b55887f",
            "0d618ecce3de",
            "690843c5f6ec",
            "709b9da0f5e6",
            "2be5772a42f2",
        ],
    ),
}
"""The splits of studies that join in so many at a time (`GROWTH`), by the release before; None where it failed."""

GROWTH = [(3,), (16,), (48,), (300,), (16, 1), (48, 7, 1), (300, 60)]


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("case", range(len(GROWTH)))
def test_the_splits_are_those_of_the_release_before(tmp_path, name, case):
    chosen, digests = FROZEN[name]
    labels, splits = made_up_labels(0), pd.Series(dtype=str)
    for joining in GROWTH[case]:
        labels = pd.concat([labels, made_up_labels(joining, first=len(labels))])
        splits = stable_splits(labels, chosen, str(tmp_path))
    content = "".join(f"{index}={split}\n" for index, split in splits.items())
    if digests[case]:
        assert hashlib.sha256(content.encode()).hexdigest()[:12] == digests[case]


def test_an_index_is_text_whatever_it_spells(tmp_path):
    labels = made_up_labels(60)
    labels[INDEX] = [*SPELLINGS, *labels[INDEX].iloc[len(SPELLINGS) :]]
    before = stable_splits(labels, USUAL, str(tmp_path))
    for _ in range(2):
        pd.testing.assert_series_equal(stable_splits(labels, USUAL, str(tmp_path)), before)
    (uri,) = storage.list_files(str(tmp_path))
    assert storage.read_text(uri).count("\n") == 61


DAMAGE = {
    "half a line": (
        "s0001,tr\n",
        "study s0001 (line 3): expected one line, and one of train, validation, test, found 'tr'",
    ),
    "less than half": (
        "s0001\n",
        "study s0001 (line 3): expected 2 cells, as in the header, found 1: a comma too few",
    ),
    "a split that there is not": ("s0001,Test\n", "found 'Test'"),
    "no split": ("s0001,\n", "found ''"),
    "no study": (",test\n", "line 3: expected one line"),
    "a study twice": ("s0000,train\n", "study s0000 (line 2): expected one line"),
    "a line of another table": (
        "s0001,test,1\n",
        "study s0001 (line 3): expected 2 cells, as in the header, found 3",
    ),
    "zeros": ("\0" * 20, "expected 2 cells"),
    "a quote": ('"s0001,test\n', "line 3: expected quotes that pair"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_memory_is_refused_and_left_as_it_is(tmp_path, name):
    more, message = DAMAGE[name]
    stable_splits(made_up_labels(20), USUAL, str(tmp_path))
    (uri,) = storage.list_files(str(tmp_path))
    damaged = f"Index,split\ns0000,test\n{more}"
    storage.write_text(uri, damaged)
    with pytest.raises(FaultyStudies) as caught:
        stable_splits(made_up_labels(20), USUAL, str(tmp_path))
    assert str(caught.value).startswith(f"{uri}: expected ")
    assert message in str(caught.value)
    assert "restore it from a copy: split anew, test studies would be trained on" in str(caught.value)
    assert storage.read_text(uri) == damaged


@pytest.mark.parametrize("content", ["", "Index,split\n", "study,split\ns0000,test\n"])
def test_a_memory_that_lost_all_is_refused_too(tmp_path, content):
    stable_splits(made_up_labels(20), USUAL, str(tmp_path))
    (uri,) = storage.list_files(str(tmp_path))
    storage.write_text(uri, content)
    with pytest.raises(FaultyStudies, match="restore it from a copy"):
        stable_splits(made_up_labels(20), USUAL, str(tmp_path))


def test_splits_that_are_not_accepted_are_not_remembered(tmp_path):
    def refuse(splits):
        raise ValueError("too few")

    with pytest.raises(ValueError, match="too few"):
        stable_splits(made_up_labels(20), USUAL, str(tmp_path), refuse)
    assert storage.list_files(str(tmp_path)) == []


def test_records_are_in_record_order():
    labels = made_up_labels(100)
    labels = labels.assign(split=labels[INDEX].map(assign_splits(labels, USUAL)))
    views = pd.DataFrame(
        {INDEX: labels[INDEX], "view": VIEW_NAMES[0], "uri": "a", "sha256": "b", "frame": None}
    )
    views = views.assign(height=64, width=64, as_is=True)
    for split in SPLITS:
        planned = [
            study.index
            for plan in plan_studies(labels, views)
            if plan.split == split
            for study in plan.studies
        ]
        assert planned == in_record_order(labels[labels["split"] == split])[INDEX].tolist()


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
        (
            {"validation_share": -0.1, "test_share": 0.2},
            "expected shares that leave studies to train on, got -0.1",
        ),
        (
            {"validation_share": 0.1, "test_share": float("nan")},
            "got 0.1 for validation and nan for the test",
        ),
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
