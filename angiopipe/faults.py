"""What is wrong with the input: every fault of every study, told in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
      study: the Index, empty where the fault is not one study's.
      view: the view's name, empty where it concerns all.
      file: the image, empty where the fault is in the labels.
      line: in the labels CSV, counted from 1 with the header; None where there is none.
      expected: what should have been found.
      found: what was found instead.
      remedy: what to do about it.
    """

    study: str
    view: str
    file: str
    line: int | None
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        who = ", ".join(
            part for part in (self.study and f"study {self.study}", self.view and f"view {self.view}") if part
        )
        where = ", ".join(part for part in (self.file, self.line and f"line {self.line}") if part)
        place = f"{who} ({where})" if who and where else who or where
        return f"{place}: expected {self.expected}, found {self.found}; {self.remedy}"


class FaultyStudies(ValueError):
    """Input that cannot be used; one error names every faulty study.

    Attributes:
      faults: one line each: study, view, what was expected, what was found, the remedy.
      details: the same as they were given.
    """

    def __init__(self, summary: str, faults: Sequence[Fault | str]):
        self.details = tuple(faults)
        self.faults = [str(fault) for fault in faults]
        super().__init__("\n  ".join([summary, *self.faults]))


def fault_table(faults: Sequence[Fault]) -> pd.DataFrame:
    """One row a fault, one column a field."""
    import pandas as pd  # Every step imports this module; most need no tables.

    return pd.DataFrame([asdict(fault) for fault in faults], columns=[field.name for field in fields(Fault)])
