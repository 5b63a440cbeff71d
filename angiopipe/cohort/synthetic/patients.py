"""Experimental: what is known of a made-up patient besides the views, related to the aneurysm as published.

Odds ratios of the variables' relation to an unruptured aneurysm; the frequencies without one, the ages and
the share of missing values are our choice. Earlier bleeding and population are drawn without a relation.

Sources: Vlak et al. 2011, Lancet Neurol 10:626-36 (women 1.61 and family history 3.4, prevalence ratios,
taken for odds ratios as aneurysms are rare); Vlak et al. 2013, Stroke 44:984-7 (smoking 3.0, hypertension
2.9); Rinkel et al. 1998, Stroke 29:251-6 (more frequent with age, without a figure that could be used).
"""

from __future__ import annotations

import numpy as np

from angiopipe.clinical import NAMES, POPULATIONS

FREQUENCIES: dict[str, tuple[float, float]] = {
    "sex": (0.5, 1.61),
    "hypertension": (0.3, 2.9),
    "smoking": (0.25, 3.0),
    "family_history": (0.05, 3.4),
    "earlier_bleeding": (0.03, 1.0),
}
"""Share without an aneurysm (of "sex", the women's), and the odds ratio."""

AGES = {False: 54.0, True: 58.0}
"""Mean age without and with an aneurysm, years."""
AGE_SPREAD, YOUNGEST, OLDEST = 13.0, 18, 95
MISSING = 0.1
"""Share of unknown values of each variable, whatever the others are."""

STREAM = 1000
"""Among the streams that `make_study` draws a study from there is none of this number."""


def draw_patient(aneurysm: bool, seed: int, number: int) -> dict[str, int | str | None]:
    """What a clinical CSV says of one patient; the same arguments always give the same.

    Args:
      aneurysm: whether the patient has one.
      seed: the cohort's seed.
      number: the study's number.

    Returns:
      A value of each of `clinical.NAMES`, None where it is unknown.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, STREAM)))
    patient: dict[str, int | str | None] = {
        "age": int(np.clip(rng.normal(AGES[aneurysm], AGE_SPREAD), YOUNGEST, OLDEST))
    }
    for name, (share, ratio) in FREQUENCIES.items():
        odds = share / (1 - share) * (ratio if aneurysm else 1.0)
        patient[name] = int(rng.random() < odds / (1 + odds))
    patient["sex"] = "female" if patient["sex"] else "male"
    patient["population"] = POPULATIONS[rng.integers(len(POPULATIONS))]
    unknown = rng.random(len(NAMES)) < MISSING
    return {name: None if absent else patient[name] for name, absent in zip(NAMES, unknown, strict=True)}
