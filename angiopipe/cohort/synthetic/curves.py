"""Centre lines: splines through landmarks, smooth bends, loops."""

from __future__ import annotations

import numpy as np

STEP_MM = 0.4
"""Spacing of centre-line samples: below the radius of all but the finest twigs."""


def spline(landmarks: np.ndarray, samples: int) -> np.ndarray:
    """Passes a smooth curve through landmarks (cubic Hermite, chord-length parametrised).

    Args:
      landmarks: (..., landmarks, 3) mm, two landmarks or more, no two neighbours equal.
      samples: points per interval between two landmarks.

    Returns:
      (..., (landmarks - 1) * samples + 1, 3) mm; every `samples`-th point is a landmark.
    """
    chords = np.diff(landmarks, axis=-2)
    lengths = np.linalg.norm(chords, axis=-1, keepdims=True)
    slopes = chords / lengths
    inner = (slopes[..., :-1, :] * lengths[..., 1:, :] + slopes[..., 1:, :] * lengths[..., :-1, :]) / (
        lengths[..., 1:, :] + lengths[..., :-1, :]
    )
    tangents = np.concatenate([slopes[..., :1, :], inner, slopes[..., -1:, :]], axis=-2)
    t = (np.arange(samples) / samples)[:, None]
    start, end = landmarks[..., :-1, None, :], landmarks[..., 1:, None, :]
    leave = tangents[..., :-1, None, :] * lengths[..., None, :]
    arrive = tangents[..., 1:, None, :] * lengths[..., None, :]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * leave
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * arrive
    )
    flat = curve.reshape(*curve.shape[:-3], -1, 3)
    return np.concatenate([flat, landmarks[..., -1:, :]], axis=-2)


def samples_per_interval(landmarks: np.ndarray, step_mm: float = STEP_MM) -> int:
    """How many points per interval keep neighbours at most about `step_mm` apart."""
    longest = np.linalg.norm(np.diff(landmarks, axis=-2), axis=-1).max()
    return max(2, int(np.ceil(longest / step_mm)))


def spacing(points: np.ndarray) -> np.ndarray:
    """Arc length that each sample stands for.

    Args:
      points: (..., samples, 3) mm.

    Returns:
      (..., samples) mm, adding up to the curve's length.
    """
    steps = np.linalg.norm(np.diff(points, axis=-2), axis=-1)
    share = np.zeros(points.shape[:-1])
    share[..., :-1] += steps / 2
    share[..., 1:] += steps / 2
    return share


def bend(points: np.ndarray, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Adds smooth random bends; the first point, the origin, stays in place.

    Args:
      points: (..., samples, 3) mm.
      amplitude: rough size of the bends in mm.
      rng: source of the bends' phases and directions.

    Returns:
      Points of the same shape.
    """
    arc = np.cumsum(spacing(points), axis=-1)
    # From the wavelength of a sulcus to that of a whole lobe; the longer, the wider.
    wavelengths = np.array([9.0, 16.0, 31.0]) * rng.uniform(0.8, 1.25, 3)
    phases = rng.uniform(0, 2 * np.pi, size=(*points.shape[:-2], 1, 3))
    waves = np.sin(2 * np.pi * arc[..., None] / wavelengths + phases) - np.sin(phases)
    directions = rng.normal(size=(*points.shape[:-2], 3, 3)) * (wavelengths / 31.0)[:, None]
    fade = np.clip(arc / 8.0, 0.0, 1.0)[..., None]
    return points + 0.5 * amplitude * fade * (waves @ directions)


def loop(points: np.ndarray, at: float, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Winds a vessel once around a circle in a random plane.

    Args:
      points: (samples, 3) mm.
      at: position of the loop along the curve, 0 to 1.
      radius: of the loop, mm.
      rng: source of the plane.

    Returns:
      Points of the same shape, within the loop up to three times as far apart as before.
    """
    arc = np.cumsum(spacing(points))
    along, across = np.linalg.qr(rng.normal(size=(3, 2)))[0].T
    # A turn spread over less than its own circumference closes on itself.
    turn = np.clip((arc - at * arc[-1]) / (4.0 * radius), 0.0, 1.0)[:, None]
    turn = turn * turn * (3 - 2 * turn)
    circle = np.sin(2 * np.pi * turn) * along + (1 - np.cos(2 * np.pi * turn)) * across
    return np.asarray(points + radius * circle)


def evenly(points: np.ndarray) -> np.ndarray:
    """As many points on the same curve, evenly spaced.

    Args:
      points: (samples, 3) mm.

    Returns:
      (samples, 3) mm.
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, arc[-1], len(points))
    return np.stack([np.interp(wanted, arc, coordinate) for coordinate in points.T], axis=1)
