"""Loss, optimizer and learning rate do what the recipe's fields say."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from angiopipe.recipe import load_recipe
from angiopipe.training import optimizer
from angiopipe.training.loss import cross_entropy


def _training(*overrides):
    return load_recipe("octoview", [f"training.{override}" for override in overrides]).training


def _rates(training, steps):
    built = optimizer.build(training, steps)
    variable = keras.Variable(np.zeros(1, np.float32))
    rates = []
    for _ in range(steps):
        rates.append(float(built.learning_rate))
        built.apply([np.zeros(1, np.float32)], [variable])
    return rates


@pytest.mark.parametrize("outputs", [1, 22])
def test_cross_entropy_weighs_aneurysm_against_each_location(outputs):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (5, 22), np.uint8)
    logits = rng.normal(size=(5, outputs)).astype(np.float32)
    each = np.logaddexp(0, np.where(labels[:, :outputs] == 1, -logits, logits))
    expected = np.average(each, axis=1, weights=[3.0] + [1.0] * (outputs - 1))
    np.testing.assert_allclose(cross_entropy(labels, tf.constant(logits), 3.0), expected, rtol=1e-5)


def test_time_decay_is_that_of_the_field_s_docstring():
    rates = _rates(_training("schedule=time_decay", "learning_rate=0.1", "decay=0.5", "optimizer=adam"), 3)
    np.testing.assert_allclose(rates, [0.1 / (1 + 0.5 * step) for step in range(3)], rtol=1e-6)


def test_cosine_rises_then_falls_to_zero():
    rates = _rates(_training("schedule=cosine", "warmup=0.25", "learning_rate=0.1"), 9)
    assert rates[0] == 0.0
    assert max(rates) == rates[2] == pytest.approx(0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.01


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        (("schedule=constant",), [0.1, 0.1, 0.1]),
        (("schedule=time_decay", "decay=0.5"), [0.1 / 2, 0.1 / 2.5, 0.1 / 3]),
    ],
)
def test_every_schedule_warms_up(fields, after):
    training = _training(*fields, "warmup=0.4", "learning_rate=0.1", "optimizer=sgd")
    rates = _rates(training, 5)
    assert rates[0] == 0.0
    assert 0 < rates[1] < after[0]
    np.testing.assert_allclose(rates[2:], after, rtol=1e-6)


def test_constant_is_constant():
    assert set(_rates(_training("schedule=constant", "learning_rate=0.5", "optimizer=sgd"), 3)) == {0.5}


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_every_optimizer_gets_the_clipnorm(name, kind):
    built = optimizer.build(_training(f"optimizer={name}", "clipnorm=1.5"), 2)
    assert (type(built).__name__, built.clipnorm) == (kind, 1.5)
