"""The graph of the training steps: forward, backward, update, on every device of every worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from angiopipe.models.inputs import model_inputs
from angiopipe.recipe import Training
from angiopipe.training.augment import Batch
from angiopipe.training.loss import cross_entropy

Steps = Callable[[Iterator[Batch], tf.Tensor], tf.Tensor]
"""Runs some steps on an iterator's next batches; their losses, (steps,) float32."""


class Averages:
    """Exponential moving averages of a model's trainable weights.

    The decay rises from 0.1 to its value, so that the initial weights are soon forgotten.

    Source: `tf.train.ExponentialMovingAverage` with `num_updates`.
    """

    def __init__(self, model: keras.Model, decay: float):
        """Starts from the weights as they are; a decay of 0 keeps nothing."""
        self.decay = decay
        self.trained = model.trainable_variables if decay else []
        self.variables = [tf.Variable(keras.ops.convert_to_numpy(v), trainable=False) for v in self.trained]

    def update(self, strategy: tf.distribute.Strategy, updates: tf.Tensor) -> None:
        """Takes in the weights after update number `updates`; outside of the replicas."""
        done = tf.cast(updates, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + done) / (10.0 + done))
        for average, trained in zip(self.variables, self.trained, strict=True):
            strategy.extended.update(
                average, lambda a, v: a.assign(decay * a + (1.0 - decay) * v), args=(trained.value,)
            )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averages for weights within the block."""
        weights = [keras.ops.convert_to_numpy(v) for v in self.trained]
        for average, trained in zip(self.variables, self.trained, strict=True):
            trained.assign(average.numpy())
        yield
        for weight, trained in zip(weights, self.trained, strict=True):
            trained.assign(weight)


def training_steps(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    averages: Averages,
    training: Training,
    strategy: tf.distribute.Strategy,
    positive_weights: np.ndarray | None = None,
) -> Steps:
    """Steps from global batches to mean losses, the weights updated.

    Each replica divides by the global batch's size, so that the sum over replicas, of losses and of
    gradients, is the mean over studies however they are spread.
    """
    gradients_of = _gradients(model, optimizer, training, positive_weights)

    def replica_step(batch: Batch) -> tf.Tensor:
        loss, gradients = gradients_of(batch)
        gradients = _whole(gradients, optimizer, training)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    @tf.function
    def steps(batches: Iterator[Batch], count: tf.Tensor) -> tf.Tensor:
        losses = tf.TensorArray(tf.float32, count, element_shape=())
        for i in tf.range(count):
            each = strategy.run(replica_step, (next(batches),))
            if averages.decay:
                averages.update(strategy, optimizer.iterations.value)
            losses = losses.write(i, strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None))
        return losses.stack()

    return steps


def _gradients(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    training: Training,
    positive_weights: np.ndarray | None,
) -> Callable[[Batch], tuple[tf.Tensor, list[tf.Tensor]]]:
    """From a replica's batch to its part of the loss and of the gradients (scaled, for float16)."""

    def of_part(batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = model(model_inputs(model, batch), training=True)
            each = cross_entropy(batch["labels"], logits, training.aneurysm_weight, positive_weights)
            loss = tf.reduce_sum(each) / training.batch_size
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables, unconnected_gradients="zero")
        # Those of a gathered weight come sparse.
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    # Collectives cannot be compiled for a CPU, so XLA ends before the update.
    part = tf.function(of_part, jit_compile=True) if training.xla else of_part
    if training.accumulate == 1:
        return part

    def of_batch(batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        size = training.batch_size // replicas // training.accumulate

        def add(i: tf.Tensor, loss: tf.Tensor, gradients: list[tf.Tensor]) -> tuple:
            more, others = part({name: x[i * size : (i + 1) * size] for name, x in batch.items()})
            return i + 1, loss + more, [g + o for g, o in zip(gradients, others, strict=True)]

        zeros = [tf.zeros(v.shape, v.dtype) for v in model.trainable_variables]
        _, loss, gradients = tf.while_loop(
            lambda i, *_: i < training.accumulate, add, (0, 0.0, zeros), parallel_iterations=1
        )
        return loss, gradients

    return of_batch


def _whole(
    gradients: list[tf.Tensor], optimizer: keras.optimizers.Optimizer, training: Training
) -> list[tf.Tensor]:
    """Gradients that Keras may clip, and test for float16's overflow, before it sums them over replicas.

    Keras does both to each replica's part. So the parts are summed and clipped here, and every replica
    hands on an equal part of the result.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1 or (training.clipnorm is None and training.precision != "mixed_float16"):
        return gradients
    gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    if training.clipnorm is not None:
        most = optimizer.scale_loss(tf.constant(training.clipnorm))
        gradients = [tf.clip_by_norm(gradient, most) for gradient in gradients]
    return [gradient / replicas for gradient in gradients]


def agreement(model: keras.Model, strategy: tf.distribute.Strategy) -> Callable[[], None]:
    """What makes every replica's batch statistics the mean over replicas.

    Keras lets each replica keep its own moving means and variances.
    """
    statistics = [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]
    if strategy.num_replicas_in_sync == 1 or not statistics:
        return lambda: None

    @tf.function
    def means() -> list[tf.Tensor]:
        own = strategy.run(lambda: [tf.identity(v.value) for v in statistics])
        return [strategy.reduce(tf.distribute.ReduceOp.MEAN, each, axis=None) for each in own]

    def agree() -> None:
        for variable, mean in zip(statistics, means(), strict=True):
            variable.assign(mean)

    return agree
