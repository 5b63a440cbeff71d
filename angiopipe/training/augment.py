"""Random changes to training studies that leave their labels true, or change them along."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from angiopipe.recipe import Training
from angiopipe.study import MIRRORED_LABELS, MIRRORED_VIEWS, VIEWS
from angiopipe.training.input import Batch

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


def augmented(dataset: tf.data.Dataset, training: Training, seed: int, epoch: int) -> tf.data.Dataset:
    """Augments one epoch's batches as the recipe says; what happens depends on `seed` and `epoch` alone."""
    if not (training.mirror or training.shift):
        return dataset
    start = np.random.SeedSequence([seed, epoch, 1]).generate_state(1)[0] >> 1

    def change(step: tf.Tensor, batch: Batch) -> Batch:
        at = tf.stack([tf.constant(start, tf.int64), step])
        if training.mirror:
            batch = mirror(batch, tf.random.stateless_uniform(tf.shape(batch["index"]), at) < 0.5)
        if training.shift:
            furthest = round(training.shift * batch["views"].shape[2])
            offsets = tf.random.stateless_uniform(
                (*batch["views"].shape[:2], 2), at, -furthest, furthest + 1, tf.int32
            )
            batch = {**batch, "views": shift(batch["views"], offsets)}
        return batch

    return dataset.enumerate().map(change, tf.data.AUTOTUNE).prefetch(2)
