"""The training loop: epochs of distributed steps, validated, the best weights kept.

Keras 3's own `fit` fails under MultiWorkerMirroredStrategy with more than one worker, so the steps
are run here; the model, its layers and its optimizer are Keras's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from angiopipe.recipe import Training
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.training import optimizer as optimizers
from angiopipe.training.augment import augmented
from angiopipe.training.input import Batch, steps_per_epoch, training_batches
from angiopipe.training.loss import cross_entropy
from angiopipe.training.predict import Scorer, predict_with, scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; a line of the history.

    Attributes:
      epoch: counted from 1.
      loss: mean over the training batches, while the weights moved.
      validation_loss: after the epoch.
      validation_auroc: of `Aneurysm`, after the epoch.
      learning_rate: at its last step.
      seconds: for training and validating.
      studies_per_second: of training alone.
    """

    epoch: int
    loss: float
    validation_loss: float
    validation_auroc: float
    learning_rate: float
    seconds: float
    studies_per_second: float

    def merit(self) -> tuple[float, float]:
        """What the best epoch has most of: AUROC; small validation splits tie, and lower loss decides."""
        return self.validation_auroc, -self.validation_loss


@dataclass
class Outcome:
    """A finished run.

    Attributes:
      history: every epoch.
      weights: of the best epoch, in the order of `model.get_weights()`.
    """

    history: list[Epoch] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        return max(self.history, key=Epoch.merit)

    def add(self, epoch: Epoch, model: keras.Model) -> None:
        self.history.append(epoch)
        if self.best is epoch:
            self.weights = model.get_weights()


def fit(
    model: keras.Model,
    manifest: ExamplesManifest,
    training: Training,
    seed: int,
    strategy: tf.distribute.Strategy,
) -> Outcome:
    """Trains a model; it ends with the weights of its best epoch.

    Args:
      model: built in the scope of `strategy`.
      manifest: the examples.
      training: the recipe's training fields.
      seed: of the studies' order and their augmentation.
      strategy: how steps are spread over devices and workers.

    Raises:
      FloatingPointError: the loss left the finite numbers.
    """
    steps = steps_per_epoch(manifest, training.batch_size)
    with strategy.scope():
        optimizer = optimizers.build(training, steps * training.epochs)
        optimizer.build(model.trainable_variables)
    step, score, outcome = train_step(model, optimizer, training, strategy), scorer(model), Outcome()
    with _progress(steps * training.epochs) as bar:
        for number in range(1, training.epochs + 1):
            started = time.monotonic()
            bar.set_description(f"epoch {number}/{training.epochs}")
            dataset = training_batches(manifest, training.batch_size, seed, number)
            dataset = augmented(dataset, training, seed, number).map(_without_index)
            loss = _run_epoch(step, strategy.experimental_distribute_dataset(dataset), bar)
            trained = time.monotonic() - started
            validation_loss, validation_auroc = _validate(score, manifest, training)
            epoch = Epoch(
                epoch=number,
                loss=loss,
                validation_loss=validation_loss,
                validation_auroc=validation_auroc,
                learning_rate=float(optimizer.learning_rate),
                seconds=round(time.monotonic() - started, 3),
                studies_per_second=round(steps * training.batch_size / trained, 2),
            )
            outcome.add(epoch, model)
            _show(bar, epoch, training.epochs)
    model.set_weights(outcome.weights)
    return outcome


def _without_index(batch: Batch) -> Batch:
    """Accelerators hold no strings."""
    return {name: batch[name] for name in ("views", "present", "labels")}


def train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    training: Training,
    strategy: tf.distribute.Strategy,
) -> Callable[[Batch], tf.Tensor]:
    """The graph of one step: from a global batch to its mean loss, the weights updated.

    Each replica divides by the global batch's size, so that the sum over replicas, of losses and
    of gradients, is the mean over studies however they are spread.
    """

    def replica_step(batch: Batch) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model({"views": batch["views"], "present": batch["present"]}, training=True)
            each = cross_entropy(batch["labels"], logits, training.aneurysm_weight)
            loss = tf.reduce_sum(each) / training.batch_size
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    @tf.function
    def step(batch: Batch) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(replica_step, (batch,)), axis=None)

    return step


def _run_epoch(step: Callable[[Batch], tf.Tensor], dataset: Iterable[Batch], bar: tqdm) -> float:
    """Runs one epoch's steps; returns the mean of their losses.

    Raises:
      FloatingPointError: a loss is not finite.
    """
    losses = []
    for batch in dataset:
        losses.append(float(step(batch)))
        bar.update()
        _check_finite(losses[-1], f"{bar.desc}, step {len(losses)}")
    return float(np.mean(losses))


def _validate(score: Scorer, manifest: ExamplesManifest, training: Training) -> tuple[float, float]:
    """Loss and AUROC of `Aneurysm` on the validation split."""
    _, labels, logits = predict_with(score, manifest, "validation", training.batch_size)
    loss = float(tf.reduce_mean(cross_entropy(labels, tf.constant(logits), training.aneurysm_weight)))
    _check_finite(loss, "validation")
    return loss, float(roc_auc_score(labels[:, 0], logits[:, 0]))


def _check_finite(loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{when}: the loss is {loss}; lower training.learning_rate or set training.clipnorm"
        )


def _progress(steps: int) -> tqdm:
    """A progress bar on a terminal; a log gets a line an epoch instead."""
    return tqdm(total=steps, unit="step", dynamic_ncols=True, disable=None)


def _show(bar: tqdm, epoch: Epoch, epochs: int) -> None:
    figures = (
        f"loss {epoch.loss:.3f}, validation AUROC {epoch.validation_auroc:.3f}, "
        f"{epoch.studies_per_second:.1f} studies/s"
    )
    bar.set_postfix_str(figures)
    if bar.disable:
        log.info("epoch %d/%d: %s", epoch.epoch, epochs, figures)
