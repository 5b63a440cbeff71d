"""Whatever form studies are sent in: a right answer, or one error of ours that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from mlflow.pyfunc import scoring_server

from angiopipe.registry.request import FaultyRequest, refuse_rows
from angiopipe.study import LABELS, VIEW_NAMES
from tests.packaged_model import package_model

LONGEST_ERROR = 2500
WRONG_NAMES = {
    "LIA": "LI-A",
    "li-a": "LI-A",
    "LI A": "LI-A",
    " LI-A": "LI-A",
    "LI_A": "LI-A",
    "LI\N{NON-BREAKING HYPHEN}A": "LI-A",
    "LI\N{MINUS SIGN}A": "LI-A",
    "\ufeffLI-A": "LI-A",
    "\N{FULLWIDTH LATIN CAPITAL LETTER L}I-A": "LI-A",
    "LI-AA": "LI-A",
    "LI-C": "LI-A or LI-B",
    "L1-A": "LI-A or LV-A",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mlflow.pyfunc.load_model(str(package_model(tmp_path_factory.mktemp("octoview")).folder))


@pytest.fixture(scope="module")
def rows(cohort) -> list[dict[str, bytes]]:
    contents = [path.read_bytes() for path in sorted(Path(cohort.images).iterdir())[:16]]
    return [dict(zip(VIEW_NAMES, contents[start : start + 8], strict=True)) for start in (0, 8)]


@pytest.fixture(scope="module")
def expected(model, rows) -> np.ndarray:
    return model.predict(pd.DataFrame(rows))[list(LABELS)].to_numpy()


def misspelt(row: dict[str, Any], name: object = "LIA") -> dict[Any, Any]:
    return {name if view == "LI-A" else view: content for view, content in row.items()}


def structured(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([tuple(row.values()) for row in rows], [(name, object) for name in rows[0]])


MANY = {
    "a table": pd.DataFrame,
    "a list of dicts": list,
    "a tuple of dicts": tuple,
    "a list of other mappings": lambda rows: [MappingProxyType(row) for row in rows],
    "an array of dicts": lambda rows: np.array(rows, object),
    "a structured array": structured,
    "a dict of lists": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "a dict of tuples": lambda rows: {name: tuple(row[name] for row in rows) for name in rows[0]},
    "a dict of arrays": lambda rows: {n: np.array([row[n] for row in rows], object) for n in rows[0]},
    "a dict of Series": lambda rows: dict(pd.DataFrame(rows).items()),
    "a dict of dicts": lambda rows: pd.DataFrame(rows).to_dict(),
}
ONE = {
    "a dict": lambda row: row,
    "a Series": pd.Series,
    "a row of a table": lambda row: pd.DataFrame([row], index=["s1"]).loc["s1"],
    "a structured scalar": lambda row: structured([row])[0],
    "an array of one dict": lambda row: np.array(row, object),
}


@pytest.mark.parametrize("form", MANY)
def test_studies_are_answered_alike_in_every_form(model, rows, expected, form):
    answers = model.predict(MANY[form](rows))
    np.testing.assert_allclose(answers[list(LABELS)], expected, atol=1e-6)
    assert answers["missing_views"].tolist() == ["", ""]


@pytest.mark.parametrize("form", ONE)
def test_a_study_is_answered_alike_in_every_form(model, rows, expected, form):
    answer = model.predict(ONE[form](rows[1]))
    np.testing.assert_allclose(answer[list(LABELS)], expected[1:], atol=1e-6)


@pytest.mark.parametrize("form", {**MANY, **ONE})
@pytest.mark.parametrize("name", ["LIA", "left"])
def test_a_misspelt_view_is_an_error_in_every_form(model, rows, form, name):
    wrong = [misspelt(row, name) for row in rows]
    sent = MANY[form](wrong) if form in MANY else ONE[form](wrong[0])
    with pytest.raises(FaultyRequest, match=f"expected columns named LI-A, .*\n  column '{name}' is no view"):
        model.predict(sent)


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_the_nearest_view_is_suggested(model, rows, name):
    with pytest.raises(FaultyRequest, match=f"is no view; did you mean {WRONG_NAMES[name]}\\?$"):
        model.predict([misspelt(rows[0], name)])


@pytest.mark.parametrize("name", [0, None, pd.NA, float("nan"), ("LI-A", "x"), b"LI-A", "A" * 300_000])
def test_a_column_that_is_named_by_no_view_is_an_error(model, rows, name):
    with pytest.raises(FaultyRequest, match="column .* is no view") as caught:
        model.predict(
            pd.DataFrame(
                [list(rows[0].values())], columns=pd.Index(misspelt(rows[0], name), tupleize_cols=False)
            )
        )
    assert len(str(caught.value)) < LONGEST_ERROR


def test_a_name_that_only_reads_like_a_view_is_not_taken_for_one(model, rows):
    class Name:
        def __str__(self) -> str:
            return "LI-A"

    with pytest.raises(FaultyRequest, match="column LI-A is no view; did you mean LI-A?"):
        model.predict(pd.DataFrame([misspelt(rows[0], Name())]))


def test_a_view_misspelt_in_one_row_alone_names_the_row(model, rows):
    with pytest.raises(FaultyRequest, match="row 1, column 'LIA' is no view; did you mean LI-A?"):
        model.predict([rows[0], misspelt(rows[1])])
    wrong = [rows[0], misspelt(rows[1]), misspelt(rows[1])]
    with pytest.raises(FaultyRequest, match="row b and 1 others, column 'LIA' is no view"):
        model.predict(pd.DataFrame(wrong, index=list("abc")))


def test_a_column_that_is_there_twice_or_is_the_index_is_an_error(model, rows):
    for count in (1, 2):  # As many rows as there are such columns is a case of its own to pandas.
        twice = pd.DataFrame(
            [[*row.values(), row["LI-A"]] for row in rows[:count]], columns=[*VIEW_NAMES, "LI-A"]
        )
        with pytest.raises(FaultyRequest, match="column LI-A is there 2 times"):
            model.predict(twice)
    with pytest.raises(FaultyRequest, match="column LI-A is there 2 times"):
        model.predict(pd.concat([pd.Series(rows[0]), pd.Series({"LI-A": b""})]))
    levels = pd.MultiIndex.from_product([VIEW_NAMES, ["x"]])
    with pytest.raises(FaultyRequest, match=r"column \('LI-A', 'x'\) is no view"):
        model.predict(pd.DataFrame([list(rows[0].values())], columns=levels))
    with pytest.raises(FaultyRequest, match="column LI-A is the index"):
        model.predict(pd.DataFrame(rows).set_index("LI-A"))


NO_STUDIES = {
    "a path": "a.png",
    "no text": "",
    "bytes": b"\x89PNG" * 50_000,
    "a bytearray": bytearray(b"\x89PNG" * 50_000),
    "None": None,
    "a number": 5,
    "NaN": float("nan"),
    "a set": {b"\x89PNG"},
    "a generator": (row for row in ()),
    "a Path": Path("a.png"),
    "a list of bytes": [b"\x89PNG" * 50_000] * 8,
    "a list of paths": ["a.png"] * 8,
    "a list of lists": [[b"\x89PNG" * 50_000] * 8],
    "a list of None": [None],
    "an array of bytes": np.array([b"\x89PNG" * 50_000] * 8, object),
    "an array of text": np.array(["a.png"] * 8),
    "a table of bytes without names": np.array([[b"\x89PNG" * 50_000] * 8], object),
    "pixels": np.zeros((8, 96, 96), np.uint8),
    "a sparse matrix": scipy.sparse.csr_matrix(np.eye(8)),
    "a sparse array": scipy.sparse.coo_array(np.eye(8)),
    "a Series without names": pd.Series([b"\x89PNG" * 50_000] * 8),
    "an empty list": [],
    "an empty tuple": (),
    "an empty dict": {},
    "an empty array": np.array([]),
    "an empty Series": pd.Series([], dtype=object),
    "a table of nothing": pd.DataFrame(),
    "lists of different lengths": {"LI-A": [b"\x89PNG" * 50_000], "LI-B": [b""] * 2},
    "one view for several studies": {"LI-A": b"\x89PNG" * 50_000, "LI-B": [b"", b""]},
    "dicts beside lists": {"LI-A": {"a": b"\x89PNG" * 50_000}, "LI-B": [b""]},
    "one index twice": {"LI-A": pd.Series([b"1", b"2"], [0, 0]), "LI-B": pd.Series([b"1", b"2"])},
}


@pytest.mark.parametrize("what", NO_STUDIES)
def test_what_cannot_be_read_as_studies_is_an_error(model, what):
    with pytest.raises(FaultyRequest, match="expected studies, as a DataFrame, .*; found ") as caught:
        model.predict(NO_STUDIES[what])
    assert len(str(caught.value)) < 500


def test_a_list_with_something_else_in_it_names_the_places(model, rows):
    with pytest.raises(
        FaultyRequest, match="list with bytes where a dict was expected, at 1, 3 to 4 counted from 0"
    ):
        model.predict([rows[0], b"1", rows[0], b"2", "3"])


@pytest.mark.parametrize("named", [{name: [] for name in VIEW_NAMES}, pd.DataFrame(columns=["LI-A"])])
def test_named_views_without_rows_have_no_answers(model, named):
    assert len(model.predict(named)) == 0


@pytest.mark.parametrize(
    "cell",
    [[b"1"], {"b64": "MQ=="}, np.zeros((8, 8)), np.frombuffer(b"\x89PNG", np.uint8), list(b"\x89PNG"), 1.5, 5, True, {1}],
)  # fmt: skip
def test_a_cell_that_is_no_image_is_an_error(model, rows, cell):
    for sent in ([{**rows[0], "LI-A": cell}], pd.Series({**rows[0], "LI-A": cell})):
        with pytest.raises(FaultyRequest, match="row 0, view LI-A: expected an image's bytes, .* found "):
            model.predict(sent)


def test_a_picture_of_numbers_is_one_view_and_not_a_column(model):
    for pixels in (np.frombuffer(b"\x89PNG" * 500, np.uint8), list(b"\x89PNG" * 500), np.zeros((96, 96))):
        with pytest.raises(FaultyRequest, match="^8 faults in 1 studies"):
            model.predict(dict.fromkeys(VIEW_NAMES, pixels))


@pytest.mark.parametrize("absent", [None, pd.NaT, np.datetime64("NaT"), b"", ""])
def test_a_null_of_any_kind_is_an_absent_view(model, rows, absent):
    assert model.predict({**rows[0], "LI-A": absent})["missing_views"].item() == "LI-A"
    lists = {name: [content, content] for name, content in rows[0].items()}
    assert model.predict({**lists, "LI-A": None})["missing_views"].tolist() == ["LI-A", "LI-A"]


@pytest.mark.parametrize("column", ["age", "mm_per_pixel"])
@pytest.mark.parametrize(
    "cell", ["A" * 300_000, 10**400, -(10**400), ["A" * 300_000], {"a": 1}, b"\x89PNG" * 50_000]
)
def test_a_value_beside_the_views_is_shown_in_short(model, rows, column, cell):
    with pytest.raises(FaultyRequest, match=f"row 0, column {column}: expected ") as caught:
        model.predict([{**rows[0], column: cell}])
    assert len(str(caught.value)) < 500


def test_a_place_is_shown_in_short(model):
    with pytest.raises(FaultyRequest, match="row 0, view LI-A: expected a file that can be read") as caught:
        model.predict([{"LI-A": "A" * 4000}])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("point", ["", "nice", "A" * 300_000])
def test_an_operating_point_that_the_model_has_not_is_an_error(model, rows, point):
    with pytest.raises(
        FaultyRequest, match="operating point .*: expected one of youden, sensitivity_90"
    ) as caught:
        model.predict([rows[0]], params={"operating_point": point})
    assert len(str(caught.value)) < 500


def test_a_parameter_that_is_misspelt_is_an_error_though_mlflow_takes_it_out(model, rows):
    """Fails if MLflow no longer keeps what the caller gave where `table.sent_params` looks for it."""
    for params in (
        {"operating_pont": "youden"},
        {"operating_point": "youden", "threshold": 0.5},
        {5: "youden"},
    ):
        with pytest.raises(FaultyRequest, match="expected no parameter but operating_point, found "):
            model.predict([rows[0]], params=params)
    for params in (None, {}, {"operating_point": None}):
        assert model.predict([rows[0]], params=params)["operating_point"].item() == "youden"


def test_all_faulty_rows_are_named_in_few_words():
    index = pd.Index([f"study {row}" for row in range(10_000)])
    fault = "view LI-A: expected an image's bytes in base64, found 1 characters that are not; encode the file"
    every, half = ([(row, fault) for row in range(0, 10_000, step)] for step in (1, 2))
    apart = [
        (row, f"view LI-A: expected a file, found FileNotFoundError at {row}.jpg") for row in range(10_000)
    ]
    for faults, told, longest in (
        (every, "counted from 0: 0 to 9999", 300),
        ([*every[:100], *every[102:105], every[9999]], "counted from 0: 0 to 99, 102 to 104, 9999", 300),
        (half, "9994, 9996, 9998", 30_000),
        (apart, "and 9980 other kinds of faults\n  faulty rows, counted from 0: 0 to 9999", 2000),
    ):
        with pytest.raises(FaultyRequest) as caught:
            refuse_rows(faults, index)
        assert str(caught.value).endswith(told)
        assert len(str(caught.value)) < longest
        assert len(caught.value.faults) == len(faults)
    with pytest.raises(
        FaultyRequest, match="row study 0 and 9999 others, view LI-A: expected an image's bytes"
    ):
        refuse_rows(every, index)


def test_a_process_that_serves_nothing_keeps_mlflows_own_reading(model):
    assert scoring_server.invocations.__module__ == scoring_server.__name__
