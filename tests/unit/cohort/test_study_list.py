"""Which studies are to be scored."""

from __future__ import annotations

import pytest

from angiopipe.cohort.study_list import read_study_list
from angiopipe.faults import FaultyStudies


def written(tmp_path, content: str | bytes) -> str:
    path = tmp_path / "test.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    "content", ["Index\n7\n3\n", "\ufeffIndex,Aneurysm,x\n7,,\n\n 3 ,1,\n", "a,Index\r\n,7\r\n,3\r\n"]
)
def test_the_order_is_the_files_and_other_columns_do_not_matter(tmp_path, content):
    table, faults = read_study_list(written(tmp_path, content))
    assert table["Index"].tolist() == ["7", "3"]
    assert faults == []
    assert table["line"].iloc[0] == 2


def test_every_faulty_line_is_told_and_the_others_stay(tmp_path):
    table, faults = read_study_list(written(tmp_path, "Index\n7\n../3\n5\n7\n8,9\n"))
    assert table["Index"].tolist() == ["5"]
    assert [(fault.line, fault.found) for fault in faults] == [
        (2, "lines 2, 5"),
        (3, "'../3'"),
        (5, "lines 2, 5"),
        (6, "2: a comma too many"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a header with one column Index, found an empty file"),
        ("index\n7\n", "expected a header with one column Index, found index"),
        ("Index,Index\n7,8\n", "found Index,Index"),
        ("Index\n\n", "expected at least one study below the header, found none"),
        (b"Index\n\xff\xfe\xfd\n", "expected text in UTF-8 or CP949"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content, message):
    with pytest.raises(FaultyStudies, match=message):
        read_study_list(written(tmp_path, content))
