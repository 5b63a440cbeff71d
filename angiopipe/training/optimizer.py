"""The recipe's update rule and learning rate as Keras objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from angiopipe.recipe import Training


def build(training: Training, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a training run of `steps` steps in all; float16 gets a dynamic loss scale."""
    optimizer = _update_rule(training, steps)
    if training.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _update_rule(training: Training, steps: int) -> keras.optimizers.Optimizer:
    rate = _schedule(training, steps)
    if training.optimizer == "sgd":
        return keras.optimizers.SGD(rate, clipnorm=training.clipnorm)
    if training.optimizer == "adam":
        return keras.optimizers.Adam(rate, clipnorm=training.clipnorm)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=training.weight_decay, clipnorm=training.clipnorm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "prior", "sharpness"])
    return optimizer


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose first steps rise from zero, in a straight line, to what it says of them."""

    def __init__(self, schedule: Callable[[Any], Any], steps: int):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: Any) -> Any:
        return self.schedule(step) * keras.ops.minimum(1.0, keras.ops.cast(step, "float32") / self.steps)


def _schedule(training: Training, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    schedules = keras.optimizers.schedules
    rate, warmup = training.learning_rate, round(training.warmup * steps)
    if training.schedule == "cosine":
        if not warmup:
            return schedules.CosineDecay(rate, steps)
        return schedules.CosineDecay(0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup)
    if training.schedule == "time_decay":
        decay = schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=training.decay)
        return Warmup(decay, warmup) if warmup else decay
    return Warmup(lambda _: rate, warmup) if warmup else rate
