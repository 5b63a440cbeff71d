"""Experimental: what may be known of a patient besides the angiograms; names, values and encoding.

Every value is a whole number in tables and records; unknown ones are `UNKNOWN` there. The age
reaches them as safe harbour asks: whole years, and 90 for everyone above 89.

Source of the cap: 45 CFR 164.514(b)(2)(i)(C).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = -1
REMEDY = "correct the value, or leave it empty if unknown"

OLDEST = 120
"""Years; a higher age is a slip of the pen."""
AGE_CAP = 90
"""The age of everyone above 89: so old, the years alone could tell who it is."""

_SHOWN = 60
"""Characters of a faulty cell that an error repeats."""

POPULATIONS = ("north_american_or_other_european", "japanese", "finnish")
"""The populations that the PHASES score knows (`evaluation.phases`)."""


@dataclass(frozen=True)
class Variable:
    """One thing that may be known of a patient.

    Attributes:
      name: its column.
      categories: the names of its values 0, 1, ...; empty for a number of years.
      centre, scale: the encoded value is (value - centre) / scale.
    """

    name: str
    categories: tuple[str, ...] = ("0", "1")
    centre: float = 0.0
    scale: float = 1.0

    @property
    def expected(self) -> str:
        """What its cells may hold, for an error."""
        return f"{' or '.join(self.categories) if self.categories else f'years from 0 to {OLDEST}'} in {self.name}"

    def value(self, cell: object) -> int:
        """A cell as a whole number.

        Args:
          cell: text or a number; None, NaN, NA or empty text where it is unknown.

        Returns:
          The place in `categories`, or whole years; `UNKNOWN` if unknown.

        Raises:
          ValueError: it is no such value; says what was expected and found.
        """
        if _is_missing(cell):
            return UNKNOWN
        found = self._category(cell) if self.categories else _years(cell)
        if found is None:
            raise ValueError(f"expected {self.expected}, found {shown(cell)}; {REMEDY}")
        return found

    def cell(self, value: int) -> int | str | None:
        """A value as a table would hold it: the reverse of `value`."""
        if value == UNKNOWN:
            return None
        return value if self.categories in ((), ("0", "1")) else self.categories[value]

    def _category(self, cell: object) -> int | None:
        number = None if isinstance(cell, str) else _number(cell)
        text = cell if isinstance(cell, str) else f"{number:g}" if number is not None else ""
        return self.categories.index(text.strip()) if text.strip() in self.categories else None


AGE = Variable("age", (), centre=55.0, scale=20.0)
MODEL_VARIABLES: tuple[Variable, ...] = (
    AGE,
    Variable("sex", ("female", "male")),
    Variable("hypertension"),
    Variable("smoking"),
    Variable("family_history"),
    Variable("earlier_bleeding"),
)
"""What a model may be told, in the order of the records; `earlier_bleeding` is subarachnoid, from another aneurysm."""

VARIABLES: tuple[Variable, ...] = (*MODEL_VARIABLES, Variable("population", POPULATIONS))
"""All columns; `population` is for the PHASES score alone."""

NAMES: tuple[str, ...] = tuple(variable.name for variable in VARIABLES)
MODEL_NAMES: tuple[str, ...] = tuple(variable.name for variable in MODEL_VARIABLES)
ENCODED = 2 * len(MODEL_VARIABLES)
"""Length of an encoded patient."""


def encode(values: Sequence[int]) -> np.ndarray:
    """What a model is told of a patient.

    Args:
      values: of `MODEL_VARIABLES`; none at all where nothing is known.

    Returns:
      (12,) float32: the scaled value and whether it is known, 1 or 0, of each variable in turn;
      an unknown value is 0.
    """
    import numpy as np  # The recipe imports this module, and the command line's help the recipe.

    encoded = np.zeros((len(MODEL_VARIABLES), 2), np.float32)
    for row, variable, value in zip(encoded, MODEL_VARIABLES, values, strict=True) if len(values) else ():
        if value != UNKNOWN:
            row[:] = (value - variable.centre) / variable.scale, 1.0
    return encoded.reshape(-1)


def are_values(values: Sequence[int]) -> bool:
    """Whether a record's numbers are values of `MODEL_VARIABLES`, or none at all."""
    most = [len(variable.categories) - 1 if variable.categories else AGE_CAP for variable in MODEL_VARIABLES]
    fit = len(values) == len(most) and all(UNKNOWN <= v <= m for v, m in zip(values, most, strict=True))
    return fit or not values


def places(names: Sequence[str]) -> list[int]:
    """Where an encoded patient holds the variables of these names."""
    return [2 * MODEL_NAMES.index(name) + part for name in names for part in (0, 1)]


def cells(values: Sequence[int]) -> Mapping[str, int | str | None]:
    """The columns of a patient's row in a table, from the values of `MODEL_VARIABLES`; none from none."""
    return {
        variable.name: variable.cell(value)
        for variable, value in zip(MODEL_VARIABLES, values, strict=True)
    } if values else {}  # fmt: skip


def shown(cell: object) -> str:
    """The beginning of a value that was sent, for an error."""
    text = repr(str(cell)) if isinstance(cell, str) else " ".join(str(cell).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_missing(cell: object) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    # pandas' NA is no number and equals nothing, itself included.
    return cell is None or type(cell).__name__ == "NAType" or math.isnan(_number(cell) or 0.0)


def _number(cell: object) -> float | None:
    if isinstance(cell, bytes) or (
        isinstance(cell, str) and not re.fullmatch(r"\d{1,3}(\.\d*)?", cell.strip(), re.ASCII)
    ):
        return None  # Python would take "1_0" and "nan" for numbers, too.
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _years(cell: object) -> int | None:
    years = None if isinstance(cell, bool) else _number(cell)
    if years is None or not 0 <= years <= OLDEST:
        return None
    return min(int(years), AGE_CAP)
