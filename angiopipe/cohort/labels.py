"""The labels CSV: `Index,Aneurysm,<21 locations>`, one line a study."""

from __future__ import annotations

import io

import pandas as pd

from angiopipe import storage
from angiopipe.step import FaultyStudies
from angiopipe.study import ANEURYSM, INDEX, LABELS, LOCATIONS

HEADER = ",".join((INDEX, *LABELS))


def read_labels(uri: str) -> pd.DataFrame:
    """Reads and checks a labels CSV; the order of its columns does not matter.

    Args:
      uri: the CSV.

    Returns:
      Columns `Index` (str), the 22 labels (uint8) and `line` (its line in the file), sorted by `Index`.

    Raises:
      FaultyStudies: a column is missing or unknown, an Index is missing, unsafe as a file name or
        given twice, a value is not 0 or 1, or `Aneurysm` contradicts the locations. All faults at once.
    """
    content = storage.read_bytes(uri).decode("utf-8-sig")
    if not content.strip():
        raise FaultyStudies(f"{uri}: expected the header {HEADER}, found an empty file", [])
    table = pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    table.columns = table.columns.str.strip()
    _refuse_columns(table, uri)
    table = table.apply(lambda column: column.str.strip())
    table["line"] = range(2, len(table) + 2)
    faults = [*_index_faults(table), *_value_faults(table)]
    if not len(table):
        faults.append("expected at least one study, found none")
    if faults:
        raise FaultyStudies(f"{uri}: {len(faults)} faults in the labels; correct them and run again:", faults)
    labels = table[[INDEX, *LABELS, "line"]].astype(dict.fromkeys(LABELS, "uint8"))
    return labels.sort_values(INDEX, ignore_index=True)


def _refuse_columns(table: pd.DataFrame, uri: str) -> None:
    expected = {INDEX, *LABELS}
    missing = [name for name in (INDEX, *LABELS) if name not in table.columns]
    unknown = [name for name in table.columns if name not in expected]
    if missing or unknown:
        raise FaultyStudies(
            f"{uri}: expected the header {HEADER} in any order:",
            [f"column {name} is missing" for name in missing]
            + [f"column {name!r} is unknown" for name in unknown],
        )


def _index_faults(table: pd.DataFrame) -> list[str]:
    faults = []
    unsafe = table[~table[INDEX].str.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*")]
    for row in unsafe.itertuples(index=False):
        faults.append(
            f"line {row.line}: expected an Index of letters, digits, '_', '.', '-', found {row.Index!r}"
        )
    for index, lines in table.groupby(INDEX)["line"]:
        if len(lines) > 1:
            faults.append(f"study {index}: expected one line, found lines {', '.join(map(str, lines))}")
    return faults


def _value_faults(table: pd.DataFrame) -> list[str]:
    faults = []
    valid = table[list(LABELS)].isin(["0", "1"])
    for position in table.index[~valid.all(axis=1)]:
        for name in valid.columns[~valid.loc[position]]:
            found = table.loc[position, name]
            faults.append(f"{_where(table, position)}: expected 0 or 1 in {name}, found {found!r}")
    located = (table[list(LOCATIONS)] == "1").any(axis=1)
    contradiction = valid.all(axis=1) & (located != (table[ANEURYSM] == "1"))
    for position in table.index[contradiction]:
        found = table.loc[position, ANEURYSM]
        expected = int(located[position])
        faults.append(
            f"{_where(table, position)}: expected {ANEURYSM} {expected}, as "
            f"{'a location is' if expected else 'no location is'} 1, found {found}"
        )
    return faults


def _where(table: pd.DataFrame, position: int) -> str:
    return f"study {table.loc[position, INDEX]} (line {table.loc[position, 'line']})"
