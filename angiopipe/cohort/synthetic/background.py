"""What a view shows besides contrast: uneven light, residual bone, blur and noise."""

from __future__ import annotations

import cv2
import numpy as np

from angiopipe.cohort.synthetic.anatomy import Point
from angiopipe.cohort.synthetic.curves import spline
from angiopipe.cohort.synthetic.projection import Camera
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.study import View

CALVARIA_CENTRE: Point = (0.0, 12.0, 14.0)
CALVARIA_SEMI_AXES: Point = (75.0, 95.0, 76.0)
"""The outer table of the skull, mm; about a centimetre outside the brain."""
CALVARIA_THICKNESS_MM = 6.0

MIDLINE_BASE: tuple[Point, ...] = (
    (0, -72, 4), (0, -55, -1), (0, -38, -3), (0, -20, -2), (0, -16, 1), (0, -13, -5), (0, -4, -7),
    (0, 2, -5), (0, 3, 1), (0, 6, -8), (0, 12, -24), (0, 16, -36),
)  # fmt: skip
"""The floor of the skull with sella and clivus, from front to back, mm."""

LEFT_BASE: tuple[Point, ...] = (
    (30, -60, 8), (28, -40, 1), (24, -20, -1), (34, -10, -16), (40, 6, -20), (22, 16, -12), (44, 22, -10),
    (58, 26, -14), (50, 44, -32), (30, 60, -42), (10, 64, -40),
)  # fmt: skip
"""Orbital roof, sphenoid wing, petrous ridge and occiput of the left side, mm."""

ORBITS: tuple[Point, ...] = ((32, -58, -14), (-32, -58, -14))
ORBIT_RADIUS_MM = 19.0
"""The orbital rims, seen in antero-posterior views."""

COARSE = 2
"""Bone is drawn on a canvas this much smaller: its edges are never sharp."""


def light_field(shape: tuple[int, int], settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Grey levels without contrast or bone: (rows, columns) float32, slowly varying."""
    coarse = settings.shading * rng.normal(size=(5, 5)).clip(-2.0, 2.0).astype(np.float32)
    fine = settings.mottle * rng.normal(size=(48, 48)).astype(np.float32)
    fine += cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
    level = rng.uniform(*settings.background_grey)
    return np.asarray(level * (1.0 + cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_CUBIC)))


def residual_bone(view: View, camera: Camera, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Optical depth that mask subtraction left of the skull: (rows, columns) float32.

    The patient moved a little between mask and contrast run, so edges show as light and dark pairs.
    """
    shape = (camera.shape[0] // COARSE, camera.shape[1] // COARSE)
    bone = _calvaria(camera, shape) + _edges(view, camera, shape)
    motion = rng.normal(0.0, settings.motion_mm, 2) / (camera.pixel_mm * COARSE)
    shift = np.array([[1, 0, motion[0]], [0, 1, motion[1]]], np.float32)
    moved = cv2.warpAffine(bone, shift, shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    depth = rng.uniform(*settings.skull)
    residue = depth * (rng.uniform(0.2, 1.0) * bone + rng.uniform(0.2, 1.0) * (bone - moved))
    return np.asarray(cv2.resize(residue, camera.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _calvaria(camera: Camera, shape: tuple[int, int]) -> np.ndarray:
    """Path through the skull's vault, relative to its densest edge: (rows, columns) float32."""
    (row, column), mm_per_pixel = (part[0] for part in camera.project(np.array([CALVARIA_CENTRE])))
    axes = np.array(CALVARIA_SEMI_AXES)
    across, up = (np.sqrt(np.square(axis * axes).sum()) for axis in camera.axes[:2])
    v = ((np.arange(shape[0]) * COARSE - row) * mm_per_pixel).astype(np.float32)[:, None]
    u = ((np.arange(shape[1]) * COARSE - column) * mm_per_pixel).astype(np.float32)[None, :]
    outer = np.clip(1.0 - (u / across) ** 2 - (v / up) ** 2, 0.0, None)
    thin = CALVARIA_THICKNESS_MM
    inner = np.clip(1.0 - (u / (across - thin)) ** 2 - (v / (up - thin)) ** 2, 0.0, None)
    return np.asarray((np.sqrt(outer) - np.sqrt(inner)) * 2.0, np.float32)


def _edges(view: View, camera: Camera, shape: tuple[int, int]) -> np.ndarray:
    """Skull base and orbits as soft lines of depth up to 1: (rows, columns) float32."""
    canvas = np.zeros(shape, np.uint8)
    width = max(1, round(1.6 / (camera.pixel_mm * COARSE)))
    left = np.array(LEFT_BASE, float)
    for line in (np.array(MIDLINE_BASE, float), left, left * (-1.0, 1.0, 1.0)):
        places, _ = camera.project(spline(line, 6))
        corners = np.rint(places[:, ::-1] / COARSE).astype(np.int32)
        cv2.polylines(canvas, [corners[:, None]], False, 120, width, cv2.LINE_AA)
    for centre in ORBITS if view.projection == "A" else ():
        (place,), _ = camera.project(np.array([centre]))
        middle = tuple(round(part / COARSE) for part in place.tolist()[::-1])
        size = ORBIT_RADIUS_MM / (camera.pixel_mm * COARSE)
        cv2.ellipse(canvas, middle, (int(size), int(0.85 * size)), 0, 0, 360, 110, width, cv2.LINE_AA)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.9 / (camera.pixel_mm * COARSE)))
    return np.asarray(soft / np.float32(255.0))


def blush(path: np.ndarray, camera: Camera, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Contrast in capillaries around the vessels: extra path in mm, (rows, columns) float32."""
    strength = rng.uniform(*settings.blush)
    small = cv2.resize(np.minimum(path, 2.0), None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), 7.0 / (8 * camera.pixel_mm))
    return np.asarray(strength * cv2.resize(spread, path.shape[::-1], interpolation=cv2.INTER_LINEAR))


def exposed(light: np.ndarray, camera: Camera, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Blurs the light that left the patient, adds quantum noise and digitises it.

    Args:
      light: (rows, columns) float32 grey levels.
      camera: the view.
      settings: blur and noise.
      rng: source of the noise.

    Returns:
      (rows, columns) uint8.
    """
    sharp = max(0.3, rng.uniform(*settings.blur_mm) / camera.pixel_mm)
    light = cv2.GaussianBlur(light, (0, 0), sharp)
    grain = rng.standard_normal(light.shape, np.float32)
    # Quantum noise grows with the square root of the light.
    sigma = rng.uniform(*settings.noise_grey) * np.sqrt(np.maximum(light, 0.0) / 200.0)
    return np.asarray(np.clip(np.rint(light + sigma * grain), 0, 255), np.uint8)
