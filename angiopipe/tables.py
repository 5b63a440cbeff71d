"""The one reader of CSV files: those that are handed in, and those that steps leave for one another.

Every cell is text. What a spreadsheet or pandas would take for a number, a truth value or a missing
one (`007`, `1e5`, `TRUE`, `NA`) stays what it spells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from angiopipe import storage
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.study import INDEX

ENCODINGS = ("utf-8-sig", "cp949")
"""Tried in this order; Korean spreadsheets save CP949, others UTF-8 with or without a byte order mark."""

_OTHER_FILES = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a workbook or another zip file",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x1f\x8b": "a gzip file",
}
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "each line within quotes"}


class Row(NamedTuple):
    """One row below the header.

    Attributes:
      line: where it begins in the file, counted from 1.
      cells: without surrounding blanks, in the order of `Table.columns`.
    """

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """What a CSV's header may name, in any order.

    Attributes:
      required: what it must name.
      optional: what it may name besides.
      some: what the optional ones are called where one of them at least must be there.
      others: whether further columns are passed over; else they are refused.
      rows: what a row is about, for an error.
    """

    required: Sequence[str]
    optional: Sequence[str] = ()
    some: str = ""
    others: bool = False
    rows: str = "study"

    def __str__(self) -> str:
        if self.others:
            return f"a header with one column {', '.join(self.required)}"
        optional = f" and any of {', '.join(self.optional)}" if self.optional else ""
        return f"the header {','.join(self.required)}{optional} in any order"


@dataclass(frozen=True)
class Table:
    """What a CSV holds.

    Attributes:
      columns: the required ones, then the optional ones that are there, as `Columns` has them.
      rows: those with as many cells as the header; blank lines are none.
      faults: of the other rows.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    faults: list[Fault]

    def where(self, column: str, cell: str) -> Table:
        """The rows that hold this cell in a column."""
        place = self.columns.index(column)
        return Table(self.columns, [row for row in self.rows if row.cells[place] == cell], self.faults)

    def numbers(self, columns: Sequence[str]) -> list[list[float]]:
        """The cells of some columns as numbers, row by row; NaN where a cell is empty.

        Raises:
          ValueError: a cell holds something else.
        """
        places = [(name, self.columns.index(name)) for name in columns]
        return [[_number(cells[place], line, name) for name, place in places] for line, cells in self.rows]


def read_table(uri: str, columns: Columns, file: str = "") -> Table:
    """Reads a CSV that was handed in.

    Line ends are LF, CRLF or CR. Cells may be quoted, hold line ends and be of any length. Columns without
    a name are passed over; to the right of the last name there may be empty cells only, which
    spreadsheets leave.

    Args:
      uri: the CSV.
      columns: what its header may name.
      file: what the faults call it; empty where the error they end in names it.

    Raises:
      FaultyStudies: it cannot be read, is no CSV, has another header, or no row below it.
    """
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise FaultyStudies(
            f"{uri}: expected a CSV, found {storage.in_words(error)}; correct the path or the permissions",
            [],
        ) from None
    return _table(content, uri, columns, file)


def read_own_table(
    content: bytes,
    name: str,
    required: Sequence[str] = (),
    remedy: str = "restore it, or run again the step that wrote it",
) -> Table:
    """Reads a CSV that a step wrote; further columns are passed over.

    Args:
      content: of the file.
      name: what an error calls it.
      required: the columns wanted; none takes all there are.
      remedy: what to do where it is damaged.

    Raises:
      FaultyStudies: it is not as a step leaves it; names every row that is not.
    """
    faults: Sequence[Fault | str]
    try:
        table = _table(content, name, Columns(required, others=True, rows="row"), "")
        faults = table.faults
    except FaultyStudies as error:
        faults = error.details or [str(error)]
    if faults:
        raise FaultyStudies(f"{name}: expected it as it was written, found it damaged; {remedy}:", faults)
    return table


def _table(content: bytes, name: str, columns: Columns, file: str) -> Table:
    lines = _lines(_decoded(content, name))
    header = next(lines, (1, []))[1]
    if not header:
        found = "an empty file" if header == [] else "quotes that do not pair"
        raise FaultyStudies(f"{name}: expected {columns}, found {found}", [])
    _refuse_header(header, name, columns)
    names = (*columns.required, *(column for column in columns.optional if column in header))
    names = names or tuple(filter(None, header))
    places, width = [header.index(column) for column in names], _last_filled(header)
    rows, faults = [], []
    for line, cells in lines:
        if cells is None or len(cells) < width or any(cells[width:]):
            faults.append(_fault(line, cells, header, width, file))
        else:
            rows.append(Row(line, tuple(cells[place] for place in places)))
    if not rows and not faults:
        raise FaultyStudies(f"{name}: expected at least one {columns.rows} below the header, found none", [])
    return Table(names, rows, faults)


def _decoded(content: bytes, name: str) -> str:
    found = next((kind for start, kind in _OTHER_FILES.items() if content.startswith(start)), "other bytes")
    for encoding in ENCODINGS if found == "other bytes" else ():
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FaultyStudies(f"{name}: expected text in UTF-8 or CP949, found {found}; save it as CSV UTF-8", [])


def _lines(text: str) -> Iterator[tuple[int, list[str] | None]]:
    """Where each row begins, and its cells; None where its quotes do not pair. Blank lines are passed over."""
    # The module's own limit, of 131,072 characters a cell, is the whole process's.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    lines = io.StringIO(text, newline="").readlines()
    begin = 0
    while begin < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(begin, len(lines))), strict=True)
        line = begin + 1
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield line, cells
                line = begin + reader.line_num + 1
            return
        except csv.Error:
            # The quote may have taken in what follows: that is read again from the next line on.
            yield line, None
            begin = line


def _refuse_header(header: Sequence[str], name: str, columns: Columns) -> None:
    """Refuses other columns than wanted, and names every one."""
    named = [column for column in header if column]
    if len(named) == 1:
        found = next((words for mark, words in _OTHER_SEPARATORS.items() if mark in named[0]), "")
        if found:
            raise FaultyStudies(
                f"{name}: expected commas between the cells, found {found}; save it as CSV with commas", []
            )
    if any("\0" in column for column in named):
        raise FaultyStudies(
            f"{name}: expected text, found zero bytes, as UTF-16 has; save it as CSV UTF-8", []
        )
    known = (*columns.required, *columns.optional)
    wrong = [f"column {column} is missing" for column in columns.required if column not in named]
    if columns.some and not set(named) & set(columns.optional):
        wrong.append(f"every {columns.some} column is missing")
    if not columns.others:
        wrong += [f"column {column!r} is unknown" for column in named if column not in known]
    times = {column: named.count(column) for column in known}
    wrong += [f"column {column} is there {count} times" for column, count in times.items() if count > 1]
    if wrong:
        found = f", found {','.join(named)}" if columns.others else ""
        raise FaultyStudies(f"{name}: expected {columns}{found}:", wrong)


def _fault(line: int, cells: list[str] | None, header: Sequence[str], width: int, file: str) -> Fault:
    """Of a row whose cells cannot be told apart, or do not fit the header."""
    if cells is None:
        expected, found = "quotes that pair", "one too many or too few"
        return Fault("", "", file, line, expected, found, "correct the line")
    place = header.index(INDEX) if INDEX in header else width
    count = max(_last_filled(cells), min(len(cells), width))
    return Fault(
        cells[place] if place < len(cells) else "",
        "",
        file,
        line,
        f"{width} cells, as in the header",
        f"{count}: a comma too {'many' if count > width else 'few'}",
        "correct the line",
    )


def _last_filled(cells: Sequence[str]) -> int:
    """The place of the last cell that holds something, counted from 1."""
    return max((place for place, cell in enumerate(cells, 1) if cell), default=0)


def _number(cell: str, line: int, column: str) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        raise ValueError(f"line {line}: expected a number in {column}, found {cell!r}") from None
