"""The one reader of CSV files: what it reads alike, what it refuses, and that nothing else is ever raised."""

from __future__ import annotations

import codecs
import csv
import io

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from angiopipe import storage
from angiopipe.cohort.clinical import read_clinical
from angiopipe.cohort.image_manifest import read_image_manifest
from angiopipe.cohort.labels import read_labels
from angiopipe.cohort.splits import SplitSettings, remembered_splits, stable_splits
from angiopipe.cohort.study_list import read_study_list
from angiopipe.faults import FaultyStudies
from angiopipe.records.agreement import read_label_lines
from angiopipe.registry.answers import read_answers
from angiopipe.study import INDEX, LABELS
from angiopipe.tables import Columns, Row, read_own_table, read_table
from tests.unit.cohort.made_up import SPELLINGS

WANTED = Columns((INDEX, "note"))


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes) -> str:
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def read(uri):
    table = read_table(uri, WANTED)
    return [(line, *cells) for line, cells in table.rows], [str(fault) for fault in table.faults]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_are_read_alike(written, end):
    rows, faults = read(written(end.join(["Index,note", "1,a", "", "2,b", ""])))
    assert (rows, faults) == ([(2, "1", "a"), (4, "2", "b")], [])


def test_line_ends_may_be_mixed(written):
    rows, faults = read(written("Index,note\r1,a\n\r\n2,b\r\n3,c\r4,d"))
    assert (rows, faults) == ([(2, "1", "a"), (4, "2", "b"), (5, "3", "c"), (6, "4", "d")], [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_is_told_where_its_row_begins(written, end):
    text = f'{end}note,Index{end}"two{end}lines",1{end}"a ""word"", a comma",2{end}"three{end}{end}lines",3,4{end}'
    rows, faults = read(written(text))
    assert rows == [(3, "1", f"two{end}lines"), (5, "2", 'a "word", a comma')]
    assert faults == [
        "study 3 (line 6): expected 2 cells, as in the header, found 3: a comma too many; correct the line"
    ]


def test_cells_are_of_any_length(written):
    long = "x" * 200_000
    rows, _ = read(written(f"Index,note\n1,{long}\n2,b\n"))
    assert [(line, index, len(note)) for line, index, note in rows] == [(2, "1", 200_000), (3, "2", 1)]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_cell_is_the_text_it_spells(written, spelled):
    assert read(written(f"Index,note\n{spelled},{spelled}\n"))[0] == [(2, spelled, spelled)]


MISCOUNTED = {
    "a cell too many": ("1,a,0", "study 1 (line 2)", "2 cells, as in the header, found 3: a comma too many"),
    "a cell too few": ("1", "study 1 (line 2)", "2 cells, as in the header, found 1: a comma too few"),
    "a cell too many, far out": ("1,a,,,0", "study 1 (line 2)", "found 5: a comma too many"),
    "no closing quote": ('1,"a', "line 2", "quotes that pair, found one too many or too few"),
    "words after a quote": ('1,"a"b', "line 2", "quotes that pair"),
    "semicolons": ("1;a", "study 1;a (line 2)", "found 1: a comma too few"),
    "zeros of a lost sector": ("\0" * 40, "line 2)", "found 1: a comma too few"),
}


@pytest.mark.parametrize("name", MISCOUNTED)
def test_a_row_that_does_not_fit_the_header_is_a_fault_of_its_line_alone(written, name):
    row, who, what = MISCOUNTED[name]
    rows, (fault, *others) = read(written(f"Index,note\n{row}\n2,b\n"))
    assert not others
    assert who in fault
    assert what in fault
    assert rows == [(3, "2", "b")]


def test_a_quote_without_its_pair_takes_no_other_study_with_it(written):
    rows, faults = read(written('Index,note\n1,a\n2,"b\n3,c\n4,"d"\n5,"e\n\n6"\n7,g\n8,"\n9,i\n'))
    assert rows == [
        (2, "1", "a"),
        (4, "3", "c"),
        (5, "4", "d"),
        (6, "5", "e\n\n6"),
        (9, "7", "g"),
        (11, "9", "i"),
    ]
    assert [fault.partition(":")[0] for fault in faults] == ["line 3", "line 10"]


def test_a_filled_cell_below_an_empty_name_at_the_end_is_too_many(written):
    rows, faults = read(written("Index,note,,\n1,a,,\n2,b\n3,c,0,\n,,,\n"))
    assert rows == [(2, "1", "a"), (3, "2", "b")]
    assert faults == [
        "study 3 (line 4): expected 2 cells, as in the header, found 3: a comma too many; correct the line"
    ]


NO_TABLES = {
    "semicolons": (
        b"Index;note\n1;a\n",
        "expected commas between the cells, found semicolons; save it as CSV",
    ),
    "tabs": (b"Index\tnote\n1\ta\n", "found tabs; save it as CSV with commas"),
    "lines in quotes": (b'"Index,note"\n"1,a"\n', "found each line within quotes"),
    "UTF-16": ("Index,note\n1,a\n".encode("utf-16"), "found UTF-16; save it as CSV UTF-8"),
    "UTF-16, the other": (
        codecs.BOM_UTF16_BE + "Index,note\n1,a\n".encode("utf-16-be"),
        "expected text in UTF-8 or CP949, found UTF-16",
    ),
    "UTF-16 without a mark": ("Index,note\n1,a\n".encode("utf-16-le"), "found zero bytes, as UTF-16 has"),
    "UTF-32": ("Index,note\n1,a\n".encode("utf-32"), "found UTF-16"),
    "a workbook": (b"PK\x03\x04" + bytes(range(256)), "found a workbook"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "found a workbook"),
    "gzip": (b"\x1f\x8b\x08" + bytes(9), "found a gzip file"),
    "an image": (b"\xff\xd8\xff\xe0", "found other bytes"),
    "nothing": (b"", "expected the header Index,note in any order, found an empty file"),
    "blank lines": (b"\r\n , \n\r", "found an empty file"),
    "a header alone": (b"Index,note\n\n,\n", "expected at least one study below the header, found none"),
    "a header in quotes that do not pair": (b'"Index,note\n1,a\n', "found quotes that do not pair"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_such_table_is_refused_in_one_sentence(written, name):
    content, message = NO_TABLES[name]
    with pytest.raises(FaultyStudies) as caught:
        read(written(content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_fault_of_a_header_is_told(written):
    with pytest.raises(FaultyStudies) as caught:
        read_table(written("index,note,note\n1,2,3\n"), WANTED)
    assert caught.value.faults == [
        "column Index is missing",
        "column 'index' is unknown",
        "column note is there 2 times",
    ]


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("nothing.csv", "nothing there"),
        ("", "a folder"),
        ("table.csv/below.csv", "nothing there"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_leads_to_no_file_is_told(written, tmp_path, uri, found):
    written("")
    with pytest.raises(FaultyStudies, match=f"expected a CSV, found {found}; correct the path or the perm"):
        read_table(str(tmp_path / uri), WANTED)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        (
            "s3://a-bucket/labels.csv",
            "no answer from s3:// (NoCredentialsError: Unable to locate credentials)",
        ),
        ("nowhere://a/labels.csv", "no answer from nowhere:// (ValueError: Protocol not known: nowhere"),
    ],
)
def test_a_store_that_lets_nobody_in_is_told(uri, found, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(FaultyStudies) as caught:
        read_table(uri, WANTED)
    assert str(caught.value).startswith(f"{uri}: expected a CSV, found {found}")
    for asked in (storage.exists, storage.list_files, storage.list_folders, storage.is_folder):
        with pytest.raises(OSError, match="no answer from"):
            asked(uri)


def test_what_a_step_wrote_and_is_damaged_is_refused_with_every_line():
    with pytest.raises(
        FaultyStudies, match="runs/a.csv: expected it as it was written, .* restore it, or"
    ) as caught:
        read_own_table(b"Index,split\n1,test\n2\n3,tr,\n4\n", "runs/a.csv", ("split", INDEX))
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["study 2 (line 3)", "study 4 (line 5)"]


def test_numbers_are_read_where_they_are_asked_for():
    table = read_own_table(b"epoch,loss,note\n1,0.5,a\n2,,b\n", "history.csv")
    assert table.columns == ("epoch", "loss", "note")
    (first, second) = table.numbers(("loss", "epoch"))
    assert first == [0.5, 1.0]
    assert (second[0] != second[0], second[1]) == (True, 2.0)
    with pytest.raises(ValueError, match="line 2: expected a number in note, found 'a'"):
        table.numbers(("note",))


CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\r\t"), max_size=20)


@given(
    st.lists(st.tuples(CELLS, CELLS).filter(lambda row: any(c.strip() for c in row)), min_size=1, max_size=8)
)
@settings(max_examples=300, deadline=None)
def test_what_any_writer_of_csv_writes_comes_back(rows):
    for end in ("\n", "\r\n", "\r"):
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("Index", "note"), *rows])
        table = read_own_table(buffer.getvalue().encode(), "any.csv", (INDEX, "note"))
        assert [row.cells for row in table.rows] == [tuple(cell.strip() for cell in row) for row in rows]


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [",".join((INDEX, *LABELS)), "Index,view,path,frame", "Index,age", "Index,split", "Index"]
        ),
        st.text(st.sampled_from('01,",;\n\r\t\0aNA-#é한 '), max_size=30),
        st.just("1001" + ",0" * len(LABELS)),
    ),
    max_size=6,
)


@given(st.one_of(st.binary(max_size=200), LINES.map(lambda lines: "\n".join(lines).encode())))
@settings(max_examples=400, deadline=None)
@example(b'Index,split\n"1,test\n')
@example(b"Index,split\r1,test\r1,train")
def test_whatever_a_file_holds_the_only_error_is_ours(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "any.csv"
    path.write_bytes(content)
    settings_ = SplitSettings(0, 0.15, 0.2)
    readers = (
        read_labels,
        lambda uri: read_clinical(uri, {"1001"}),
        read_image_manifest,
        read_study_list,
        read_label_lines,
        lambda uri: read_answers(storage.read_bytes(uri)),
        lambda uri: _ledger(settings_, storage.read_bytes(uri), folder),
    )
    for reader in readers:
        try:
            reader(str(path))
        except FaultyStudies as error:
            assert str(error)  # noqa: PT017 (an error is not asked for, only its kind)


def _ledger(split: SplitSettings, content: bytes, folder) -> None:
    one = pd.DataFrame({INDEX: ["1"], **{label: [0] for label in LABELS}})
    stable_splits(one, split, str(folder / "splits"))
    (uri,) = storage.list_files(str(folder / "splits"))
    storage.write_bytes(uri, content)
    remembered_splits(split, str(folder / "splits"))


def test_a_row_is_a_line_and_its_cells(written):
    table = read_table(written("note,Index\na,1\n"), WANTED)
    assert (table.columns, table.rows) == ((INDEX, "note"), [Row(2, ("1", "a"))])
