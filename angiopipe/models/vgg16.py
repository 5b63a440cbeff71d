"""VGG16 over the eight grey views stacked as channels, one `Aneurysm` logit.

Source: Simonyan and Zisserman 2014, table 1, configuration D; the stacking, and the dense layer of
1000 that stays before the output, are the K-IUM competition's baseline.
"""

from __future__ import annotations

import keras

from angiopipe.models import inputs
from angiopipe.recipe import Vgg16


def build(model: Vgg16, shape: tuple[int, int, int, int]) -> keras.Model:
    """An untrained network.

    Args:
      model: depths, widths and dense layers.
      shape: (views, rows, columns, channels) of an example.

    Returns:
      A model from `inputs.study_inputs` to (batch, 1) float32 logits of `Aneurysm`.
    """
    study = inputs.study_inputs(shape)
    views, rows, columns, channels = shape
    x = inputs.present_only(study["views"], study["present"])
    x = keras.layers.Permute((2, 3, 1, 4))(x)
    x = keras.layers.Reshape((rows, columns, views * channels))(x)
    x = keras.layers.Rescaling(1 / 255)(x)
    for depth, width in zip(model.depths, model.widths, strict=True):
        for _ in range(depth):
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    for width in model.dense:
        x = keras.layers.Dense(width, activation="relu")(x)
    return keras.Model(study, inputs.logits(x, 1), name="vgg16")
