"""The pooling's two numbers for pretrained evidence, so that a cohort's training starts from probabilities."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar

from angiopipe.models.octoview import any_of
from angiopipe.pretraining.views import PretrainingViews
from angiopipe.study import LABELS, VIEWS

SHARPNESSES = (0.5, 1.0, 2.0, 4.0)
STUDIES = 200
"""Two numbers need no more."""


def settle(network: keras.Model, source: PretrainingViews) -> float:
    """Sets the pooling's sharpness and bias to those of least cross-entropy on synthetic studies.

    Pretraining never pools: left alone, the bias would be off by several units, and hundreds of steps
    would go by before a cohort's training moved anything else.

    Args:
      network: an octoview with pretrained evidence.
      source: studies; the first ones are used.

    Returns:
      The cross-entropy, the mean of `Aneurysm`'s and of the locations' mean.
    """
    evidence = keras.Model(network.input, network.get_layer("evidence").output)
    pooled: dict[float, list[np.ndarray]] = {sharpness: [] for sharpness in SHARPNESSES}
    present = np.ones((1, len(VIEWS)), np.uint8)
    for views in source.views[:STUDIES]:
        maps = evidence({"views": views[None, ..., None], "present": present})[0]
        for sharpness, values in pooled.items():
            values.append(tf.reduce_logsumexp(sharpness * maps, (0, 1, 2)).numpy() / sharpness)
    labels = study_labels(source.sacs[:STUDIES])
    fits = {
        sharpness: minimize_scalar(lambda bias, v=values: _entropy(labels, np.stack(v) + bias), (-10.0, 10.0))
        for sharpness, values in pooled.items()
    }
    best = min(SHARPNESSES, key=lambda sharpness: fits[sharpness].fun)
    pool = network.get_layer("pool")
    pool.sharpness.assign(np.log(np.expm1(best)))
    pool.bias.assign(fits[best].x)
    return float(fits[best].fun)


def study_labels(sacs: np.ndarray) -> np.ndarray:
    """(studies, 22) float32 labels of what any view shows."""
    labels = np.zeros((len(sacs), len(LABELS)), np.float32)
    for row, study in zip(labels, sacs, strict=True):
        row[np.unique(study)] = 1.0
        row[0] = row[1:].any()
    return labels


def _entropy(labels: np.ndarray, locations: np.ndarray) -> float:
    aneurysm = np.asarray(any_of(tf.constant(locations, tf.float32)))
    each = tf.nn.sigmoid_cross_entropy_with_logits(
        labels, np.concatenate([aneurysm, locations], axis=1).astype(np.float32)
    )
    return float(tf.reduce_mean(each[:, 0]) + tf.reduce_mean(each[:, 1:])) / 2
