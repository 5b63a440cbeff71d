"""What training minimises."""

from __future__ import annotations

import tensorflow as tf


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, aneurysm_weight: float) -> tf.Tensor:
    """Sigmoid cross-entropy of each study, the weighted mean over the labels a model has.

    Args:
      labels: (batch, 22) uint8, in the order of `study.LABELS`.
      logits: (batch, 1) of `Aneurysm`, or (batch, 22).
      aneurysm_weight: weight of `Aneurysm`; every location has weight 1.

    Returns:
      (batch,) float32.
    """
    outputs = logits.shape[-1]
    each = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels[:, :outputs], tf.float32), logits)
    weights = tf.constant([aneurysm_weight] + [1.0] * (outputs - 1))
    return tf.linalg.matvec(each, weights) / tf.reduce_sum(weights)
