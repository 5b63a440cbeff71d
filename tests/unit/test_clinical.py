import numpy as np
import pandas as pd
import pytest

from angiopipe.clinical import AGE, ENCODED, MODEL_NAMES, UNKNOWN, VARIABLES, cells, encode, places

BY_NAME = {variable.name: variable for variable in VARIABLES}


def test_a_patient_is_encoded_as_scaled_values_and_whether_they_are_known():
    encoded = encode((75, 1, 0, UNKNOWN, 1, UNKNOWN))
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.float32([1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0]))
    np.testing.assert_array_equal(encode(()), np.zeros(ENCODED))


def test_the_places_of_variables_hold_their_value_and_flag():
    encoded = encode((35, 0, UNKNOWN, 1, 0, 0))
    assert encoded[places(["smoking", "age"])].tolist() == [1, 1, -1, 1]


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("age", "63", 63),
        ("age", " 63.9 ", 63),
        ("age", np.float64(0), 0),
        ("age", "89", 89),
        ("age", "90", 90),
        ("age", 104, 90),
        ("sex", "male", 1),
        ("smoking", True, 1),
        ("smoking", np.int64(0), 0),
        ("hypertension", 1.0, 1),
        ("population", "finnish", 2),
        *(("age", nothing, UNKNOWN) for nothing in (None, "", " ", float("nan"), np.float32("nan"), pd.NA)),
        *(("sex", nothing, UNKNOWN) for nothing in (None, "", float("nan"), pd.NA)),
    ],
)
def test_cells_become_whole_numbers(name, cell, value):
    assert BY_NAME[name].value(cell) == value


@pytest.mark.parametrize(
    ("name", "cell", "message"),
    [
        ("age", "-1", "expected years from 0 to 120 in age, found '-1'"),
        ("age", 121, "found 121; correct the value, or leave it empty if unknown"),
        *(("age", cell, "found") for cell in ("nan", "1_0", "old", "6e1", float("inf"), True, b"63", [63])),
        ("sex", "F", "expected female or male in sex, found 'F'"),
        ("sex", 0, "found 0"),
        ("smoking", "yes", "expected 0 or 1 in smoking, found 'yes'"),
        ("smoking", 0.5, "found 0.5"),
        ("population", "swedish", "north_american_or_other_european or japanese or finnish in population"),
        ("sex", "x" * 1000, r"found 'x{59}\.\.\."),
    ],
)
def test_other_cells_are_refused(name, cell, message):
    with pytest.raises(ValueError, match=message):
        BY_NAME[name].value(cell)


def test_cells_and_values_are_one_another_s_reverse():
    values = (90, 0, 1, UNKNOWN, 0, 1)
    row = cells(values)
    assert row["sex"] == "female"
    assert row["smoking"] is None
    assert tuple(BY_NAME[name].value(row[name]) for name in MODEL_NAMES) == values
    assert cells(()) == {}
    assert AGE.cell(63) == 63
