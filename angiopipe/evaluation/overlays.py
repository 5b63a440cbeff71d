"""What a model saw where: its maps of evidence as pictures to lie over the views."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import cv2
import numpy as np

from angiopipe.records.schema import ExampleRecord

if TYPE_CHECKING:
    import keras

COLOUR = (255, 176, 0)
"""Amber: neither in an angiogram nor, for most eyes, like any of its greys."""

OPAQUE = 0.75
"""Opacity of the strongest evidence; the vessel under it must stay visible."""

FAINTEST = 0.02
"""Weaker evidence, as a share of the strongest, is left out."""


def evidence_maps(evidence: keras.Model, record: ExampleRecord) -> np.ndarray:
    """How strong the evidence of any aneurysm is at each position, as a share of the study's strongest.

    Args:
      evidence: from `models.evidence`.
      record: one study.

    Returns:
      (8, h, w) float32 from 0 to 1, zeros where a view is absent. The maps are of log evidence, so the
      share is the exponential of the difference to the maximum over the present views.
    """
    inputs = {"views": record.views[None], "present": record.present[None]}
    logits = np.asarray(evidence(inputs, training=False))[0, ..., 0]
    there = record.present.astype(bool)
    shares = np.zeros(logits.shape, np.float32)
    if there.any():
        shares[there] = np.exp(logits[there] - logits[there].max())
    return shares


def overlay(shares: np.ndarray) -> str:
    """A map as a data URI of a transparent PNG of its own few pixels; the browser stretches it.

    Args:
      shares: (h, w) from 0 to 1.

    Returns:
      The URI; empty where nothing would be seen.
    """
    visible = np.where(shares >= FAINTEST, shares, 0)
    if not visible.any():
        return ""
    # The square root lets half the strongest evidence be seen as more than a shade.
    alpha = np.round(255 * OPAQUE * np.sqrt(visible)).astype(np.uint8)
    blue_green_red = np.broadcast_to(np.array(COLOUR[::-1], np.uint8), (*alpha.shape, 3))
    _, png = cv2.imencode(".png", np.dstack([blue_green_red, alpha]))
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode("ascii")


def overlays(evidence: keras.Model | None, record: ExampleRecord) -> tuple[str, ...]:
    """A picture for each of a study's views; all empty for a model without maps."""
    if evidence is None:
        return ("",) * len(record.views)
    return tuple(overlay(shares) for shares in evidence_maps(evidence, record))
