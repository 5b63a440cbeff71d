"""The labels CSV: `Index,Aneurysm,<21 locations>`, one line a study."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from angiopipe.faults import Fault
from angiopipe.study import ANEURYSM, INDEX, LABELS, LOCATIONS
from angiopipe.tables import Columns, read_table

COLUMNS = Columns((INDEX, *LABELS))
LINE = "line"

SAFE_INDEX = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
"""An Index becomes part of file names, so it holds no path, blank or control character."""


def read_labels(uri: str) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads and checks a labels CSV; the order of its columns does not matter.

    Args:
      uri: the CSV.

    Returns:
      The lines without a fault: columns `Index` (str), the 22 labels (uint8) and `line` (in the
      file), sorted by `Index`; and the faults of the others: a cell too many or too few, an Index
      missing, unsafe as a file name or given twice, a value that is not 0 or 1, `Aneurysm` at odds
      with the locations.

    Raises:
      FaultyStudies: nothing can be read: a column is missing, unknown or twice there, the file is
        empty, has no studies, or is no CSV.
    """
    read = read_table(uri, COLUMNS)
    table = pd.DataFrame([row.cells for row in read.rows], columns=list(read.columns), dtype=str)
    table[LINE] = [row.line for row in read.rows]
    faults = [*read.faults, *_schema_faults(table), *_contradictions(table)]
    faulty = {fault.line for fault in faults}
    kept = table[~table[LINE].isin(faulty)]
    labels = kept[[INDEX, *LABELS, LINE]].astype(dict.fromkeys(LABELS, "uint8"))
    return labels.sort_values(INDEX, ignore_index=True), sorted(faults, key=lambda fault: fault.line or 0)


def _schema_faults(table: pd.DataFrame) -> Iterator[Fault]:
    """What pandera finds: the Index's form and uniqueness, values other than 0 and 1."""
    # pandera takes a second to import, which only this step should pay.
    import pandera.pandas as pandera

    flag = pandera.Column(str, pandera.Check.isin(["0", "1"]))
    index = pandera.Column(str, pandera.Check.str_matches(f"{SAFE_INDEX}$"), unique=True)
    schema = pandera.DataFrameSchema({INDEX: index, **dict.fromkeys(LABELS, flag)})
    try:
        schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for case in errors.failure_cases.itertuples(index=False):
            yield _schema_fault(table.loc[int(case.index)], str(case.column), str(case.check), table)


def _schema_fault(row: pd.Series, column: str, check: str, table: pd.DataFrame) -> Fault:
    study, line, found = row[INDEX], int(row[LINE]), row[column]
    if check == "field_uniqueness":
        lines = table.loc[table[INDEX] == study, LINE]
        others = f"lines {', '.join(map(str, lines))}"
        return Fault(study, "", "", line, "one line", others, "keep the right one")
    if column == INDEX:
        return Fault(
            study, "", "", line, "an Index of letters, digits, '_', '.', '-'", repr(found), "rename the study"
        )
    return Fault(study, "", "", line, f"0 or 1 in {column}", repr(found), "correct the value")


def _contradictions(table: pd.DataFrame) -> Iterator[Fault]:
    """Lines whose `Aneurysm` is not 1 exactly when some location is."""
    valid = table[list(LABELS)].isin(["0", "1"]).all(axis=1)
    located = (table[list(LOCATIONS)] == "1").any(axis=1)
    for row in table[valid & (located != (table[ANEURYSM] == "1"))].itertuples(index=False):
        flags = row._asdict()
        expected = 1 - int(flags[ANEURYSM])
        why = "as a location is 1" if expected else "as no location is 1"
        yield Fault(
            flags[INDEX],
            "",
            "",
            flags[LINE],
            f"{ANEURYSM} {expected}, {why}",
            flags[ANEURYSM],
            "correct the line",
        )
