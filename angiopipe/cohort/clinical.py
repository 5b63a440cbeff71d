"""Experimental: the clinical CSV, `Index` and any of the columns in `angiopipe.clinical`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import pandas as pd

from angiopipe.clinical import MODEL_NAMES, NAMES, REMEDY, UNKNOWN, VARIABLES
from angiopipe.cohort.labels import SAFE_INDEX
from angiopipe.faults import Fault
from angiopipe.study import INDEX
from angiopipe.tables import Columns, read_table

COLUMNS = Columns((INDEX,), NAMES, some="clinical")


def read_clinical(uri: str, studies: Collection[str]) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads and checks a clinical CSV; the order of its columns and lines does not matter.

    Args:
      uri: the CSV, where an empty cell is unknown; empty for no CSV, an empty table.
      studies: every Index of the cohort; one that is not in the file is unknown altogether.

    Returns:
      `Index` (str) and the file's variables (int64: years, or the place in the variable's categories,
      -1 if unknown), one row for each line without a fault, in the order of the file; and the faults
      of the others: a cell too many or too few, an Index missing, unsafe as a file name, given twice
      or no study's, or values that cannot be.

    Raises:
      FaultyStudies: nothing can be read: a column is unknown or twice there, `Index` or all
        variables are missing, there is no study, or the file is no CSV.
    """
    if not uri:
        return pd.DataFrame({INDEX: pd.Series(dtype="str")}), []
    read = read_table(uri, COLUMNS, file=uri)
    names, faults = list(read.columns[1:]), read.faults
    rows = [(line, dict(zip(read.columns, cells, strict=True))) for line, cells in read.rows]
    lines: dict[str, list[int]] = {}
    for line, row in rows:
        lines.setdefault(row[INDEX], []).append(line)
    kept = []
    for line, row in rows:
        values, wrong = _values(row, names)
        wrong += _index_faults(row[INDEX], lines[row[INDEX]], studies)
        faults += [Fault(row[INDEX], "", uri, line, *fault) for fault in wrong]
        if not wrong:
            kept.append((row[INDEX], *values))
    table = pd.DataFrame(kept, columns=[INDEX, *names])
    faults.sort(key=lambda fault: fault.line or 0)
    return table.astype({INDEX: "str", **dict.fromkeys(names, "int64")}), faults


def of_studies(table: pd.DataFrame, indices: pd.Series) -> pd.DataFrame:
    """The table with one row for each of these studies, in their order; unknown where it has none."""
    rows = indices.to_frame().merge(table, on=INDEX, how="left").fillna(UNKNOWN)
    return rows.astype(dict.fromkeys(rows.columns.drop(INDEX), "int64"))


def known_variables(table: pd.DataFrame) -> tuple[str, ...]:
    """Which of the variables that a model may be told are known of some study."""
    return tuple(name for name in MODEL_NAMES if name in table and (table[name] != UNKNOWN).any())


def model_values(table: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Each study's values of `MODEL_VARIABLES`, by Index; none at all where none of any study is known."""
    if not known_variables(table):
        return {}
    columns = [table[name] if name in table else [UNKNOWN] * len(table) for name in MODEL_NAMES]
    return {
        index: tuple(map(int, values))
        for index, values in zip(table[INDEX], zip(*columns, strict=True), strict=True)
    }


def _values(row: Mapping[str, str], names: Sequence[str]) -> tuple[list[int], list[tuple[str, str, str]]]:
    """A line's values, and what was expected, found and is to be done where there is none."""
    values, wrong = [], []
    for variable in VARIABLES:
        if variable.name in names:
            try:
                values.append(variable.value(row[variable.name]))
            except ValueError:
                wrong.append((variable.expected, repr(row[variable.name]), REMEDY))
    return values, wrong


def _index_faults(
    index: str, lines: Sequence[int], studies: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    if not re.fullmatch(SAFE_INDEX, index):
        yield "an Index of letters, digits, '_', '.', '-'", repr(index), "rename the study"
    elif index not in studies:
        yield "the Index of a study of the labels", repr(index), "correct it, or remove the line"
    if len(lines) > 1:
        yield "one line", f"lines {', '.join(map(str, lines))}", "keep the right one"
