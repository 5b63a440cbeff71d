"""Experimental: the columns beside the views, and the size and PHASES score that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from angiopipe import clinical
from angiopipe.evaluation.phases import likeliest, phases
from angiopipe.evaluation.size import estimate_mm
from angiopipe.study import LOCATIONS

MM_PER_PIXEL = "mm_per_pixel"
LARGEST_SPACING_MM = 5.0
"""A coarser one is in another unit: 64 such pixels, the fewest a view may have, would span 32 cm."""

PHASES_VARIABLES = tuple(
    variable
    for variable in clinical.VARIABLES
    if variable.name in ("age", "hypertension", "earlier_bleeding", "population")
)
COLUMNS = (MM_PER_PIXEL, *(variable.name for variable in PHASES_VARIABLES))
"""Of the input, all optional; those of `columns` for a model that is told of the patient."""

SIZE, POINTS, RISK = "experimental_size_mm", "experimental_phases_points", "experimental_phases_risk_5y"
ANSWERS = (SIZE, POINTS, RISK)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Known:
    """What a caller tells of studies besides their views.

    Attributes:
      mm_per_pixel: (n,) float64, NaN where unknown.
      patients: the clinical variables of `columns` by name, `clinical.UNKNOWN` where unknown, of each study.
      encoded: (n, 12) float32 from `clinical.encode`, of which a model takes its own variables.
      faults: what is wrong with the cells, by position of the row.
    """

    mm_per_pixel: np.ndarray
    patients: tuple[Mapping[str, int], ...]
    encoded: np.ndarray
    faults: Mapping[int, list[str]]


def columns(told: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns beside the views that a model takes.

    Args:
      told: the clinical variables that enter the model itself.
    """
    return (*COLUMNS, *(name for name in told if name not in COLUMNS))


def read_known(rows: pd.DataFrame, told: Sequence[str] = ()) -> Known:
    """Reads the columns beside the views; those that are not there are unknown in every row.

    Args:
      rows: one a study.
      told: the clinical variables that enter the model itself.
    """
    spacings, patients, faults = [], [], dict[int, list[str]]()
    wanted = [variable for variable in clinical.VARIABLES if variable.name in columns(told)]

    def cell(row: int, column: str, read: Callable[[object], Value], unknown: Value) -> Value:
        try:
            return read(rows[column].iloc[row]) if column in rows else unknown
        except ValueError as error:
            faults.setdefault(row, []).append(f"column {column}: {error}")
            return unknown

    for row in range(len(rows)):
        spacings.append(cell(row, MM_PER_PIXEL, _spacing, math.nan))
        patients.append(
            {known.name: cell(row, known.name, known.value, clinical.UNKNOWN) for known in wanted}
        )
    return Known(np.array(spacings, np.float64), tuple(patients), _encoded(patients), faults)


def _encoded(patients: Sequence[Mapping[str, int]]) -> np.ndarray:
    encoded = np.zeros((len(patients), clinical.ENCODED), np.float32)
    for row, patient in zip(encoded, patients, strict=True):
        row[:] = clinical.encode([patient.get(name, clinical.UNKNOWN) for name in clinical.MODEL_NAMES])
    return encoded


def _spacing(cell: object) -> float:
    if cell is None or cell is pd.NA or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    try:
        found = math.inf if isinstance(cell, bool | np.bool_) else float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.inf
    if math.isnan(found) or 0 < found <= LARGEST_SPACING_MM:
        return found
    raise ValueError(
        f"expected millimetres, above 0 and at most {LARGEST_SPACING_MM:g}, found {clinical.shown(cell)}; "
        "leave an unknown spacing empty"
    )


def sizes(maps: np.ndarray, present: np.ndarray, sides: np.ndarray, mm_per_pixel: np.ndarray) -> np.ndarray:
    """Estimated sizes of studies.

    Args:
      maps: (n, 8, h, h, 22) float32, of `models.with_evidence`.
      present: (n, 8) uint8.
      sides: (n, 8) the longer side of each view before preprocessing, pixels.
      mm_per_pixel: (n,), NaN where unknown.

    Returns:
      (n,) float64 mm, NaN where unknown.
    """
    studies = zip(maps[..., 0], present, sides, mm_per_pixel, strict=True)
    return np.array([estimate_mm(*study) for study in studies], np.float64)


def answers(
    probabilities: np.ndarray,
    decided: np.ndarray,
    sizes_mm: np.ndarray,
    patients: Sequence[Mapping[str, int]],
) -> dict[str, np.ndarray]:
    """The experimental columns of the answer.

    Args:
      probabilities: (n, 22) in the order of `study.LABELS`.
      decided: (n,) 1 where an aneurysm was decided on; there alone PHASES is asked, about the
        likeliest location.
      sizes_mm: (n,), NaN where unknown.
      patients: from `Known`.

    Returns:
      `ANSWERS`: (n,) float64 each, NaN where unknown.
    """
    scores = np.full((len(probabilities), 2), np.nan)
    for row in np.flatnonzero(decided).tolist():
        by_location = dict(zip(LOCATIONS, probabilities[row, -len(LOCATIONS) :].tolist(), strict=True))
        scores[row] = _phases(likeliest(by_location), float(sizes_mm[row]), patients[row])
    return {SIZE: sizes_mm, POINTS: scores[:, 0], RISK: scores[:, 1]}


def _phases(location: str | None, size_mm: float, patient: Mapping[str, int]) -> tuple[float, float]:
    """Points and five-year risk; NaN where anything is unknown."""
    if any(patient[variable.name] == clinical.UNKNOWN for variable in PHASES_VARIABLES):
        return math.nan, math.nan
    found = phases(
        population=clinical.POPULATIONS[patient["population"]],
        hypertension=bool(patient["hypertension"]),
        age=patient["age"],
        size_mm=size_mm,
        earlier_sah=bool(patient["earlier_bleeding"]),
        location=location,
    )
    return (found.points, found.five_year_risk) if found else (math.nan, math.nan)
