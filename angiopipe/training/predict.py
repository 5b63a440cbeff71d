"""A model's logits over one split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from angiopipe.models.inputs import model_inputs
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.training.input import batches

Scorer = Callable[[Mapping[str, Any]], tf.Tensor]
"""From a batch, of which a model takes what `models.inputs.study_inputs` says, to float32 logits."""


def scorer(model: keras.Model) -> Scorer:
    """The model's forward pass as a graph, traced once for batches of any size."""

    @tf.function(reduce_retracing=True)
    def score(study: dict[str, tf.Tensor]) -> tf.Tensor:
        return model(study, training=False)

    return lambda batch: score({name: tf.constant(x) for name, x in model_inputs(model, batch).items()})


def predict(
    model: keras.Model, manifest: ExamplesManifest, split: str, batch_size: int = 8
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Scores every study of a split, in the order of its shards.

    Args:
      model: from `models.build` or `models.load`.
      manifest: the examples, made with the model's own preprocessing.
      split: train, validation or test.
      batch_size: studies at once; it does not change the answers.

    Returns:
      indices: of the studies.
      labels: (studies, 22) uint8.
      logits: (studies, 1) or (studies, 22) float32.

    Raises:
      ValueError: there is no such split, or a shard is missing or truncated.
    """
    return predict_with(scorer(model), manifest, split, batch_size)


def predict_with(
    score: Scorer, manifest: ExamplesManifest, split: str, batch_size: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """`predict` with a graph that is kept between calls."""
    indices: list[str] = []
    labels, logits = [], []
    for batch in batches(manifest, split, batch_size):
        indices += [index.decode() for index in batch["index"].numpy()]
        labels.append(batch["labels"].numpy())
        logits.append(score(batch).numpy())
    return indices, np.concatenate(labels), np.concatenate(logits)
