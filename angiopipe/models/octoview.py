"""octoview: one encoder for all views, evidence per position and location, pooled.

The network asks two things of every position of every view: is there an aneurysm, and if so, at
which of the 21 locations. The first depends on what the position looks like; the second also on
where it lies and on which vessel was injected. Their product, pooled over positions and views,
scores each location, and the locations together score `Aneurysm`, as the labels are defined.

Left and right are handled by construction: views of the right side are seen as mirrored left ones
and their evidence is filed under the mirrored locations, so a mirrored study gets mirrored scores
and either side teaches the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from angiopipe import storage
from angiopipe.clinical import places
from angiopipe.models import inputs
from angiopipe.models.anatomy import visibility
from angiopipe.recipe import Octoview
from angiopipe.study import LOCATIONS, MIRRORED_LABELS, VIEWS

SHIPPED = Path(__file__).with_name("octoview.weights.h5")
"""The weights that come with the package; `octoview.json` beside them tells how they were made."""

BACKGROUND = 200.0
"""Grey level that preprocessing gives the background; see `imaging.octoview`."""
RIGHT = np.array([view.side == "R" for view in VIEWS])
FLIPPED = np.array([view.side == "R" and view.projection == "A" for view in VIEWS])
MIRRORED_LOCATIONS = np.array(MIRRORED_LABELS[1:]) - 1
_WAVES = 4
"""The shortest wave goes this often into a view: 20 mm of a usual field of view are told apart."""
_PLACE_SCALE = 4.0
"""How fast places are learned in relation to the rest."""
_MOMENTUM = 0.98
"""Of the running mean and variance in pretraining: they follow within a hundred steps."""
_CLINICAL_UNITS = 16
_ABSENT = -1e4
"""Log evidence of a view that does not exist."""


def build(model: Octoview, shape: tuple[int, int, int, int]) -> keras.Model:
    """A network that starts as `model.weights` says.

    Args:
      model: the start, the encoder's widths and depths, and the pooling.
      shape: (views, rows, columns, 1) of an example.

    Returns:
      A model from `inputs.study_inputs`, clinical ones where `model.clinical` names any, to (batch, 22)
      float32 logits in the order of `LABELS`.

    Raises:
      ValueError: the weights cannot be read or are of a network of another shape.
    """
    study = inputs.study_inputs(shape)
    x = LeftSided(name="left_sided")(study["views"])
    x = Attenuation(name="attenuation")(x)
    x = encode(ops.reshape(x, (-1, *shape[1:])), model)
    x = ops.reshape(x, (-1, *(shape[0], *x.shape[1:])))
    maps = Evidence(name="evidence")(x)
    logits = Pool(model.sharpness, name="pool")(maps, study["present"])
    network = keras.Model(study, logits, name="octoview")
    if model.weights:
        _load(network, model.weights)
    _freeze(network, model.frozen)
    if not model.clinical:
        return network
    known = inputs.clinical_input()
    fused = ClinicalOdds(places(model.clinical), name="clinical_odds")(logits, known)
    return keras.Model({**study, inputs.CLINICAL: known}, fused, name="octoview")


def _freeze(network: keras.Model, convolutions: int) -> None:
    """Keeps the first convolutions, and the scales among them, as they are."""
    seen = 0
    for layer in network.layers:
        seen += isinstance(layer, keras.layers.Conv2D)
        if isinstance(layer, keras.layers.Conv2D | Scale) and seen <= convolutions:
            layer.trainable = False


def _load(network: keras.Model, weights: str) -> None:
    place = str(SHIPPED) if weights == "synthetic" else weights
    try:
        with storage.staged(place) as path:
            network.load_weights(str(path))
    except (OSError, ValueError) as error:
        raise ValueError(
            # Keras goes on with whole tensors.
            f"model.weights={weights}: octoview's weights could not be loaded ({str(error).partition('.')[0]}); "
            "make them with "
            "`angiopipe pretrain` and the same model fields, or set model.weights=null for a random start"
        ) from error


def evidence(model: keras.Model) -> keras.Model:
    """The part of an octoview model that makes its maps.

    Returns:
      A model from the same inputs to (batch, 8, h, w, 22) float32 log evidence: of any location
      first, then of each, right side and left side where the views have them.
    """
    study = {name: model.input[name] for name in ("views", "present")}
    return keras.Model(study, Overlay(name="overlay")(model.get_layer("evidence").output))


def encode(x: Any, model: Octoview, normalised: bool = False) -> Any:
    """Features of single views, as fine as the smallest sacs: a few positions each.

    Nothing is normalised over a view: what is dark in one place must not show in another, or the
    maps would light up everywhere and say no location. Normalisation over many views speeds
    pretraining; it is folded into the convolutions afterwards (`pretraining.fold`).

    Args:
      x: (views, rows, columns, 1) attenuation.
      model: widths and dilations.
      normalised: batch normalisation after every convolution, in place of `Scale`.

    Returns:
      (views, rows / 2**stages, columns / 2**stages, widths[-1]).
    """
    for stage, width in enumerate(model.widths):
        x = _convolve(x, width, normalised, size=5 if stage == 0 else 3, strides=2)
        x = keras.layers.Activation("relu")(x)
    for dilation in model.dilations:
        y = keras.layers.Activation("relu")(_convolve(x, x.shape[-1], normalised, dilation_rate=dilation))
        y = _convolve(y, x.shape[-1], normalised, dilation_rate=dilation)
        x = keras.layers.Activation("relu")(keras.layers.Add()([x, y if normalised else Scale()(y)]))
    return keras.layers.SpatialDropout2D(model.dropout)(x) if model.dropout else x


def _convolve(x: Any, width: int, normalised: bool, size: int = 3, **settings: int) -> Any:
    convolution = keras.layers.Conv2D(
        width, size, padding="same", use_bias=not normalised, kernel_initializer="he_normal", **settings
    )
    return (
        keras.layers.BatchNormalization(momentum=_MOMENTUM)(convolution(x)) if normalised else convolution(x)
    )


class Scale(keras.layers.Layer):
    """A learned factor that starts at zero: without normalisation, residual blocks start as nothing.

    Source: De and Smith 2020, "Batch normalization biases residual blocks towards the identity".
    """

    def build(self, shape: tuple[int, ...]) -> None:
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="zeros", name="gamma")

    def call(self, x: Any) -> Any:
        return x * self.gamma


class LeftSided(keras.layers.Layer):
    """Flips the columns of antero-posterior views of the right side; lateral views stay as they are."""

    def call(self, views: Any) -> Any:
        return ops.where(FLIPPED[:, None, None, None], ops.flip(views, axis=3), views)


class Attenuation(keras.layers.Layer):
    """Grey levels to what the contrast absorbed, proportional to the depth of vessel passed through."""

    def call(self, views: Any) -> Any:
        grey = ops.maximum(ops.cast(views, "float32"), 8.0)
        return ops.cast(ops.clip(2.0 * ops.log(BACKGROUND / grey), -0.5, 5.0), self.compute_dtype)


class Evidence(keras.layers.Layer):
    """Features to maps of log evidence: an aneurysm here, and which.

    Input (batch, 8, h, w, features); output (batch, 8, h, w, 21) float32 in the order of
    `LOCATIONS`, right antero-posterior views still mirrored.
    """

    def __init__(self, **settings: Any):
        super().__init__(dtype="float32", **settings)
        self.anything = keras.layers.Dense(1, dtype="float32", name="anything")
        self.which = keras.layers.Dense(len(LOCATIONS), dtype="float32", name="which")

    def build(self, shape: tuple[int, ...]) -> None:
        self.anything.build(shape)
        self.which.build(shape)
        left = np.log(visibility()[~RIGHT])
        self.prior = self.add_weight(
            shape=left.shape,
            initializer=lambda *_, **__: ops.convert_to_tensor(left),
            name="prior",
            dtype="float32",
        )
        self.basis = _place_basis(shape[2], shape[3])
        self.place = self.add_weight(
            shape=(len(left), self.basis.shape[-1], 1 + len(LOCATIONS)),
            initializer="zeros",
            name="place",
            dtype="float32",
        )

    def of_views(self, x: Any, kinds: Any, corners: Any = None) -> tuple[Any, Any]:
        """Evidence of views, or of windows cut from them, one by one.

        Args:
          x: (views, h, w, features).
          kinds: (views,), which of the four left views each is or mirrors.
          corners: (views, 2), the row and column of a view's position where each window begins; None
            for whole views.

        Returns:
          Log odds of an aneurysm (views, h, w), and log probabilities of its location, as seen from
          the left, (views, h, w, 21); both float32.
        """
        x = ops.cast(x, "float32")
        place = ops.take(ops.einsum("hwk,tkl->thwl", self.basis, self.place), kinds, axis=0)
        for axis in (1, 2) if corners is not None else ():
            within = corners[:, axis - 1, None] + ops.arange(x.shape[axis], dtype="int32")
            place = ops.take_along_axis(place, _along(within, axis), axis=axis)
        which = self.which(x) + place[..., 1:] + ops.take(self.prior, kinds, axis=0)[:, None, None, :]
        return (self.anything(x) + place[..., :1])[..., 0], ops.log_softmax(which, axis=-1)

    def call(self, x: Any) -> Any:
        sides = []
        for side in ops.split(x, 2, axis=1):
            rows, columns, features = side.shape[2:]
            kinds = ops.tile(ops.arange(side.shape[1]), ops.shape(side)[:1])
            found, which = self.of_views(ops.reshape(side, (-1, rows, columns, features)), kinds)
            maps = found[..., None] + which
            sides.append(ops.reshape(maps, (-1, *side.shape[1:4], len(LOCATIONS))))
        left, right = sides
        return ops.concatenate([left, ops.take(right, MIRRORED_LOCATIONS, axis=-1)], axis=1)


def _along(positions: Any, axis: int) -> Any:
    """(views, n) positions as indices along one axis of (views, h, w, labels)."""
    return ops.expand_dims(positions, (2, 3) if axis == 1 else (1, 3))


def _place_basis(rows: int, columns: int) -> np.ndarray:
    """Waves over a view: their sums are smooth hills, wherever a location is usually seen.

    Returns:
      (rows, columns, 81) float32: products of the waves along rows and along columns.
    """
    waves = []
    for length in (rows, columns):
        phase = np.pi * np.linspace(-1, 1, length)[:, None] * np.arange(_WAVES + 1)
        waves.append(np.concatenate([np.cos(phase), np.sin(phase[:, 1:])], axis=1))
    basis = waves[0][:, None, :, None] * waves[1][None, :, None, :]
    return (_PLACE_SCALE * basis).reshape(rows, columns, -1).astype(np.float32)


class Pool(keras.layers.Layer):
    """Maps to logits: log-sum-exp over present views and positions, then any of the locations.

    Input (batch, 8, h, w, 21) and (batch, 8) presence; output (batch, 22) float32.
    """

    def __init__(self, sharpness: float, **settings: Any):
        super().__init__(dtype="float32", **settings)
        self.start = sharpness

    def build(self, maps_shape: tuple[int, ...], present_shape: tuple[int, ...]) -> None:
        self.sharpness = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(np.log(np.expm1(self.start))), name="sharpness"
        )
        positions = maps_shape[1] * maps_shape[2] * maps_shape[3]
        self.bias = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(-np.log(positions)), name="bias"
        )

    def call(self, maps: Any, present: Any) -> Any:
        sharpness = ops.softplus(self.sharpness)
        absent = _ABSENT * (1.0 - ops.cast(present, "float32"))
        maps = maps * sharpness + absent[:, :, None, None, None]
        locations = ops.logsumexp(maps, axis=(1, 2, 3)) / sharpness + self.bias
        return ops.concatenate([any_of(locations), locations], axis=-1)


def any_of(logits: Any) -> Any:
    """The logit of at least one of independent events (noisy or).

    Args:
      logits: (..., events).

    Returns:
      (..., 1): log(p / (1 - p)) with p = 1 - product of (1 - sigmoid(logits)).
    """
    none = ops.sum(ops.softplus(logits), axis=-1, keepdims=True)
    return none + ops.log(-ops.expm1(-ops.maximum(none, 1e-6)))


class ClinicalOdds(keras.layers.Layer):
    """Experimental: what is known of the patient raises or lowers the odds of every location alike.

    The last layer starts at zero, so that a network starts by saying what it said from its views alone.

    Input (batch, 22) logits and (batch, 12) from `clinical.encode`; output (batch, 22) float32.
    """

    def __init__(self, places: Sequence[int], **settings: Any):
        super().__init__(dtype="float32", **settings)
        self.places = list(places)
        self.hidden = keras.layers.Dense(_CLINICAL_UNITS, "relu", dtype="float32", name="hidden")
        self.odds = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="odds")

    def build(self, logits_shape: tuple[int, ...], clinical_shape: tuple[int, ...]) -> None:
        self.hidden.build((clinical_shape[0], len(self.places)))
        self.odds.build((clinical_shape[0], _CLINICAL_UNITS))

    def call(self, logits: Any, clinical: Any) -> Any:
        locations = logits[:, 1:] + self.odds(self.hidden(ops.take(clinical, self.places, axis=-1)))
        return ops.concatenate([any_of(locations), locations], axis=-1)


class Overlay(keras.layers.Layer):
    """Maps per location to maps per label, each view the way it came."""

    def call(self, maps: Any) -> Any:
        maps = ops.concatenate([ops.logsumexp(maps, axis=-1, keepdims=True), maps], axis=-1)
        return ops.where(FLIPPED[:, None, None, None], ops.flip(maps, axis=3), maps)
