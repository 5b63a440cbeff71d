"""Experimental: the PHASES score, the five-year rupture risk of an unruptured aneurysm.

Source: Greving et al. 2014, "Development of the PHASES score for prediction of risk of rupture of
intracranial aneurysms", Lancet Neurol 13:59-66.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from angiopipe import clinical
from angiopipe.study import LOCATIONS

POPULATIONS: dict[str, int] = dict(zip(clinical.POPULATIONS, (0, 3, 5), strict=True))
"""Points of a population; patients of any other have no published score."""
SITES: dict[str, int] = {"ICA": 0, "MCA": 2, "ACA_PCOM_POSTERIOR": 4}
SIZES: tuple[tuple[float, int], ...] = ((20.0, 10), (10.0, 6), (7.0, 3), (0.0, 0))
"""Smallest diameter (mm) of each class, and its points, largest class first."""
OLD_AGE = 70
RISKS: dict[int, float] = {
    2: 0.004, 3: 0.007, 4: 0.009, 5: 0.013, 6: 0.017, 7: 0.024,
    8: 0.032, 9: 0.043, 10: 0.053, 11: 0.072, 12: 0.178,
}  # fmt: skip
"""Five-year risk of a score. The paper pools 0 to 2 as one row and 12 and above as another."""

_SITE_OF_VESSEL = {"ICA": "ICA", "AntChor": "ICA", "MCA": "MCA"}
"""The paper does not name the anterior choroidal artery; it is counted with its parent, the ICA."""


@dataclass(frozen=True)
class Phases:
    """A score with what it was made for.

    Attributes:
      points: 0 to 22.
      five_year_risk: a fraction, 0.004 to 0.178.
      location: the one of `LOCATIONS` that was scored.
      pooled: the risk is that of a range of scores (0 to 2, or 12 and above).
    """

    points: int
    five_year_risk: float
    location: str
    pooled: bool


def site(location: str) -> str:
    """The PHASES site of a location; vessels other than ICA and MCA form the third group.

    Raises:
      ValueError: `location` is not one of `LOCATIONS`.
    """
    if location not in LOCATIONS:
        raise ValueError(f"PHASES: location must be one of {', '.join(LOCATIONS)}, got {location!r}")
    return _SITE_OF_VESSEL.get(location.rpartition("_")[2], "ACA_PCOM_POSTERIOR")


def likeliest(probabilities: Mapping[str, float]) -> str | None:
    """The candidate location to score; the first in the order of `LOCATIONS` among equals.

    Returns:
      None without a candidate, or when a probability is unknown (NaN).
    """
    if not probabilities or any(math.isnan(p) for p in probabilities.values()):
        return None
    return max(sorted(probabilities, key=LOCATIONS.index), key=lambda name: probabilities[name])


def phases(
    population: str | None,
    hypertension: bool | None,
    age: float | None,
    size_mm: float | None,
    earlier_sah: bool | None,
    location: str | None,
) -> Phases | None:
    """Scores one unruptured aneurysm.

    Args:
      population: a key of `POPULATIONS`.
      hypertension: whether the patient has it.
      age: years.
      size_mm: largest diameter.
      earlier_sah: subarachnoid haemorrhage from another aneurysm.
      location: one of `LOCATIONS`.

    Returns:
      None when anything is unknown (None or NaN): nothing is guessed.

    Raises:
      ValueError: a known value is impossible; all such values are named.
    """
    if population is None or hypertension is None or age is None:
        return None
    if size_mm is None or earlier_sah is None or location is None:
        return None
    if math.isnan(age) or math.isnan(size_mm):
        return None
    _refuse(population, age, size_mm, location)
    size = next(points for smallest, points in SIZES if size_mm >= smallest)
    points = POPULATIONS[population] + hypertension + (age >= OLD_AGE) + size + earlier_sah
    points += SITES[site(location)]
    return Phases(points, five_year_risk(points), location, pooled=not min(RISKS) < points < max(RISKS))


def five_year_risk(points: int) -> float:
    """The published risk of rupture within five years, a fraction."""
    return RISKS[min(max(points, min(RISKS)), max(RISKS))]


def _refuse(population: str, age: float, size_mm: float, location: str) -> None:
    faults = []
    if population not in POPULATIONS:
        faults.append(f"population must be one of {', '.join(POPULATIONS)}, got {population!r}")
    if not 0 <= age < math.inf:
        faults.append(f"age must be years, 0 or more, got {age}")
    if not 0 < size_mm < math.inf:
        faults.append(f"size_mm must be above 0, got {size_mm}")
    if location not in LOCATIONS:
        faults.append(f"location must be one of {', '.join(LOCATIONS)}, got {location!r}")
    if faults:
        raise ValueError("PHASES: " + "; ".join(faults) + "; leave unknown values empty")
