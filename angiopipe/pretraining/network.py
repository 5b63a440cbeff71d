"""The network that is pretrained, its loss, and how it becomes an octoview."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from angiopipe.models.octoview import Attenuation, Evidence, Scale, encode
from angiopipe.recipe import Octoview

RARE = -5.0
"""Log odds of a sac at a position, where learning starts: one position in 150."""

FOCUS = 2.0
WEIGHT = 0.75
"""Of the focal loss, and of positions with a sac in it; Lin et al. 2017 (arXiv:1708.02002)."""

LOCATION_SHARE = 0.3
"""How much naming the location counts for beside finding the sac."""


class PretrainingNetwork(keras.Model):
    """octoview's encoder and its evidence, for single views.

    It is normalised over the batch where it starts at random, and not where it goes on from weights,
    into which the normalisation was folded.

    Args:
      model: the encoder's shape.
      size: rows and columns of a whole view, pixels.
      window: rows and columns of what is cut from it to be learned from, pixels; 0 for all of it.
      normalised: whether it is.
    """

    def __init__(self, model: Octoview, size: int, window: int = 0, normalised: bool = True):
        # The evidence is summed in float32 whatever the encoder computes in.
        super().__init__(dtype="float32")
        view = keras.Input((window or size, window or size, 1), dtype="uint8")
        self.encoder = keras.Model(view, encode(Attenuation()(view), model, normalised))
        self.evidence = Evidence()
        positions = -(-size // 2 ** len(model.widths))
        self.evidence.build((1, 8, positions, positions, model.widths[-1]))
        self.evidence.anything.bias.assign([RARE])

    def call(
        self, views: Any, kinds: Any, corners: Any = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log odds of a sac (batch, h, w), and log probabilities of its location (batch, h, w, 21)."""
        return self.evidence.of_views(self.encoder(views, training=training), kinds, corners)


def loss(found: tf.Tensor, which: tf.Tensor, sacs: tf.Tensor, share: float = 1.0) -> tf.Tensor:
    """Focal loss of finding sacs and cross-entropy of naming them, per position with a sac.

    Args:
      found: (batch, h, w) log odds of a sac.
      which: (batch, h, w, 21) log probabilities of its location.
      sacs: (batch, h, w) uint8, as in `PretrainingViews`.
      share: of a view's positions that are in its window; those without a sac count for as many more,
        so that windows teach the same odds as whole views.

    Returns:
      () float32.
    """
    shown = tf.cast(sacs > 0, tf.float32)
    each = tf.nn.sigmoid_cross_entropy_with_logits(shown, found)
    missed = 1.0 - tf.exp(-each)  # one minus the probability given to the truth
    weights = tf.where(sacs > 0, WEIGHT, (1.0 - WEIGHT) / share)
    named = tf.gather(which, tf.cast(tf.maximum(sacs, 1), tf.int32) - 1, batch_dims=3)
    total = tf.reduce_sum(weights * missed**FOCUS * each) - LOCATION_SHARE * tf.reduce_sum(shown * named)
    return total / tf.maximum(tf.reduce_sum(shown), 1.0)


def take_over(started: PretrainingNetwork, network: keras.Model) -> None:
    """Gives a network that is not normalised the weights of an octoview of the same shape."""
    for (own, _), (other, _) in zip(_convolved(started.encoder), _convolved(network), strict=True):
        own.set_weights(other.get_weights())
    for own, other in zip(_scales(started.encoder), _scales(network), strict=True):
        own.set_weights(other.get_weights())
    started.evidence.set_weights(network.get_layer("evidence").get_weights())


def hand_over(trained: PretrainingNetwork, network: keras.Model) -> None:
    """Gives an octoview of the same shape the pretrained weights, batch normalisation folded into its convolutions."""
    for (own, norm), (target, _) in zip(_convolved(trained.encoder), _convolved(network), strict=True):
        target.set_weights(_folded(own, norm) if norm else own.get_weights())
    scales = _scales(trained.encoder)
    for position, target in enumerate(_scales(network)):
        target.gamma.assign(scales[position].gamma if scales else np.ones(target.gamma.shape))
    network.get_layer("evidence").set_weights(trained.evidence.get_weights())


def _folded(convolution: keras.layers.Conv2D, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    factor = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    return [
        np.asarray(convolution.kernel) * factor,
        np.asarray(norm.beta) - np.asarray(norm.moving_mean) * factor,
    ]


def _convolved(
    network: keras.Model,
) -> list[tuple[keras.layers.Conv2D, keras.layers.BatchNormalization | None]]:
    """A network's convolutions in order, each with the normalisation that follows it."""
    kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization)
    layers = [layer for layer in network.layers if isinstance(layer, kinds)]
    normalised = any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    return (
        list(zip(layers[::2], layers[1::2], strict=True))
        if normalised
        else [(layer, None) for layer in layers]
    )


def _scales(network: keras.Model) -> list[Scale]:
    return [layer for layer in network.layers if isinstance(layer, Scale)]
