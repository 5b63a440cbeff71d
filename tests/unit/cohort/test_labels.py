import pytest

from angiopipe.cohort.labels import read_labels
from angiopipe.step import FaultyStudies
from angiopipe.study import INDEX, LABELS

HEADER = [INDEX, *LABELS]


def row(index: str, **labels: str) -> list[str]:
    return [index, *(labels.get(label, "0") for label in LABELS)]


@pytest.fixture
def csv(tmp_path):
    def write(*lines: list[str], header: list[str] = HEADER, start: str = "", end: str = "\n") -> str:
        path = tmp_path / "train.csv"
        path.write_text(start + end.join(",".join(line) for line in [header, *lines]) + end, encoding="utf-8")
        return str(path)

    return write


def test_labels_are_read_sorted_with_their_lines(csv):
    table = read_labels(csv(row("12", Aneurysm="1", L_MCA="1"), row("007")))
    assert table[INDEX].tolist() == ["007", "12"]
    assert table["L_MCA"].tolist() == [0, 1]
    assert table["line"].tolist() == [3, 2]
    assert table["BA"].dtype == "uint8"


def test_order_of_columns_blanks_byte_order_mark_and_crlf_do_not_matter(csv):
    turned = [line[::-1] for line in (HEADER, row("1", Aneurysm="1", BA="1"))]
    spaced = [f" {cell} " for cell in turned[1]]
    table = read_labels(csv(spaced, header=turned[0], start="\ufeff", end="\r\n"))
    assert (table.loc[0, INDEX], table.loc[0, "BA"], table.loc[0, "L_SCA"]) == ("1", 1, 0)


def test_every_fault_is_told_at_once(csv):
    path = csv(
        row("1", Aneurysm="1"),
        row("2", L_ICA="1"),
        row("3", Aneurysm="yes"),
        row("4"),
        row("4"),
        row("../5"),
        row(""),
    )
    with pytest.raises(FaultyStudies) as caught:
        read_labels(path)
    told = "\n".join(caught.value.faults)
    for expected in (
        "study 1 (line 2): expected Aneurysm 0, as no location is 1, found 1",
        "study 2 (line 3): expected Aneurysm 1, as a location is 1, found 0",
        "study 3 (line 4): expected 0 or 1 in Aneurysm, found 'yes'",
        "study 4: expected one line, found lines 5, 6",
        "line 7: expected an Index of letters, digits, '_', '.', '-', found '../5'",
        "line 8: expected an Index of letters, digits, '_', '.', '-', found ''",
    ):
        assert expected in told
    assert len(caught.value.faults) == 6


def test_wrong_columns_are_named(csv):
    with pytest.raises(FaultyStudies) as caught:
        read_labels(csv(header=[INDEX, *LABELS[:-1], "R_PCa"]))
    assert caught.value.faults == ["column R_PCA is missing", "column 'R_PCa' is unknown"]


def test_a_header_alone_is_no_cohort(csv):
    with pytest.raises(FaultyStudies, match="expected at least one study, found none"):
        read_labels(csv())


def test_an_empty_file_is_told(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(FaultyStudies, match=r"expected the header Index,Aneurysm,.*found an empty file"):
        read_labels(str(tmp_path / "empty.csv"))
