"""One patient's arteries in three dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from angiopipe.cohort.synthetic.anatomy import BASILAR, COURSES, MAY_LOOP, SIPHON, Course
from angiopipe.cohort.synthetic.curves import STEP_MM, bend, loop, samples_per_interval, spacing, spline
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.cohort.synthetic.variants import Variant


class Tubes(NamedTuple):
    """Samples of centre lines, of one vessel or of many.

    Attributes:
      points: (samples, 3) mm.
      radii: (samples,) mm.
      lengths: (samples,) mm of centre line that each sample stands for.
    """

    points: np.ndarray
    radii: np.ndarray
    lengths: np.ndarray


def joined(tubes: Iterable[Tubes]) -> Tubes:
    """All samples of one or more `tubes` in one."""
    points, radii, lengths = zip(*tubes, strict=True)
    return Tubes(np.concatenate(points), np.concatenate(radii), np.concatenate(lengths))


class Artery(NamedTuple):
    """A named artery of one side.

    Attributes:
      tubes: its centre line.
      landmarks: positions in `tubes` of the course's landmarks.
      territory: what it fills with, e.g. "L_ICA".
    """

    tubes: Tubes
    landmarks: np.ndarray
    territory: str

    def at(self, landmark: int) -> tuple[np.ndarray, float, np.ndarray]:
        """Place (mm), radius (mm) and unit tangent at a landmark."""
        here = int(self.landmarks[landmark])
        points = self.tubes.points
        tangent = points[min(here + 1, len(points) - 1)] - points[max(here - 1, 0)]
        return points[here], float(self.tubes.radii[here]), tangent / np.linalg.norm(tangent)


@dataclass(frozen=True)
class Body:
    """What one patient's arteries have in common.

    Attributes:
      settings: how patients vary.
      variant: the patient's variants.
      head: relative size along x, y and z.
      calibre: relative vessel calibre.
    """

    settings: Settings
    variant: Variant
    head: np.ndarray
    calibre: float


def draw_body(settings: Settings, variant: Variant, rng: np.random.Generator) -> Body:
    """Draws the size of a patient's head and vessels."""
    head = 1.0 + settings.head_scale_spread * rng.normal(size=3)
    return Body(settings, variant, head, float(np.exp(settings.calibre_spread * rng.normal())))


def grow_arteries(body: Body, rng: np.random.Generator) -> dict[str, Artery]:
    """Grows the named arteries of both sides.

    Args:
      body: the patient.
      rng: source of the arteries' courses and calibres.

    Returns:
      Arteries by name: "BA", "ACOM", and "L_M1" and the like.
    """
    arteries = {"BA": _grow(BASILAR, "", body, {}, rng)}
    for side in "LR":
        for course in COURSES:
            if course.name != "PCOM" or side not in body.variant.without_pcom:
                arteries[f"{side}_{course.name}"] = _grow(course, side, body, arteries, rng)
    arteries["ACOM"] = _bridge(arteries["L_A1"], arteries["R_A1"], body)
    return arteries


def _grow(
    course: Course, side: str, body: Body, arteries: Mapping[str, Artery], rng: np.random.Generator
) -> Artery:
    """Grows one artery from its parent, if any, to the artery it joins, if any."""
    prefix = f"{side}_" if side else ""
    landmarks = _vary(course, side, body, rng)
    blind = 0.0
    if course.origin:
        parent = arteries.get(prefix + course.origin[0]) or arteries[course.origin[0]]
        start, blind, _ = parent.at(course.origin[1])
        landmarks = landmarks + np.linspace(1.0, 0.0, len(landmarks))[:, None] * (start - landmarks[0])
    points, samples = _wound(course, landmarks, body.settings, rng)
    if course.joins:
        end, _, _ = (arteries.get(prefix + course.joins[0]) or arteries[course.joins[0]]).at(course.joins[1])
        points = points + np.linspace(0.0, 1.0, len(points))[:, None] ** 2 * (end - points[-1])
    radii = _taper(course, prefix + course.name, len(points), body, rng)
    lengths = spacing(points)
    # Inside its parent's lumen a branch adds no contrast of its own.
    lengths[np.cumsum(lengths) < 0.8 * blind] = 0.0
    territory = course.territory if course.territory == "BA" else prefix + course.territory
    return Artery(Tubes(points, radii, lengths), np.arange(len(landmarks)) * samples, territory)


def _wound(
    course: Course, landmarks: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """A bent and perhaps looped centre line, (samples, 3) mm, and its samples per landmark interval."""
    loops = course.name in MAY_LOOP and rng.random() < settings.loop_share
    samples = samples_per_interval(landmarks, STEP_MM / 3 if loops else STEP_MM)
    points = bend(spline(landmarks, samples), settings.tortuosity * course.freedom, rng)
    if loops:
        radius = rng.uniform(*settings.loop_radius_mm) + 0.5 * course.diameters[0]
        points = loop(points, rng.uniform(0.15, 0.8), radius, rng)
    return points, samples


def _vary(course: Course, side: str, body: Body, rng: np.random.Generator) -> np.ndarray:
    """The course's landmarks in this patient: (landmarks, 3) mm."""
    landmarks = np.array(course.landmarks, float)
    if course.name == "ICA":
        tightness = rng.uniform(*body.settings.siphon_tightness)
        siphon = landmarks[SIPHON]
        middle = siphon.mean(axis=0)
        landmarks[SIPHON] = middle + (siphon - middle) * (1.0, np.sqrt(tightness), 1.0 / tightness)
    landmarks += course.freedom * body.settings.wander_mm * rng.normal(size=landmarks.shape)
    mirror = (-1.0, 1.0, 1.0) if side == "R" else (1.0, 1.0, 1.0)
    return np.asarray(landmarks * body.head * mirror)


def _taper(course: Course, name: str, samples: int, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Radii in mm along an artery: tapering, slightly uneven, perhaps with a funnel-shaped origin."""
    settings = body.settings
    calibre = body.calibre * np.exp(settings.calibre_spread * rng.normal())
    if name in body.variant.thin:
        calibre *= settings.hypoplastic_calibre
    if course.name == "PCOM" and name[0] in body.variant.fetal:
        calibre *= settings.fetal_pcom_calibre
    along = np.linspace(0.0, 1.0, samples)
    radii = calibre / 2 * (course.diameters[0] + along * (course.diameters[1] - course.diameters[0]))
    waves = np.sin(2 * np.pi * (along[:, None] * rng.uniform(2, 6, 2) + rng.random(2)))
    radii *= 1.0 + 0.3 * settings.calibre_spread * waves.sum(axis=1)
    if course.name in ("PCOM", "AntChor") and rng.random() < settings.infundibulum_share:
        mouth = rng.uniform(*settings.infundibulum_radius_mm)
        radii += np.clip(mouth - radii, 0.0, None) * np.exp(-((along / 0.16) ** 2))
    return np.asarray(radii)


def _bridge(left: Artery, right: Artery, body: Body) -> Artery:
    """The anterior communicating artery, from one A1 to the other."""
    ends = np.stack([left.at(3)[0], right.at(3)[0]])
    middle = ends.mean(axis=0) + np.array([0.0, -0.6, 0.4])
    landmarks = np.stack([ends[0], middle, ends[1]])
    samples = samples_per_interval(landmarks)
    points = spline(landmarks, samples)
    radii = np.full(len(points), 0.65 * body.calibre)
    return Artery(Tubes(points, radii, spacing(points)), np.arange(3) * samples, "ACOM")
