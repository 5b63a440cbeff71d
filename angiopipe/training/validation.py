"""Loss and AUROC on the validation split, its batches shared among the workers."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from angiopipe.recipe import Training
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.training.input import batches, labels
from angiopipe.training.loss import cross_entropy
from angiopipe.training.predict import scorer
from angiopipe.training.strategy import share_of, summed


class Validation:
    """The validation split, ready to be scored after every epoch."""

    def __init__(
        self,
        model: keras.Model,
        manifest: ExamplesManifest,
        training: Training,
        strategy: tf.distribute.Strategy,
    ):
        self.score, self.strategy, self.share = scorer(model), strategy, share_of(strategy)
        self.batch_size, self.aneurysm_weight = training.batch_size, training.aneurysm_weight
        self.labels = labels(manifest, "validation")
        self.batches = batches(manifest, "validation", training.batch_size, self.share)
        self.outputs = model.output_shape[-1]

    def __call__(self) -> tuple[float, float]:
        """Mean loss, without location weights, and AUROC of `Aneurysm`; the same on every worker."""
        logits = self.logits()
        loss = float(tf.reduce_mean(cross_entropy(self.labels, tf.constant(logits), self.aneurysm_weight)))
        if not np.isfinite(logits).all():
            return float("nan"), float("nan")
        return loss, self.auroc(logits)

    def auroc(self, logits: np.ndarray) -> float:
        """Of `Aneurysm`, by logits in the order of the split's shards."""
        return float(roc_auc_score(self.labels[:, 0], logits[:, 0]))

    def logits(self) -> np.ndarray:
        """The model's logits of the split, (studies, 1) or (studies, 22) float32, on every worker alike."""
        logits = np.zeros((len(self.labels), self.outputs), np.float32)
        for i, batch in enumerate(self.batches):
            # The same batches as one worker would score, so the logits are the same to the last bit.
            first = (i * self.share.workers + self.share.worker) * self.batch_size
            logits[first : first + self.batch_size] = self.score(batch)
        return summed(self.strategy, logits)
