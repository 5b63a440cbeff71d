"""Batches of single views for pretraining: as many with a sac as without, shifted and re-exposed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from angiopipe.models.octoview import BACKGROUND, FLIPPED, MIRRORED_LOCATIONS, RIGHT
from angiopipe.pretraining.views import PretrainingViews

POSITIVE_SHARE = 0.56
"""Of a batch's views; a few more than half, since a view has far more positions without a sac."""

FURTHEST_SHIFT = 4
"""Positions."""

EXPOSURES = (0.8, 1.2)
"""Factors of the attenuation."""

_SEEN_FROM_LEFT = np.concatenate([[0], MIRRORED_LOCATIONS + 1]).astype(np.uint8)


class ViewBatch(NamedTuple):
    """Views as the encoder sees them: those of the right side as mirrored left ones.

    Attributes:
      views: (batch, size, size, 1) uint8.
      sacs: (batch, positions, positions) uint8, as in `PretrainingViews`, locations mirrored too.
      kinds: (batch,) int32, which of the four left views each is or mirrors.
      corners: (batch, 2) int32, the row and column of the view's position where each window begins.
    """

    views: np.ndarray
    sacs: np.ndarray
    kinds: np.ndarray
    corners: np.ndarray


def view_batches(
    source: PretrainingViews, steps: int, batch_size: int, seed: int, window: int = 0
) -> Iterator[ViewBatch]:
    """Random batches; which ones depends on `seed` alone.

    Args:
      source: the studies.
      steps: number of batches.
      batch_size: views a batch.
      seed: of the choice and the changes.
      window: rows and columns cut from each view, positions; it holds one of the view's sacs, where
        there are any. 0 for whole views.
    """
    shown = np.stack([study.any((1, 2)) for study in source.sacs])
    with_sac, without = np.argwhere(shown), np.argwhere(~shown)
    rng = np.random.default_rng(seed)
    positives = round(POSITIVE_SHARE * batch_size)
    for _ in range(steps):
        chosen = [
            *with_sac[rng.integers(len(with_sac), size=positives)],
            *without[rng.integers(len(without), size=batch_size - positives)],
        ]
        made = (_one(source, study, view, window or source.sacs.shape[2], rng) for study, view in chosen)
        views, sacs, kinds, corners = zip(*made, strict=True)
        yield ViewBatch(
            np.stack(views)[..., None], np.stack(sacs), np.array(kinds, np.int32), np.array(corners, np.int32)
        )


def _one(
    source: PretrainingViews, study: int, view: int, window: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    picture, sacs = source.views[study, view], source.sacs[study, view]
    if FLIPPED[view]:
        picture, sacs = picture[:, ::-1], sacs[:, ::-1]
    if RIGHT[view]:
        sacs = _SEEN_FROM_LEFT[sacs]
    stride = picture.shape[0] // sacs.shape[0]
    shift = rng.integers(-FURTHEST_SHIFT, FURTHEST_SHIFT + 1, 2)
    picture, sacs = np.roll(picture, stride * shift, (0, 1)), np.roll(sacs, shift, (0, 1))
    corner = _corner(sacs, window, rng)
    (top, left), (bottom, right) = corner, corner + window
    picture = picture[stride * top : stride * bottom, stride * left : stride * right]
    sacs = sacs[top:bottom, left:right]
    levels = BACKGROUND * (np.maximum(np.arange(256), 4) / BACKGROUND) ** rng.uniform(*EXPOSURES)
    seen = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[picture]
    return seen, sacs, view % (len(RIGHT) // 2), corner


def _corner(sacs: np.ndarray, window: int, rng: np.random.Generator) -> np.ndarray:
    """The row and column where a window begins: anywhere, or anywhere with some position of a sac within."""
    last = sacs.shape[0] - window
    shown = np.argwhere(sacs)
    if len(shown) == 0:
        return rng.integers(0, last + 1, 2)
    held = shown[rng.integers(len(shown))]
    return rng.integers(np.maximum(held - window + 1, 0), np.minimum(held, last) + 1)
