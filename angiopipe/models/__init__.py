"""The models: one file per architecture, one way to build, load and read them.

Every model takes {"views": (batch, 8, rows, columns, channels) uint8, "present": (batch, 8) uint8}
(for octoview with `model.clinical`, "clinical": (batch, 12) float32 from `clinical.encode` too)
and gives float32 logits, (batch, 1) of `Aneurysm` or (batch, 22) in the order of `study.LABELS`.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from angiopipe import storage
from angiopipe.models import ensemble, octoview, spatial_attention, vgg16
from angiopipe.recipe import Octoview, SpatialAttention, Vgg16
from angiopipe.records.calibration import probabilities as probabilities
from angiopipe.records.manifest import ModelManifest
from angiopipe.rules import check_model


def build(model: Vgg16 | SpatialAttention | Octoview, shape: tuple[int, int, int, int]) -> keras.Model:
    """An untrained model.

    Args:
      model: a recipe's model fields.
      shape: (views, rows, columns, channels) of an example.

    Raises:
      ValueError: the architecture cannot take such views, or pretrained weights cannot be had.
    """
    check_model(model, shape)
    if isinstance(model, Vgg16):
        return vgg16.build(model, shape)
    if isinstance(model, SpatialAttention):
        return spatial_attention.build(model, shape)
    return octoview.build(model, shape)


def load(manifest: ModelManifest) -> keras.Model:
    """A trained model, rebuilt from its recipe; an ensemble's members in one, which takes K times the memory.

    Raises:
      ValueError: the weights are not those that training wrote.
    """
    settings = manifest.recipe.model
    if not isinstance(settings, Vgg16):
        # The trained weights replace the pretrained ones, which need not be at hand.
        settings = settings.model_copy(update={"weights": None})
    shape = manifest.recipe.preprocessing.shape
    members = []
    for uri, sha256 in manifest.weights_files.items():
        members.append(build(settings, shape))
        _load_weights(members[-1], uri, sha256)
    return ensemble.join(members, shape) if manifest.members else members[0]


def _load_weights(model: keras.Model, uri: str, sha256: str) -> None:
    with storage.staged(uri) as path:
        found = storage.file_sha256(path)
        if found != sha256:
            raise ValueError(
                f"{uri}: expected SHA-256 {sha256}, found {found}; "
                "the weights were changed after training: train again or restore the file"
            )
        model.load_weights(str(path))


def evidence(model: keras.Model) -> keras.Model | None:
    """The maps behind a model's logits; of an ensemble, the mean of its members' maps.

    Returns:
      A model from the same inputs to (batch, 8, h, w, 22) float32 logit-like maps in the order of
      `study.LABELS`, each view the way it came; None for architectures without such maps.
    """
    if ensemble.members(model):
        return _of_members(model, evidence)
    return octoview.evidence(model) if ensemble.architecture(model) == "octoview" else None


def with_evidence(model: keras.Model) -> keras.Model | None:
    """A model of two outputs in one pass: the logits, as the model itself gives them, and the maps of `evidence`.

    Returns:
      A model from the same inputs to [(batch, 22), (batch, 8, h, w, 22)] float32; None for
      architectures without maps.
    """
    if ensemble.members(model):
        return _of_members(model, with_evidence)
    maps = evidence(model)
    return keras.Model(model.input, [model.output, maps.output]) if maps else None


def _of_members(model: keras.Model, part: Callable[[keras.Model], keras.Model | None]) -> keras.Model | None:
    """The mean of a part of an ensemble's members; None where none has it."""
    each = [found for member in ensemble.members(model) if (found := part(member))]
    return ensemble.join(each, tuple(model.input["views"].shape[1:])) if each else None
