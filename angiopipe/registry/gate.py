"""The gate's arithmetic: challenger and champion on the same frozen test studies, and the verdict.

`Aneurysm` is judged by non-inferiority: the 95 % interval of the AUROCs' difference (paired DeLong) must
lie above minus the recipe's margin. No location may have got significantly worse: one-sided paired DeLong
at each location with enough studies, Holm's step-down (1979) over them, at 5 % for all together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from angiopipe.evaluation.metrics import LEAST_STUDIES, paired_delong
from angiopipe.recipe import Fields
from angiopipe.registry.answers import Answers
from angiopipe.study import ANEURYSM, LABELS, LOCATIONS

CONFIDENCE = 0.95
LOCATION_LEVEL = 0.05
"""The chance, over all locations together, that one is called worse though none is."""

Outcome = Literal[
    "first",
    "passed",
    "worse",
    "location_worse",
    "locations_lost",
    "champion_unavailable",
    "test_too_small",
    "not_servable",
]
PASSED: tuple[Outcome, ...] = ("first", "passed")


class Difference(Fields):
    """Challenger minus champion in one label's AUROC.

    Attributes:
      label: `Aneurysm` or a location.
      positives: test studies that have it.
      challenger, champion: the AUROCs.
      difference, low, high: challenger minus champion with its 95 % interval.
      p_worse: one-sided, of the hypothesis that the challenger is not worse; adjusted for the number
        of locations compared, where there are several.
    """

    label: str
    positives: int
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    p_worse: float


class Judgement(Fields):
    """What the gate found, without who was compared.

    Attributes:
      outcome: one of `Outcome`.
      reason: the same in words.
      aneurysm: of `Aneurysm`; None where nothing was compared.
      locations: those compared.
      not_estimable: locations with too few studies of a class to be compared.
      notes: what a reader of the figures should know.
    """

    outcome: Outcome
    reason: str
    aneurysm: Difference | None = None
    locations: tuple[Difference, ...] = ()
    not_estimable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(challenger: Answers, champion: Answers, margin: float) -> Judgement:
    """Compares two models on the same studies.

    Args:
      challenger: its answers.
      champion: its answers, to the same studies in the same order.
      margin: the AUROC that the challenger may cost at most.

    Raises:
      ValueError: the studies or their labels differ.
    """
    if challenger.indices != champion.indices or (challenger.labels != champion.labels).any():
        raise ValueError("expected challenger and champion on the same studies, found others")
    studies, positives = len(challenger.indices), challenger.positives
    if min(positives, studies - positives) < 2:
        return Judgement(
            outcome="test_too_small",
            reason=f"a paired comparison needs two test studies of each class, found {positives} with and "
            f"{studies - positives} without an aneurysm: test on more studies",
        )
    aneurysm = _difference(challenger, champion, 0)
    both = challenger.predicts_locations and champion.predicts_locations
    compared, few = _compare_locations(challenger, champion) if both else ((), ())
    outcome, reason = _decide(aneurysm, compared, _loses_locations(challenger, champion), margin)
    return Judgement(
        outcome=outcome,
        reason=reason,
        aneurysm=aneurysm,
        locations=compared,
        not_estimable=few,
        notes=_notes(aneurysm, both),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values of several hypotheses so that any false rejection stays below the level.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6:65.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.zeros(len(p_values))
    least = 0.0
    for rank, position in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = least
    return adjusted.tolist()


def _compare_locations(
    challenger: Answers, champion: Answers
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """The locations with enough studies, p-values adjusted, and the names of the others."""
    counts = challenger.labels[:, 1:].sum(axis=0)
    enough = np.minimum(counts, len(challenger.labels) - counts) >= LEAST_STUDIES
    found = [_difference(challenger, champion, 1 + position) for position in np.flatnonzero(enough).tolist()]
    adjusted = holm([item.p_worse for item in found])
    compared = [
        item.model_copy(update={"p_worse": p_value}) for item, p_value in zip(found, adjusted, strict=True)
    ]
    few = [name for name, there in zip(LOCATIONS, enough, strict=True) if not there]
    return tuple(compared), tuple(few)


def _difference(challenger: Answers, champion: Answers, column: int) -> Difference:
    labels = challenger.labels[:, column]
    found = paired_delong(
        labels, challenger.probabilities[:, column], champion.probabilities[:, column], CONFIDENCE
    )
    if found.variance:
        p_worse = NormalDist().cdf(found.difference / math.sqrt(found.variance))
    else:  # Both order every study alike but for a shift, or alike.
        p_worse = 0.0 if found.difference < 0 and found.p_value == 0 else 1.0
    return Difference(
        label=LABELS[column],
        positives=int(labels.sum()),
        challenger=found.first,
        champion=found.second,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_worse=p_worse,
    )


def _decide(
    aneurysm: Difference, locations: Sequence[Difference], lost: bool, margin: float
) -> tuple[Outcome, str]:
    figures = (
        f"AUROC {aneurysm.challenger:.3f} against the champion's {aneurysm.champion:.3f}: difference "
        f"{aneurysm.difference:+.3f} (95 % interval {aneurysm.low:+.3f} to {aneurysm.high:+.3f})"
    )
    if not aneurysm.low > -margin:
        return "worse", f"{figures}; the interval reaches below the margin of -{margin:g}"
    if lost:
        return "locations_lost", f"{figures}; it predicts no locations, which the champion does"
    worse = [item for item in locations if item.difference < 0 and item.p_worse < LOCATION_LEVEL]
    if worse:
        names = ", ".join(
            f"{item.label} ({item.challenger:.3f} against {item.champion:.3f}, p {item.p_worse:.2g})"
            for item in worse
        )
        return "location_worse", f"{figures}; significantly worse at {names}"
    estimable = f"no worse at {len(locations)} locations" if locations else "no location could be compared"
    return "passed", f"{figures}; above the margin of -{margin:g}, {estimable}"


def _loses_locations(challenger: Answers, champion: Answers) -> bool:
    return champion.predicts_locations and not challenger.predicts_locations


def _notes(aneurysm: Difference, both: bool) -> tuple[str, ...]:
    notes = []
    if aneurysm.low == aneurysm.high:
        notes.append(
            f"both models order the test studies alike, so the interval of {ANEURYSM} is a point; "
            "it does not tell how few studies there were"
        )
    if not both:
        notes.append("locations were not compared: one of the models predicts none")
    return tuple(notes)
