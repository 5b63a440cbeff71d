"""The models: one file per architecture, one way to build, load and read them.

Every model takes {"views": (batch, 8, rows, columns, channels) uint8, "present": (batch, 8) uint8}
and gives float32 logits, (batch, 1) of `Aneurysm` or (batch, 22) in the order of `study.LABELS`.
"""

from __future__ import annotations

import keras

from angiopipe import storage
from angiopipe.models import octoview, spatial_attention, vgg16
from angiopipe.recipe import Octoview, SpatialAttention, Vgg16
from angiopipe.records.calibration import probabilities as probabilities
from angiopipe.records.manifest import ModelManifest


def build(model: Vgg16 | SpatialAttention | Octoview, shape: tuple[int, int, int, int]) -> keras.Model:
    """An untrained model.

    Args:
      model: a recipe's model fields.
      shape: (views, rows, columns, channels) of an example.

    Raises:
      ValueError: the architecture cannot take such views, or pretrained weights cannot be had.
    """
    if isinstance(model, Vgg16):
        return vgg16.build(model, shape)
    if isinstance(model, SpatialAttention):
        return spatial_attention.build(model, shape)
    return octoview.build(model, shape)


def load(manifest: ModelManifest) -> keras.Model:
    """A trained model, rebuilt from its recipe.

    Raises:
      ValueError: the weights are not those that training wrote.
    """
    settings = manifest.recipe.model
    if not isinstance(settings, Vgg16):
        # The trained weights replace the pretrained ones, which need not be at hand.
        settings = settings.model_copy(update={"weights": None})
    model = build(settings, manifest.recipe.preprocessing.shape)
    with storage.staged(manifest.weights_uri) as path:
        found = storage.file_sha256(path)
        if found != manifest.weights_sha256:
            raise ValueError(
                f"{manifest.weights_uri}: expected SHA-256 {manifest.weights_sha256}, found {found}; "
                "the weights were changed after training: train again or restore the file"
            )
        model.load_weights(str(path))
    return model


def evidence(model: keras.Model) -> keras.Model | None:
    """The maps behind a model's logits.

    Returns:
      A model from the same inputs to (batch, 8, h, w, 22) float32 logit-like maps in the order of
      `study.LABELS`, each view the way it came; None for architectures without such maps.
    """
    return octoview.evidence(model) if model.name == "octoview" else None
