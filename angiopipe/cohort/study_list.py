"""The studies to be scored: a CSV with an `Index` column, such as the competition's `test.csv`."""

from __future__ import annotations

import re

import pandas as pd

from angiopipe.cohort.labels import LINE, SAFE_INDEX
from angiopipe.faults import Fault
from angiopipe.study import INDEX
from angiopipe.tables import Columns, read_table


def read_study_list(uri: str) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads which studies to score; columns besides `Index`, labels for instance, are ignored.

    Args:
      uri: the CSV.

    Returns:
      Columns `Index` (str) and `line` (in the file) of the lines without a fault, in the file's
      order; and the faults of the others: a cell too many or too few, an Index missing, unsafe as a
      file name or given twice.

    Raises:
      FaultyStudies: it is no CSV, there is no `Index` column, or no study.
    """
    read = read_table(uri, Columns((INDEX,), others=True))
    table = pd.DataFrame([(*cells, line) for line, cells in read.rows], columns=[INDEX, LINE])
    faults = sorted([*read.faults, *_faults(table)], key=lambda fault: fault.line or 0)
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
