"""What becomes of the studies without a fault where others have one."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from angiopipe.faults import Fault, FaultyStudies
from angiopipe.study import INDEX


def faulty_studies(faults: Sequence[Fault]) -> set[str]:
    """Those that have a fault; a line that names no study counts as one."""
    return {fault.study or f"line {fault.line}" for fault in faults}


def without_faulty(
    table: pd.DataFrame,
    faults: Sequence[Fault],
    total: int,
    source: str,
    on_fault: str,
    share: float,
    undone: str,
) -> pd.DataFrame:
    """The studies without a fault, if there are none or the others may be left out.

    Args:
      table: `Index`, one row a study.
      faults: of the studies.
      total: how many studies there are, faulty ones included.
      source: the CSV that names them, for the error.
      on_fault: "stop", or "quarantine" to leave faulty studies out.
      share: at most this share of the studies may be left out.
      undone: what did not happen because of the faults, for the error.

    Raises:
      FaultyStudies: faults must stop the run, or too many studies have one.
    """
    faulty = faulty_studies(faults)
    if not faults or (on_fault == "quarantine" and len(faulty) <= share * total):
        return table[~table[INDEX].isin(faulty)]
    summary = f"{source}: {len(faults)} faults in {len(faulty)} of {total} studies"
    if on_fault == "quarantine":
        summary += f", more than the share of {share:.1%} that may be left out"
    raise FaultyStudies(f"{summary}; {undone}:", faults)
