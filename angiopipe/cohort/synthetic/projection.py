"""The X-ray camera: from the patient's millimetres to a view's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.study import View

Point = tuple[float, float, float]

CENTRES_MM: dict[tuple[str, str], Point] = {
    ("I", "A"): (20.0, 0.0, 16.0),
    ("I", "B"): (20.0, 8.0, 16.0),
    ("V", "A"): (0.0, 25.0, -10.0),
    ("V", "B"): (0.0, 28.0, -8.0),
}
"""What the isocentre of each vessel and projection aims at, left side, in the axes of `anatomy`."""

TOWARDS_RIGHT = {"A": (1.0, 0.0, 0.0), "B": (0.0, 1.0, 0.0)}
"""Patient direction of a view's columns: the patient's left, or the back."""


@dataclass(frozen=True)
class Camera:
    """A cone-beam view.

    Attributes:
      axes: (3, 3) unit rows: patient directions of columns, of upwards, and towards the detector.
      isocentre: (3,) mm, imaged at the centre.
      source_mm: distance from the X-ray focus to the isocentre.
      shape: (rows, columns).
      pixel_mm: size of a pixel at the isocentre.
    """

    axes: np.ndarray
    isocentre: np.ndarray
    source_mm: float
    shape: tuple[int, int]
    pixel_mm: float

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Projects points.

        Args:
          points: (points, 3) mm.

        Returns:
          (points, 2) rows and columns, and (points,) mm per pixel at each point's depth.
        """
        across, up, away = self.axes @ (points - self.isocentre).T
        mm_per_pixel = self.pixel_mm * (self.source_mm + away) / self.source_mm
        rows = (self.shape[0] - 1) / 2 - up / mm_per_pixel
        columns = (self.shape[1] - 1) / 2 + across / mm_per_pixel
        return np.stack([rows, columns], axis=1), mm_per_pixel


def draw_camera(view: View, shape: tuple[int, int], settings: Settings, rng: np.random.Generator) -> Camera:
    """Draws the framing of one view.

    Args:
      view: side, vessel and projection.
      shape: (rows, columns) of the picture; the longer side spans the field of view.
      settings: framing and its jitter.
      rng: source of the draw.
    """
    right = np.array(TOWARDS_RIGHT[view.projection])
    up = np.array([0.0, 0.0, 1.0])
    axes = np.stack([right, up, np.cross(right, up)])
    tilt = 0.0
    if view.projection == "A":
        tilt = settings.carotid_tilt_deg if view.vessel == "I" else settings.vertebral_tilt_deg
    jitter = settings.angulation_deg * rng.normal(size=2)
    axes = (
        _rotation(2, settings.roll_deg * rng.normal())
        @ _rotation(0, tilt + jitter[0])
        @ _rotation(1, jitter[1])
        @ axes
    )
    mirror = (-1.0, 1.0, 1.0) if view.side == "R" else (1.0, 1.0, 1.0)
    isocentre = np.array(CENTRES_MM[view.vessel, view.projection]) * mirror
    isocentre = isocentre + settings.framing_shift_mm * rng.normal(size=3)
    pixel_mm = rng.uniform(*settings.field_of_view_mm) / max(shape)
    return Camera(axes, isocentre, settings.source_distance_mm, shape, pixel_mm)


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about one of the camera's own axes."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.eye(3)
    first, second = [number for number in range(3) if number != axis]
    rotation[[first, first, second, second], [first, second, first, second]] = cosine, -sine, sine, cosine
    return rotation
