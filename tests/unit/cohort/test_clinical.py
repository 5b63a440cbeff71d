import pytest

from angiopipe.cohort.clinical import model_values, read_clinical
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX


@pytest.fixture
def csv(tmp_path):
    def write(content: str, encoding: str = "utf-8") -> str:
        path = tmp_path / "clinical.csv"
        path.write_bytes(content.encode(encoding))
        return str(path)

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_columns_are_read_in_any_order_and_unknown_ones_are_marked(csv, encoding):
    table, faults = read_clinical(
        csv("sex,Index,age,\r\nfemale,7,63\r\n\r\n,007,\r\nmale,8,,\r\n", encoding), {"7", "007", "8", "9"}
    )
    assert faults == []
    assert table.columns.tolist() == [INDEX, "age", "sex"]
    assert table.to_numpy().tolist() == [["7", 63, 0], ["007", -1, -1], ["8", -1, 1]]
    assert model_values(table)["7"] == (63, 0, -1, -1, -1, -1)


def test_every_fault_is_told_and_faultless_lines_stay(csv):
    path = csv(
        "Index,age,sex,smoking\n1,200,F,0\n2,60,male,1\n3,50,,\n2,61,male,1\n9,50,,\n,50,,\n../1,50,,\n3,50,\n"
    )
    table, faults = read_clinical(path, {"1", "2", "3"})
    assert table[INDEX].tolist() == ["3"]
    remedy = "correct the value, or leave it empty if unknown"
    assert [str(fault).replace(path, "CSV") for fault in faults] == [
        f"study 1 (CSV, line 2): expected years from 0 to 120 in age, found '200'; {remedy}",
        f"study 1 (CSV, line 2): expected female or male in sex, found 'F'; {remedy}",
        "study 2 (CSV, line 3): expected one line, found lines 3, 5; keep the right one",
        "study 2 (CSV, line 5): expected one line, found lines 3, 5; keep the right one",
        "study 9 (CSV, line 6): expected the Index of a study of the labels, found '9'; "
        "correct it, or remove the line",
        "CSV, line 7: expected an Index of letters, digits, '_', '.', '-', found ''; rename the study",
        "study ../1 (CSV, line 8): expected an Index of letters, digits, '_', '.', '-', found '../1'; "
        "rename the study",
        "study 3 (CSV, line 9): expected 4 cells, as in the header, found 3: a comma too few; correct the line",
    ]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("age\n1\n", ["column Index is missing"]),
        ("Index\n1\n", ["every clinical column is missing"]),
        ("Index,Age\n1,2\n", ["every clinical column is missing", "column 'Age' is unknown"]),
        ("Index,age,age\n1,2,3\n", ["column age is there 2 times"]),
        ("", []),
        ("Index,age\n", []),
    ],
)
def test_a_file_that_cannot_be_read_is_told(csv, content, wrong):
    with pytest.raises(FaultyStudies) as caught:
        read_clinical(csv(content), {"1"})
    assert caught.value.faults == wrong
