"""What training minimises."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from angiopipe.recipe import Training


def cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, aneurysm_weight: float, positive_weights: np.ndarray | None = None
) -> tf.Tensor:
    """Sigmoid cross-entropy of each study, the weighted mean over the labels a model has.

    Args:
      labels: (batch, 22) uint8, in the order of `study.LABELS`.
      logits: (batch, 1) of `Aneurysm`, or (batch, 22).
      aneurysm_weight: weight of `Aneurysm`; every location has weight 1.
      positive_weights: (22,) float32, how much a label that is 1 counts against one that is 0; None
        is 1 for all.

    Returns:
      (batch,) float32.
    """
    outputs = logits.shape[-1]
    truth = tf.cast(labels[:, :outputs], tf.float32)
    if positive_weights is None:
        each = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
    else:
        each = tf.nn.weighted_cross_entropy_with_logits(truth, logits, positive_weights[:outputs])
    weights = tf.constant([aneurysm_weight] + [1.0] * (outputs - 1))
    return tf.linalg.matvec(each, weights) / tf.reduce_sum(weights)


def positive_weights(labels: np.ndarray, training: Training) -> np.ndarray | None:
    """What a recipe's `location_weighting` makes of the training split.

    Args:
      labels: (studies, 22) uint8, of the training split.
      training: the weighting and its cap.

    Returns:
      (22,) float32: for each location the most frequent location's count over its own, capped; 1 for
      `Aneurysm`. None without a weighting.
    """
    if training.location_weighting == "none":
        return None
    counts = labels[:, 1:].sum(axis=0, dtype=np.float64)
    weights = np.minimum(counts.max() / np.maximum(counts, 1), training.location_weight_cap)
    return np.concatenate([[1.0], weights]).astype(np.float32)
