"""One synthetic study: a patient, eight injections seen through a camera, and the truth about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from angiopipe.cohort.synthetic.attenuation import ellipsoid_chords, transmission, tube_chords
from angiopipe.cohort.synthetic.background import blush, exposed, light_field, residual_bone
from angiopipe.cohort.synthetic.distal import grow_distal
from angiopipe.cohort.synthetic.projection import Camera, draw_camera
from angiopipe.cohort.synthetic.sacs import Sac, draw_locations, draw_sac
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.cohort.synthetic.tree import Tubes, draw_body, grow_arteries, joined
from angiopipe.cohort.synthetic.variants import Filling, draw_filling, draw_variant
from angiopipe.study import ANEURYSM, LABELS, VIEWS, View


@dataclass(frozen=True)
class Footprint:
    """A sac's outline in one view.

    Attributes:
      mask: (rows, columns) bool, True where rays pass through the sac.
      centre: row and column of the sac's centre, in pixels; fractions count.
      radius_pixels: radius of the sphere of the sac's volume, in pixels.
      mm_per_pixel: at the sac's depth.
    """

    mask: np.ndarray
    centre: tuple[float, float]
    radius_pixels: float
    mm_per_pixel: float


@dataclass(frozen=True)
class Lesion:
    """One saccular aneurysm.

    Attributes:
      location: one of `study.LOCATIONS`.
      radius_mm: of the sphere of its dome's volume.
      largest_mm: largest diameter of its dome, without a bleb.
      footprints: one per view, in `study.VIEWS` order; None where the injection does not fill the
        sac or the picture does not show it.
    """

    location: str
    radius_mm: float
    largest_mm: float
    footprints: tuple[Footprint | None, ...]


@dataclass(frozen=True)
class SyntheticStudy:
    """A study and its truth.

    Attributes:
      views: eight (rows, columns) uint8 grey pictures in `study.VIEWS` order.
      labels: (22,) uint8 in `study.LABELS` order.
      lesions: the sacs; none in healthy patients.
      mm_per_pixel: at each view's isocentre.
    """

    views: tuple[np.ndarray, ...]
    labels: np.ndarray
    lesions: tuple[Lesion, ...]
    mm_per_pixel: tuple[float, ...]


@dataclass(frozen=True)
class _Anatomy:
    """A patient, ready to be injected: contrast by territory, sacs, and what fills them."""

    territories: Mapping[str, Tubes]
    sacs: tuple[Sac, ...]
    filling: Filling


def make_study(settings: Settings, size: int, seed: int, number: int, sacs: bool = True) -> SyntheticStudy:
    """Makes one study; the same arguments always make the same study.

    Args:
      settings: the cohort's settings.
      size: rows and columns of an ordinary view, in pixels.
      seed: the cohort's seed.
      number: the study's number, its only link to the seed: other studies do not matter.
      sacs: False leaves out the sacs and their labels, and nothing else changes.

    Raises:
      ValueError: `size` is below 64, or `seed` or `number` is negative.
    """
    if size < 64 or seed < 0 or number < 0:
        raise ValueError(f"expected size >= 64, seed >= 0, number >= 0; got {size}, {seed}, {number}")
    streams = np.random.SeedSequence(seed, spawn_key=(number,)).spawn(3 + len(VIEWS))
    patient, lesion, format_, *views = (np.random.default_rng(stream) for stream in streams)
    anatomy = _draw_anatomy(settings, patient, lesion, sacs)
    shapes = _draw_shapes(settings, size, format_)
    cameras = [draw_camera(view, shapes[n], settings, views[n]) for n, view in enumerate(VIEWS)]
    pictures = [_take(view, cameras[n], anatomy, settings, views[n]) for n, view in enumerate(VIEWS)]
    lesions = tuple(_lesion(sac, cameras, anatomy.filling) for sac in anatomy.sacs)
    found = {lesion.location for lesion in lesions} | ({ANEURYSM} if lesions else set())
    labels = np.array([label in found for label in LABELS], np.uint8)
    return SyntheticStudy(tuple(pictures), labels, lesions, tuple(camera.pixel_mm for camera in cameras))


def _draw_anatomy(
    settings: Settings, patient: np.random.Generator, lesion: np.random.Generator, with_sacs: bool
) -> _Anatomy:
    variant = draw_variant(settings, patient)
    body = draw_body(settings, variant, patient)
    arteries = grow_arteries(body, patient)
    branches = grow_distal(body, arteries, patient)
    for artery in arteries.values():
        branches.setdefault(artery.territory, []).append(artery.tubes)
    locations = draw_locations(settings, variant, lesion) if with_sacs else ()
    sacs = tuple(draw_sac(location, arteries, settings, lesion) for location in locations)
    territories = {territory: joined(tubes) for territory, tubes in branches.items()}
    return _Anatomy(territories, sacs, draw_filling(settings, variant, patient))


def _draw_shapes(settings: Settings, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(rows, columns) of each view: mostly square, sometimes collimated, sometimes larger."""
    collimated, enlarged = rng.random(2) < (settings.non_square_share, settings.larger_share)
    side = round(size * settings.larger_scale) if enlarged else size
    narrow = rng.random(len(VIEWS)) < settings.non_square_view_share
    narrow[rng.integers(len(VIEWS))] = True
    shapes = []
    for is_narrow in narrow & collimated:
        short = round(side * rng.uniform(*settings.aspect))
        upright = rng.random() < 0.5
        shapes.append(((side, short) if upright else (short, side)) if is_narrow else (side, side))
    return shapes


def _take(
    view: View, camera: Camera, anatomy: _Anatomy, settings: Settings, rng: np.random.Generator
) -> np.ndarray:
    """Takes one picture: (rows, columns) uint8."""
    filled = anatomy.filling[view.side, view.vessel]
    path = _contrast(camera, anatomy, filled)
    attenuation = rng.uniform(*settings.attenuation_per_mm)
    bone = residual_bone(view, camera, settings, rng)
    path += blush(path, camera, settings, rng)
    light = light_field(camera.shape, settings, rng) * transmission(attenuation * path + bone, 1.0)
    return exposed(light, camera, settings, rng)


def _contrast(camera: Camera, anatomy: _Anatomy, filled: Mapping[str, float]) -> np.ndarray:
    """Path through contrast in every pixel, diluted contrast counting less: (rows, columns) float32 mm."""
    tubes = [
        anatomy.territories[territory]._replace(lengths=anatomy.territories[territory].lengths * strength)
        for territory, strength in filled.items()
    ]
    sacs = [(sac, sac.opacity * filled[sac.territory]) for sac in anatomy.sacs if sac.territory in filled]
    tubes += [sac.neck._replace(lengths=sac.neck.lengths * strength) for sac, strength in sacs]
    path = tube_chords(joined(tubes), camera)
    for sac, strength in sacs:
        for body in sac.bodies:
            path += strength * ellipsoid_chords(body, camera)
    return path


def _lesion(sac: Sac, cameras: list[Camera], filling: Filling) -> Lesion:
    footprints = tuple(
        _footprint(sac, camera) if sac.territory in filling[view.side, view.vessel] else None
        for view, camera in zip(VIEWS, cameras, strict=True)
    )
    return Lesion(sac.location, sac.radius_mm, sac.largest_mm, footprints)


def _footprint(sac: Sac, camera: Camera) -> Footprint | None:
    mask = np.zeros(camera.shape, bool)
    for body in sac.bodies:
        mask |= ellipsoid_chords(body, camera) > 0
    if not mask.any():
        return None
    ((row, column),), (mm_per_pixel,) = camera.project(sac.bodies[0].centre[None])
    radius_pixels = float(sac.radius_mm / mm_per_pixel)
    return Footprint(mask, (float(row), float(column)), radius_pixels, float(mm_per_pixel))
