"""From more than 8 bits to 8: which levels count as the picture's own.

A burned-in block or a dead pixel at the end of the range must not squeeze all else into a few levels.
Vessels are few and dark, so much is left out at the light end only.
"""

from __future__ import annotations

import numpy as np

STRAY_SHARE = 0.05
"""At most this share of a picture's pixels may be left out of its scale: text and marks burned into a corner."""

SQUEEZED = 4
"""They are left out where all others would have a quarter of the range or less."""

_FEWEST_BITS = 4
"""A picture of fewer is mostly black, and what seems stray may be all there is."""


def used_bits(view: np.ndarray) -> int:
    """The bits that a picture's levels need, but for stray pixels at the upper end.

    Levels are counted by the bits they need, from the highest down, as long as they are few together; a
    gap ends it, as what lies beneath is the picture.

    Args:
      view: (rows, columns[, 3]) uint16.

    Returns:
      0 to 16.
    """
    below = np.concatenate([[0], np.cumsum(np.bincount(view.ravel(), minlength=1 << 16))])
    counts = np.diff(below[[0, *(1 << np.arange(17))]])
    highest = bits = int(np.flatnonzero(counts).max(initial=0))
    strays = 0
    while bits and strays + counts[bits] <= STRAY_SHARE * view.size and (counts[bits] or not strays):
        strays += counts[bits]
        bits -= 1
    while bits and not counts[bits]:
        bits -= 1
    return bits if bits >= _FEWEST_BITS and 1 << (highest - bits) >= SQUEEZED else highest


def span(levels: np.ndarray) -> tuple[float, float]:
    """The darkest and the lightest of a picture's levels, but for stray pixels.

    At the light end the lightest few are left out where they squeeze the others; at the dark end, where
    vessels are, only what a gap of three quarters of the range parts from all else.

    Args:
      levels: (n,) float32, n of 1 or more.
    """
    ordered = np.sort(levels)
    low, high = float(ordered[0]), float(ordered[-1])
    gaps = np.diff(ordered)
    gap = int(np.argmax(gaps)) if len(gaps) else 0
    few = STRAY_SHARE * len(ordered)
    if len(gaps) and gap < few and float(gaps[gap]) * SQUEEZED >= (high - low) * (SQUEEZED - 1) > 0:
        low = float(ordered[gap + 1])
    most = float(ordered[max(0, len(ordered) - 1 - int(few))])
    if (most - low) * SQUEEZED <= high - low and most > low:
        high = float(ordered[np.searchsorted(ordered, low + 2 * (most - low), "right") - 1])
    return low, high
