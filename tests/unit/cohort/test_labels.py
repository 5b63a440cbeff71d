import pytest

from angiopipe.cohort.labels import read_labels
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX, LABELS

HEADER = [INDEX, *LABELS]


def row(index: str, **labels: str) -> list[str]:
    return [index, *(labels.get(label, "0") for label in LABELS)]


@pytest.fixture
def csv(tmp_path):
    def write(*lines: list[str], header: list[str] = HEADER, end: str = "\n", encoding: str = "utf-8") -> str:
        path = tmp_path / "train.csv"
        path.write_bytes((end.join(",".join(line) for line in [header, *lines]) + end).encode(encoding))
        return str(path)

    return write


def test_labels_are_read_sorted_with_their_lines(csv):
    table, faults = read_labels(csv(row("12", Aneurysm="1", L_MCA="1"), row("007")))
    assert faults == []
    assert table[INDEX].tolist() == ["007", "12"]
    assert table["L_MCA"].tolist() == [0, 1]
    assert table["line"].tolist() == [3, 2]
    assert table["BA"].dtype == "uint8"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_order_of_columns_blanks_encoding_and_line_ends_do_not_matter(csv, encoding, end):
    turned = [line[::-1] for line in (HEADER, row("1", Aneurysm="1", BA="1"))]
    spaced = [f" {cell} " for cell in turned[1]]
    table, faults = read_labels(csv(spaced, header=turned[0], end=end, encoding=encoding))
    assert faults == []
    assert (table.loc[0, INDEX], table.loc[0, "BA"], table.loc[0, "L_SCA"]) == ("1", 1, 0)


def test_what_spreadsheets_leave_at_the_ends_does_not_matter(csv):
    table, faults = read_labels(
        csv([*row("1"), "", ""], [""] * 25, row("2"), [" "], header=[*HEADER, "", ""])
    )
    assert faults == []
    assert table[INDEX].tolist() == ["1", "2"]
    assert table["line"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([*row("2", L_ICA="1"), "0"], "expected 23 cells, as in the header, found 24: a comma too many"),
        (
            [*row("2")[:3], "", *row("2")[3:]],
            "expected 23 cells, as in the header, found 24: a comma too many",
        ),
        (row("2")[:-1], "expected 23 cells, as in the header, found 22: a comma too few"),
        (row("2")[:1], "expected 23 cells, as in the header, found 1: a comma too few"),
    ],
)
@pytest.mark.parametrize("header", [HEADER, [*HEADER, ""]])
def test_a_comma_too_many_or_too_few_shifts_no_label(csv, header, cells, told):
    table, faults = read_labels(csv(row("1"), cells, row("3"), header=header))
    assert table[INDEX].tolist() == ["1", "3"]
    assert [str(fault) for fault in faults] == [f"study 2 (line 3): {told}; correct the line"]


def test_every_fault_is_told_and_faultless_studies_stay(csv):
    path = csv(
        row("1", Aneurysm="1"),
        row("2", L_ICA="1"),
        row("3", Aneurysm="yes", L_SCA="2"),
        row("4"),
        row("4"),
        row("../5"),
        row(""),
        row("6"),
    )
    table, faults = read_labels(path)
    assert table[INDEX].tolist() == ["6"]
    assert [str(fault) for fault in faults] == [
        "study 1 (line 2): expected Aneurysm 0, as no location is 1, found 1; correct the line",
        "study 2 (line 3): expected Aneurysm 1, as a location is 1, found 0; correct the line",
        "study 3 (line 4): expected 0 or 1 in Aneurysm, found 'yes'; correct the value",
        "study 3 (line 4): expected 0 or 1 in L_SCA, found '2'; correct the value",
        "study 4 (line 5): expected one line, found lines 5, 6; keep the right one",
        "study 4 (line 6): expected one line, found lines 5, 6; keep the right one",
        "study ../5 (line 7): expected an Index of letters, digits, '_', '.', '-', found '../5'; rename the study",
        "line 8: expected an Index of letters, digits, '_', '.', '-', found ''; rename the study",
    ]


@pytest.mark.parametrize("index", ["a/b", "..", ".hidden", "a b", "a\x00b", "x" * 101, "-rf"])
def test_an_index_that_is_no_safe_file_name_is_refused(csv, index):
    table, faults = read_labels(csv(row(index), row("1")))
    assert (len(table), len(faults)) == (1, 1)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ([INDEX, *LABELS[:-1], "R_PCa"], ["column R_PCA is missing", "column 'R_PCa' is unknown"]),
        ([*HEADER, "BA"], ["column BA is there 2 times"]),
        (["1", *"0" * 22], [f"column {name} is missing" for name in HEADER] + ["column '1' is unknown"]),
    ],
)
def test_wrong_columns_are_named(csv, header, expected):
    with pytest.raises(FaultyStudies) as caught:
        read_labels(csv(header=header))
    assert caught.value.faults[: len(expected)] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"\n \n", "found an empty file"),
        (",".join(HEADER).encode(), "expected at least one study below the header, found none"),
        (b"Index,\xff\xfe\x00", "expected text in UTF-8 or CP949"),
    ],
)
def test_a_file_without_studies_is_told(tmp_path, content, message):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(FaultyStudies, match=message):
        read_labels(str(tmp_path / "labels.csv"))
