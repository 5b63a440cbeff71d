"""Saccular aneurysms: how many, where, of what shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from angiopipe.cohort.synthetic.anatomy import SAC_SITES, SacSite
from angiopipe.cohort.synthetic.curves import spacing
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.cohort.synthetic.tree import Artery, Tubes
from angiopipe.cohort.synthetic.variants import Variant
from angiopipe.study import OTHER_SIDE


class Ellipsoid(NamedTuple):
    """A solid ellipsoid {p: (p - centre)' shape (p - centre) <= 1}.

    Attributes:
      centre: (3,) mm.
      shape: (3, 3) mm^-2, symmetric and positive definite.
    """

    centre: np.ndarray
    shape: np.ndarray


class Sac(NamedTuple):
    """One aneurysm in the patient's frame.

    Attributes:
      location: one of `study.LOCATIONS`.
      territory: what it fills with.
      radius_mm: of the sphere of the dome's volume.
      opacity: contrast relative to the parent artery.
      bodies: the dome and, perhaps, a bleb.
      neck: from the parent's centre line into the dome.
    """

    location: str
    territory: str
    radius_mm: float
    opacity: float
    bodies: tuple[Ellipsoid, ...]
    neck: Tubes

    @property
    def largest_mm(self) -> float:
        """Largest diameter of the dome, without a bleb."""
        return float(2.0 / np.sqrt(np.linalg.eigvalsh(self.bodies[0].shape)[0]))


def draw_locations(settings: Settings, variant: Variant, rng: np.random.Generator) -> tuple[str, ...]:
    """Draws the affected locations of one patient: none, one or, rarely, two different ones."""
    affected, twice = rng.random(2) < (settings.prevalence, settings.second_sac_share)
    if not affected:
        return ()
    shares = settings.site_weights.shares()
    found: list[str] = []
    while len(found) < 1 + twice:
        location = _sided(str(rng.choice(list(shares), p=list(shares.values()))), variant, rng)
        if location not in found:
            found.append(location)
    return tuple(found)


def _sided(site: str, variant: Variant, rng: np.random.Generator) -> str:
    side = str(rng.choice(["L", "R"]))
    if site == "BA":
        return site
    if site == "ACOM" and variant.cross_flow_from:
        side = variant.cross_flow_from  # the sac belongs to the side that fills it
    if site == "PCOM" and side in variant.without_pcom:
        side = side if OTHER_SIDE[side] in variant.without_pcom else OTHER_SIDE[side]
    return f"{side}_{site}"


def draw_sac(
    location: str, arteries: Mapping[str, Artery], settings: Settings, rng: np.random.Generator
) -> Sac:
    """Draws one sac at a location's typical site.

    Args:
      location: one of `study.LOCATIONS`.
      arteries: the patient's arteries, `tree.grow_arteries`.
      settings: size, shape and opacity of sacs.
      rng: source of the draw.
    """
    side, _, site = location.rpartition("_")
    side = side or str(rng.choice(["L", "R"]))
    sites = SAC_SITES[site]
    weights = np.array([place.weight for place in sites])
    place = sites[rng.choice(len(sites), p=weights / weights.sum())]
    artery = arteries.get(f"{side}_{place.artery}") or arteries[place.artery]
    root, calibre, tangent = artery.at(place.landmark)
    dome = _dome(place, side, tangent, artery, settings, rng)
    radius = _radius(settings, rng)
    stretch = 1.0 + settings.sac_elongation * rng.random()
    centre = root + dome * (calibre + 0.85 * radius * stretch)
    bodies = [_ellipsoid(centre, dome, radius, stretch, rng)]
    if rng.random() < settings.bleb_share:
        aside = _unit(dome + rng.normal(0.0, 0.6, 3))
        bodies.append(
            _ellipsoid(centre + 0.85 * radius * aside, aside, settings.bleb_size * radius, 1.0, rng)
        )
    opacity = rng.uniform(*settings.sac_opacity)
    neck = _neck(root, centre, calibre, radius, settings.neck_width)
    return Sac(location, artery.territory, radius, opacity, tuple(bodies), neck)


def _radius(settings: Settings, rng: np.random.Generator) -> float:
    """A truncated log-normal radius in mm; draws outside the limits are drawn again."""
    low, high = settings.sac_radius_limits_mm
    for _ in range(100):
        radius = settings.sac_radius_median_mm * float(np.exp(settings.sac_radius_spread * rng.normal()))
        if low <= radius <= high:
            return radius
    return float(np.clip(settings.sac_radius_median_mm, low, high))


def _dome(
    place: SacSite,
    side: str,
    tangent: np.ndarray,
    artery: Artery,
    settings: Settings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Unit direction of the dome: sideways on a side wall, onwards at the artery's end."""
    mirror = np.array([-1.0 if side == "R" else 1.0, 1.0, 1.0])
    dome = _unit(np.array(place.dome)) * mirror + rng.normal(0.0, settings.dome_spread, 3)
    if place.landmark < len(artery.landmarks) - 1:
        dome = dome - (dome @ tangent) * tangent
    return _unit(dome)


def _ellipsoid(
    centre: np.ndarray, axis: np.ndarray, radius: float, stretch: float, rng: np.random.Generator
) -> Ellipsoid:
    """An ellipsoid of a sphere's volume, stretched along `axis` and slightly uneven across it."""
    across = _unit(np.cross(axis, rng.normal(size=3)))
    frame = np.stack([axis, across, np.cross(axis, across)])
    uneven = np.exp(rng.normal(0.0, 0.06))
    semi_axes = radius * np.array([stretch, uneven / np.sqrt(stretch), 1 / (uneven * np.sqrt(stretch))])
    return Ellipsoid(centre, frame.T @ np.diag(semi_axes**-2.0) @ frame)


def _neck(root: np.ndarray, centre: np.ndarray, calibre: float, radius: float, width: float) -> Tubes:
    """A short tube through the parent's wall; it ends where the dome begins."""
    along = np.linspace(0.0, 1.0, 24)[:, None]
    points = root + along * (centre - root)
    lengths = spacing(points)
    distance = along[:, 0] * float(np.linalg.norm(centre - root))
    lengths[(distance < calibre) | (distance > distance[-1] - 0.85 * radius)] = 0.0
    return Tubes(points, np.full(24, width * radius), lengths)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))
