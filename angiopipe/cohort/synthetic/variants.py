"""Anatomical variants of one patient, and what each injection fills because of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.study import OTHER_SIDE

Filling = dict[tuple[str, str], dict[str, float]]
"""For each injection (side, vessel): the contrast in each territory, relative to the injected vessel."""


@dataclass(frozen=True)
class Variant:
    """The anatomical variants of one patient; sets hold sides ("L", "R") or artery names ("L_A1").

    Attributes:
      without_pcom: sides without a posterior communicating artery.
      fetal: sides whose posterior cerebral artery comes from the carotid.
      thin: hypoplastic arteries.
      cross_flow_from: the side whose carotid also fills the other A2, if any.
      reflux: sides whose vertebral injection runs back down the other vertebral artery.
    """

    without_pcom: frozenset[str]
    fetal: frozenset[str]
    thin: frozenset[str]
    cross_flow_from: str | None
    reflux: frozenset[str]


def _sides(share: float, rng: np.random.Generator) -> frozenset[str]:
    return frozenset(side for side, draw in zip("LR", rng.random(2), strict=True) if draw < share)


def draw_variant(settings: Settings, rng: np.random.Generator) -> Variant:
    """Draws absent, thin and unusually filled arteries."""
    fetal = _sides(settings.fetal_pca_share, rng)
    absent = _sides(settings.pcom_absent_share, rng) - fetal
    reflux = _sides(settings.reflux_share, rng)
    weak_a1, weak_va = (str(side) for side in rng.choice(["L", "R"], 2))
    thin_a1, thin_va = rng.random(2) < settings.hypoplasia_share
    thin = {f"{side}_P1" for side in fetal}
    thin |= {f"{weak_a1}_A1"} if thin_a1 else set()
    thin |= {f"{weak_va}_VA", f"{weak_va}_V4"} if thin_va else set()
    crosses = rng.random() < settings.cross_flow_share
    return Variant(absent, fetal, frozenset(thin), OTHER_SIDE[weak_a1] if crosses else None, reflux)


def draw_filling(settings: Settings, variant: Variant, rng: np.random.Generator) -> Filling:
    """Draws how strongly each injection fills the territories it reaches."""
    filled: Filling = {}
    for side in "LR":
        filled[side, "I"] = _carotid_filling(side, settings, variant, rng)
        filled[side, "V"] = _vertebral_filling(side, settings, variant, rng)
    return filled


def _carotid_filling(
    side: str, settings: Settings, variant: Variant, rng: np.random.Generator
) -> dict[str, float]:
    filled = {f"{side}_ICA": 1.0, f"{side}_A2": 1.0}
    if side not in variant.without_pcom:
        filled[f"{side}_PCOM"] = 1.0 if side in variant.fetal else rng.uniform(*settings.pcom_opacity)
    if side in variant.fetal:
        filled[f"{side}_P2"] = rng.uniform(*settings.posterior_opacity)
    if variant.cross_flow_from == side:
        filled |= dict.fromkeys(("ACOM", f"{OTHER_SIDE[side]}_A2"), rng.uniform(*settings.cross_flow_opacity))
    return filled


def _vertebral_filling(
    side: str, settings: Settings, variant: Variant, rng: np.random.Generator
) -> dict[str, float]:
    filled = {f"{side}_VA": 1.0, f"{side}_V4": 1.0, "BA": rng.uniform(*settings.posterior_opacity)}
    filled |= {
        f"{pca}_P2": rng.uniform(*settings.posterior_opacity) for pca in "LR" if pca not in variant.fetal
    }
    if side in variant.reflux:
        filled[f"{OTHER_SIDE[side]}_V4"] = rng.uniform(*settings.reflux_opacity)
    return filled
