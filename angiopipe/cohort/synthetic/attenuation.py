"""Chord lengths through contrast, and the light they leave.

Source: Beer-Lambert, I = I0 exp(-mu * path), with the path summed over all vessels on a ray.
"""

from __future__ import annotations

import numpy as np

from angiopipe.cohort.synthetic.projection import Camera
from angiopipe.cohort.synthetic.sacs import Ellipsoid
from angiopipe.cohort.synthetic.tree import Tubes


def tube_chords(tubes: Tubes, camera: Camera) -> np.ndarray:
    """Length of every ray inside tubes.

    Each centre-line sample lays a disc of its own radius, as thick as the sample is long. For a
    cylinder at any angle the discs add up to the exact chord: 2 sqrt(r^2 - d^2) / cos(angle) from
    the side, its whole length from the end.

    Args:
      tubes: vessels; `lengths` may be scaled by an opacity.
      camera: the view.

    Returns:
      (rows, columns) float32 mm.
    """
    places, mm_per_pixel = camera.project(tubes.points)
    radii = tubes.radii / mm_per_pixel
    rows, columns = camera.shape
    reach = np.ceil(radii + 0.5).astype(int)
    near = (places > -reach[:, None]) & (places < np.array(camera.shape) + reach[:, None])
    keep = near.all(axis=1) & (tubes.lengths > 0)
    # A margin as wide as the widest disc makes every disc fall inside the canvas.
    margin = 2 * int(reach[keep].max(initial=0)) + 2
    canvas = np.zeros((rows + 2 * margin, columns + 2 * margin), np.float32)
    for size in np.unique(reach[keep]):
        chosen = keep & (reach == size)
        _lay_discs(canvas, places[chosen] + margin, radii[chosen], tubes.lengths[chosen], int(size))
    return canvas[margin : margin + rows, margin : margin + columns]


def _lay_discs(
    canvas: np.ndarray, places: np.ndarray, radii: np.ndarray, lengths: np.ndarray, size: int
) -> None:
    """Adds antialiased discs, all of the same pixel reach, to a canvas."""
    offsets = np.arange(-size, size + 1, dtype=np.float32)
    nearest = np.rint(places).astype(np.int64)
    off_centre = (places - nearest).astype(np.float32)
    row_gap = np.square(offsets - off_centre[:, :1])
    column_gap = np.square(offsets - off_centre[:, 1:])
    distance = np.sqrt(row_gap[:, :, None] + column_gap[:, None, :])
    # Half a pixel at least, or the finest twigs would slip between pixel centres.
    drawn = np.maximum(radii, 0.5).astype(np.float32)
    discs = np.clip(drawn[:, None, None] + 0.5 - distance, 0.0, 1.0)
    # Exactly the disc's area, however few pixels it covers: contrast is neither lost nor made.
    volume = np.pi * radii**2 * lengths / discs.sum(axis=(1, 2))
    discs *= volume.astype(np.float32)[:, None, None]
    width = canvas.shape[1]
    middle = nearest[:, 0] * width + nearest[:, 1]
    patch = (np.arange(-size, size + 1)[:, None] * width + np.arange(-size, size + 1)).ravel()
    # A flat view: NumPy's unbuffered addition is quick in one dimension only.
    np.add.at(canvas.ravel(), (middle[:, None] + patch).ravel(), discs.ravel())


def ellipsoid_chords(body: Ellipsoid, camera: Camera) -> np.ndarray:
    """Length of every ray inside an ellipsoid, rays taken as parallel across it.

    Args:
      body: the ellipsoid.
      camera: the view.

    Returns:
      (rows, columns) float32 mm; positive exactly inside the outline.
    """
    (row, column), mm_per_pixel = (part[0] for part in camera.project(body.centre[None]))
    across, up, away = camera.axes
    rows = (row - np.arange(camera.shape[0])) * mm_per_pixel
    columns = (np.arange(camera.shape[1]) - column) * mm_per_pixel
    chords = np.zeros(camera.shape, np.float32)
    half = 1.0 / np.sqrt(np.linalg.eigvalsh(body.shape)[0])
    near_rows, near_columns = np.flatnonzero(abs(rows) <= half), np.flatnonzero(abs(columns) <= half)
    if not (len(near_rows) and len(near_columns)):
        return chords
    v, u = rows[near_rows][:, None], columns[near_columns][None, :]
    # On the ray p + t * away, the inside is a t^2 + 2 b t + c <= 0.
    a = away @ body.shape @ away
    b = u * (across @ body.shape @ away) + v * (up @ body.shape @ away)
    c = u**2 * (across @ body.shape @ across) + v**2 * (up @ body.shape @ up)
    c = c + 2 * u * v * (across @ body.shape @ up) - 1.0
    inside = np.sqrt(np.clip(b**2 - a * c, 0.0, None))
    chords[np.ix_(near_rows, near_columns)] = 2.0 * inside / a
    return chords


def transmission(path: np.ndarray, attenuation_per_mm: float) -> np.ndarray:
    """The share of light left after `path` mm of contrast."""
    return np.asarray(np.exp(-attenuation_per_mm * path))
