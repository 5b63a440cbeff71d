"""ResNet50, spatial attention and an LSTM over the eight views, 22 logits (Coding Vessels)."""

from __future__ import annotations

from typing import Any

import keras

from angiopipe import storage
from angiopipe.models import inputs
from angiopipe.recipe import SpatialAttention
from angiopipe.study import LABELS


def build(model: SpatialAttention, shape: tuple[int, int, int, int]) -> keras.Model:
    """A network whose ResNet50 starts as `model.weights` says, the rest untrained.

    Args:
      model: ResNet50's start and the widths of what follows it.
      shape: (views, rows, columns, 3) of an example, RGB.

    Returns:
      A model from `inputs.study_inputs` to (batch, 22) float32 logits in the order of `LABELS`.

    Raises:
      ValueError: ResNet50's weights cannot be had.
    """
    study = inputs.study_inputs(shape)
    x = keras.ops.reshape(inputs.present_only(study["views"], study["present"]), (-1, *shape[1:]))
    resnet50 = _resnet50(model.weights, shape[1:])
    features = keras.Model(
        resnet50.inputs, resnet50.get_layer(f"{model.last_block}_out").output, name="resnet50"
    )
    x = features(keras.applications.resnet50.preprocess_input(x))
    x = keras.layers.Conv2D(model.features, 1, activation="relu", name="reduce")(x)
    attention = keras.layers.Conv2D(1, 1, activation="sigmoid", name="attention")(x)
    x = keras.layers.MaxPooling2D()(keras.layers.Multiply()([x, attention]))
    x = keras.ops.reshape(x, (-1, shape[0], x.shape[1] * x.shape[2] * x.shape[3]))
    x = keras.layers.LSTM(model.lstm, name="views_in_turn")(x, mask=keras.ops.cast(study["present"], "bool"))
    x = keras.layers.Dense(model.dense, activation="relu", name="dense")(x)
    return keras.Model(study, inputs.logits(x, len(LABELS)), name="spatial_attention")


def _resnet50(weights: str | None, shape: tuple[int, ...]) -> Any:
    """ResNet50 without its top, for (rows, columns, 3) views."""
    if weights == "imagenet":
        try:
            return keras.applications.ResNet50(include_top=False, weights="imagenet", input_shape=shape)
        # get_file raises a bare Exception where the download fails.
        except Exception as error:
            raise ValueError(_remedy("imagenet", "could not be downloaded", error)) from error
    network = keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
    if weights is not None:
        try:
            with storage.staged(weights) as path:
                network.load_weights(str(path))
        except (OSError, ValueError) as error:
            raise ValueError(_remedy(weights, "could not be loaded", error)) from error
    return network


def _remedy(weights: str, what: str, error: Exception) -> str:
    return (
        f"model.weights={weights}: ResNet50's weights {what} ({error}); give the path of "
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5, or model.weights=null for a random start"
    )
