"""The studies to be scored: a CSV with an `Index` column, such as the competition's `test.csv`."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd

from angiopipe.cohort.labels import LINE, SAFE_INDEX, decoded_text
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.study import INDEX


def read_study_list(uri: str) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads which studies to score; columns besides `Index`, labels for instance, are ignored.

    Args:
      uri: the CSV.

    Returns:
      Columns `Index` (str) and `line` (in the file) of the lines without a fault, in the file's
      order; and the faults of the others: an Index missing, unsafe as a file name or given twice.

    Raises:
      FaultyStudies: there is no `Index` column, or no study.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(decoded_text(uri)))]
    lines = [(number, row) for number, row in enumerate(rows, 1) if any(row)]
    header = lines[0][1] if lines else []
    if header.count(INDEX) != 1:
        found = ",".join(header) or "an empty file"
        raise FaultyStudies(f"{uri}: expected a header with one column {INDEX}, found {found}", [])
    if len(lines) == 1:
        raise FaultyStudies(f"{uri}: expected at least one study below the header, found none", [])
    column = header.index(INDEX)
    table = pd.DataFrame(
        [((row + [""] * len(header))[column], number) for number, row in lines[1:]], columns=[INDEX, LINE]
    )
    faults = _faults(table)
    faulty = {fault.line for fault in faults}
    return table[~table[LINE].isin(faulty)].reset_index(drop=True), faults


def _faults(table: pd.DataFrame) -> list[Fault]:
    lines = table.groupby(INDEX)[LINE].agg(list).to_dict()
    faults = []
    for index, line in table.itertuples(index=False):
        if not re.fullmatch(SAFE_INDEX, index):
            expected = "an Index of letters, digits, '_', '.', '-'"
            faults.append(Fault(index, "", "", line, expected, repr(index), "rename the study"))
        elif len(lines[index]) > 1:
            found = f"lines {', '.join(map(str, lines[index]))}"
            faults.append(Fault(index, "", "", line, "one line", found, "keep one"))
    return faults
