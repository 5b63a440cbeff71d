"""The branches beyond the named arteries: the middle cerebral fan and the cortical twigs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from angiopipe.cohort.synthetic.anatomy import BRAIN_CENTRE, BRAIN_SEMI_AXES, CORTICAL, FAN
from angiopipe.cohort.synthetic.curves import bend, evenly, loop, samples_per_interval, spacing, spline
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.cohort.synthetic.tree import Artery, Body, Tubes, joined

LOWEST_UPPER_DEGREES = 190
"""Branches beyond this direction run down over the temporal lobe."""
FAN_REACH_MM = 60.0
"""The middle cerebral territory ends before the occipital pole."""


def grow_distal(
    body: Body, arteries: Mapping[str, Artery], rng: np.random.Generator
) -> dict[str, list[Tubes]]:
    """Grows what hangs from the named arteries.

    Args:
      body: the patient.
      arteries: the named arteries, `tree.grow_arteries`.
      rng: source of the branches.

    Returns:
      For each territory the branches it fills.
    """
    hosts: dict[str, list[Tubes]] = {}
    branches: dict[str, list[Tubes]] = {}
    for side in "LR":
        fan = _fan(side, arteries, body, rng)
        branches[f"{side}_ICA"] = [fan]
        hosts[f"{side}_ICA"] = [_thin_part(fan)]
        for name in CORTICAL:
            host = arteries[f"{side}_{name}"]
            hosts.setdefault(host.territory, []).append(_thin_part(host.tubes))
    for territory, tubes in hosts.items():
        branches.setdefault(territory, []).extend(_twigs(joined(tubes), body, rng))
    return branches


def _thin_part(host: Tubes) -> Tubes:
    """`host` where it is thin enough to give off twigs; elsewhere it counts for no length."""
    return host._replace(lengths=host.lengths * (host.radii < 0.5 * host.radii.max() + 0.35))


def _fan(side: str, arteries: Mapping[str, Artery], body: Body, rng: np.random.Generator) -> Tubes:
    """The middle cerebral branches: over the insula, out of the Sylvian fissure, along the cortex."""
    roots, degrees, starts = [], [], []
    for degree, trunk, fraction in FAN:
        tubes = arteries[f"{side}_{trunk}"].tubes
        leaves = round(np.clip(fraction + rng.normal(0.0, 0.06), 0.0, 1.0) * (len(tubes.radii) - 1))
        roots.append(tubes.points[leaves])
        degrees.append(degree + rng.normal(0.0, 5.0))
        starts.append(tubes.radii[leaves] * rng.uniform(0.6, 0.95))
    landmarks = np.stack(
        [_fan_landmarks(root, degree, side, body, rng) for root, degree in zip(roots, degrees, strict=True)]
    )
    points = bend(spline(landmarks, samples_per_interval(landmarks)), 1.2 * body.settings.tortuosity, rng)
    points = np.stack([_perhaps_loop(branch, body.settings, rng) for branch in points])
    thick = np.array(starts)[:, None]
    radii = thick + (0.35 * body.calibre - thick) * np.linspace(0.0, 1.0, points.shape[1]) ** 0.8
    lengths = spacing(points)
    # Inside its trunk's lumen a branch adds no contrast of its own.
    lengths[np.cumsum(lengths, axis=1) < thick] = 0.0
    return _flattened(points, radii, lengths)


def _fan_landmarks(
    root: np.ndarray, degree: float, side: str, body: Body, rng: np.random.Generator
) -> np.ndarray:
    """(8, 3) mm landmarks of one middle cerebral branch."""
    outward = 1.0 if side == "L" else -1.0
    heading = np.array([0.0, -np.cos(np.radians(degree)), np.sin(np.radians(degree))])
    insula = rng.uniform(4.0, 7.0) if degree > LOWEST_UPPER_DEGREES else rng.uniform(8.0, 14.0)
    cortex = np.linspace(insula + 5.0, max(_reach(root, heading, body), insula + 16.0), 3)
    distances = np.concatenate([[0.0, 0.5 * insula, insula, insula + 1.0, insula - 2.5], cortex])
    points = root + np.outer(distances, heading)
    points[1:5, 0] = outward * np.array([40.0, 41.0, 48.0, 57.0]) * body.head[0]
    points[5:, 0] = outward * _surface(points[5:], body)
    points[1:] += rng.normal(0.0, 1.3, size=(7, 3)) * body.settings.wander_mm
    return points


def _reach(root: np.ndarray, heading: np.ndarray, body: Body) -> float:
    """How far (mm) a branch may go from `root` in the sagittal plane and stay on the convexity."""
    centre, axes = np.array(BRAIN_CENTRE), np.array(BRAIN_SEMI_AXES) * body.head
    steps = np.arange(16.0, FAN_REACH_MM, 1.0)
    places = (root + np.outer(steps, heading) - centre)[:, 1:] / axes[1:]
    inside = np.square(places).sum(axis=1) < 0.86
    return float(steps[inside].max(initial=16.0))


def _surface(points: np.ndarray, body: Body) -> np.ndarray:
    """Distance (mm) of the brain's surface from the midline beside each point."""
    centre, axes = np.array(BRAIN_CENTRE), np.array(BRAIN_SEMI_AXES) * body.head
    left = 1.0 - np.square((points - centre)[:, 1:] / axes[1:]).sum(axis=1)
    return np.asarray(axes[0] * np.sqrt(np.clip(left, 0.04, 1.0)))


def _perhaps_loop(points: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= settings.loop_share:
        return points
    return evenly(loop(points, rng.uniform(0.1, 0.6), rng.uniform(*settings.loop_radius_mm) * 0.8, rng))


def _twigs(host: Tubes, body: Body, rng: np.random.Generator) -> list[Tubes]:
    """Two generations of side branches of `host`."""
    first = _sprout(host, body, body.settings.twig_spacing_mm, body.settings.twig_length_mm, rng)
    if first is None:
        return []
    shorter = (body.settings.twig_length_mm[0] / 2, body.settings.twig_length_mm[1] / 2)
    second = _sprout(first, body, 2.0 * body.settings.twig_spacing_mm, shorter, rng)
    return [first] if second is None else [first, second]


def _sprout(
    host: Tubes, body: Body, every_mm: float, reach_mm: tuple[float, float], rng: np.random.Generator
) -> Tubes | None:
    """Side branches of `host`, about one `every_mm`, or None where it is too short for any."""
    starts = np.flatnonzero(rng.random(len(host.lengths)) < host.lengths / every_mm)
    starts = starts[(starts > 0) & (host.radii[starts] > 0.2)]
    # Samples of several branches lie end to end: a step longer than any spacing is a change of branch.
    starts = starts[np.linalg.norm(host.points[starts] - host.points[starts - 1], axis=1) < 3.0]
    if not len(starts):
        return None
    ahead = host.points[starts] - host.points[starts - 1]
    landmarks = _ramble(host.points[starts], ahead, rng.uniform(*reach_mm, len(starts)), body, rng)
    points = bend(spline(landmarks, samples_per_interval(landmarks)), 0.8 * body.settings.tortuosity, rng)
    thick = host.radii[starts] * rng.uniform(0.5, 0.8, len(starts))
    radii = thick[:, None] * np.linspace(1.0, 0.6, points.shape[1])
    return _flattened(points, np.maximum(radii, 0.15), spacing(points))


def _ramble(
    starts: np.ndarray, ahead: np.ndarray, reach: np.ndarray, body: Body, rng: np.random.Generator
) -> np.ndarray:
    """(twigs, 5, 3) mm landmarks that leave sideways and wander, held inside the brain."""
    heading = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-6)
    heading = heading + rng.normal(0.0, 0.75, size=heading.shape)
    centre, axes = np.array(BRAIN_CENTRE), np.array(BRAIN_SEMI_AXES) * body.head
    places = [starts]
    for _ in range(4):
        heading = heading / np.linalg.norm(heading, axis=1, keepdims=True)
        places.append(places[-1] + reach[:, None] / 4 * heading)
        heading = heading + rng.normal(0.0, 0.4, size=heading.shape)
    landmarks = np.stack(places, axis=1)
    out = np.linalg.norm((landmarks[:, 1:] - centre) / axes, axis=2, keepdims=True)
    landmarks[:, 1:] = centre + (landmarks[:, 1:] - centre) / np.maximum(out, 1.0)
    return landmarks


def _flattened(points: np.ndarray, radii: np.ndarray, lengths: np.ndarray) -> Tubes:
    return Tubes(points.reshape(-1, 3), radii.reshape(-1), lengths.reshape(-1))
