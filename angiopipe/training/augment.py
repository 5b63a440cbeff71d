"""Random changes to training studies that leave their labels true, or change them along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from angiopipe.recipe import Training
from angiopipe.study import MIRRORED_LABELS, MIRRORED_VIEWS, VIEWS

Batch = dict[str, tf.Tensor]
"""index (batch,) string; labels (batch, 22), present (batch, 8) and views (batch, *shape) uint8; where
the examples have clinical data, clinical (batch, 12) float32."""

_FRONTAL = np.array([view.projection == "A" for view in VIEWS])


def mirror(batch: Batch, chosen: tf.Tensor) -> Batch:
    """The mirror image of some patients.

    Left and right views and labels change places. The columns of antero-posterior views are
    flipped; lateral views look the same from either side, as they are drawn facing one way.

    Args:
      batch: views (batch, 8, rows, columns, channels), present (batch, 8), labels (batch, 22).
      chosen: (batch,) bool, the studies to mirror.
    """
    views = tf.gather(batch["views"], MIRRORED_VIEWS, axis=1)
    views = tf.where(_FRONTAL[:, None, None, None], tf.reverse(views, [3]), views)
    present = tf.gather(batch["present"], MIRRORED_VIEWS, axis=1)
    labels = tf.gather(batch["labels"], MIRRORED_LABELS, axis=1)
    return {
        **batch,
        "views": tf.where(chosen[:, None, None, None, None], views, batch["views"]),
        "present": tf.where(chosen[:, None], present, batch["present"]),
        "labels": tf.where(chosen[:, None], labels, batch["labels"]),
    }


def shift(views: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Displaces each view by whole pixels; what enters repeats the edge.

    Args:
      views: (batch, 8, rows, columns, channels) uint8.
      offsets: (batch, 8, 2) int32, pixels down and to the right.
    """
    rows, columns = views.shape[2:4]
    down = tf.clip_by_value(tf.range(rows) - offsets[..., :1], 0, rows - 1)
    right = tf.clip_by_value(tf.range(columns) - offsets[..., 1:], 0, columns - 1)
    views = tf.gather(views, down, axis=2, batch_dims=2)
    return tf.gather(views, right, axis=3, batch_dims=2)


def augmentation(training: Training, seed: int) -> Callable[[Batch, tf.Tensor, tf.Tensor, tf.Tensor], Batch]:
    """What a recipe does to its training studies.

    The random numbers are drawn for the global batch and each worker takes its own, so that they depend
    on seed, epoch, step and a study's place in the global batch alone.

    Returns:
      From a batch, its epoch, its step in the epoch and the place of its first study in the global
      batch to the batch augmented.
    """
    seeds = [
        np.random.SeedSequence([seed, e, 1]).generate_state(1)[0] >> 1 for e in range(training.epochs + 1)
    ]

    def augment(batch: Batch, epoch: tf.Tensor, step: tf.Tensor, first: tf.Tensor) -> Batch:
        studies, views = len(batch["views"]), batch["views"]
        at = tf.stack([tf.gather(tf.constant(seeds, tf.int64), epoch), step])
        if training.mirror:
            chosen = tf.random.stateless_uniform((training.batch_size,), at) < 0.5
            batch = mirror(batch, chosen[first : first + studies])
        if training.shift:
            furthest = round(training.shift * views.shape[2])
            shape = (training.batch_size, views.shape[1], 2)
            offsets = tf.random.stateless_uniform(shape, at, -furthest, furthest + 1, tf.int32)
            batch = {**batch, "views": shift(batch["views"], offsets[first : first + studies])}
        return batch

    return augment
