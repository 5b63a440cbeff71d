"""Rules that a step holds to and that can be told long before it: `validate` asks them too.

They need no TensorFlow, Keras or MLflow, so that the first step can say what the last one would.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping

from angiopipe import sqlite, storage
from angiopipe.recipe import Octoview, SpatialAttention, Training, Vgg16

TENSORBOARD = ("off", "scalars", "profile")

LONGEST_MODEL_NAME = 249
"""MLflow's databases hold 256 characters, and the ledger's name is seven longer than the model's."""

_NOT_IN_NAMES = "/:'?"
"""MLflow refuses the first two; its queries cannot quote the third, nor its URIs the fourth."""

Model = Vgg16 | SpatialAttention | Octoview


def require_both_classes(splits: Mapping[str, tuple[int, int]], where: str) -> None:
    """Refuses splits that nothing can be learned from or judged on.

    Args:
      splits: how many studies of each have an aneurysm, and how many it has in all, by name.
      where: what is split, for the error.

    Raises:
      ValueError: a split does not hold both studies with and without an aneurysm; names every one.
    """
    lacking = [
        f"{where}, split {name}: expected studies with and without an aneurysm, found {positives} with and "
        f"{studies - positives} without"
        for name, (positives, studies) in splits.items()
        if not 0 < positives < studies
    ]
    if lacking:
        raise ValueError(
            f"{'; '.join(lacking)}; add studies, or split the cohort again with another seed or other shares"
        )


def check_model(model: Model, shape: tuple[int, int, int, int]) -> None:
    """Refuses views that an architecture cannot take, and fields that contradict one another.

    Args:
      model: a recipe's model fields.
      shape: (views, rows, columns, channels) of an example.

    Raises:
      ValueError: the views are too small to be shrunk once a stage, or not grey or RGB as they should
        be; vgg16's stages have no depth or no width.
    """
    least, channels = _least_size(model), {"spatial_attention": 3, "octoview": 1}.get(model.architecture)
    if min(shape[1:3]) < least:
        raise ValueError(
            f"model {model.architecture}: views must have {least} rows and columns at least, "
            f"got {shape[1]} x {shape[2]}; set preprocessing.size={least} or more"
        )
    if channels and shape[3] != channels:
        kind = "3 channels (RGB)" if channels == 3 else "1 channel (grey)"
        raise ValueError(f"model {model.architecture}: views must have {kind}, got {shape[3]}")
    if isinstance(model, Vgg16) and len(model.depths) != len(model.widths):
        raise ValueError(
            f"model vgg16: expected a depth and a width for each stage, got {len(model.depths)} model.depths "
            f"and {len(model.widths)} model.widths"
        )


def _least_size(model: Model) -> int:
    if isinstance(model, SpatialAttention):
        return 64  # ResNet50 shrinks views 32-fold and max-pooling halves what is left.
    return int(2 ** len(model.depths if isinstance(model, Vgg16) else model.widths))


def check_weights(model: Model) -> None:
    """Refuses weights to start from that cannot be had, as far as can be told without reading them.

    Raises:
      ValueError: there is no such file, or the synthetic ones are of another network.
    """
    if isinstance(model, Vgg16) or model.weights in (None, "imagenet"):
        return
    random = "set model.weights=null for a random start"
    if isinstance(model, Octoview) and model.weights == "synthetic":
        made = Octoview()
        if model.widths != made.widths or len(model.dilations) > len(made.dilations):
            raise ValueError(
                f"model.weights=synthetic: expected model.widths={list(made.widths)} and {len(made.dilations)} "
                f"model.dilations at most, for which they were made, got {list(model.widths)} and "
                f"{len(model.dilations)}; make others with `angiopipe pretrain`, or {random}"
            )
    elif not storage.exists(str(model.weights)):
        raise ValueError(
            f"model.weights={model.weights}: expected a file of weights, found nothing there; correct the path, "
            f"or {random}"
        )


def check_batch(training: Training, workers: int, replicas: int = 1) -> None:
    """Refuses a global batch that cannot be cut in equal parts.

    Raises:
      ValueError: it does not divide by workers, devices and `training.accumulate`.
    """
    parts = workers * replicas * training.accumulate
    if workers < 1 or training.batch_size % parts:
        raise ValueError(
            f"training.batch_size: expected a multiple of {parts} (workers {workers} x devices {replicas} x "
            f"training.accumulate {training.accumulate}), got {training.batch_size}; change one of them"
        )


def check_tensorboard(tensorboard: str) -> None:
    """Raises ValueError unless it is one of `TENSORBOARD`."""
    if tensorboard not in TENSORBOARD:
        raise ValueError(f"tensorboard: expected one of {', '.join(TENSORBOARD)}, got {tensorboard!r}")


def check_model_name(name: str) -> None:
    """Refuses a name that MLflow would not take, or that its URIs and queries could not hold.

    Raises:
      ValueError: so it is.
    """
    if (
        not name.strip()
        or len(name) > LONGEST_MODEL_NAME
        or any(mark in name for mark in _NOT_IN_NAMES)
        or not name.isprintable()
        or posixpath.normpath(name) != name
        or name.startswith("..")
        or name == "."
    ):
        raise ValueError(
            f"model_name: expected 1 to {LONGEST_MODEL_NAME} characters, none of {' '.join(_NOT_IN_NAMES)}, "
            f"got {name[:60]!r}; choose another name"
        )


def tracking_uri_of(parameter: str, data_root: str) -> str:
    """MLflow's server or database: the parameter, else MLFLOW_TRACKING_URI, else one under the data root.

    Raises:
      ValueError: neither is given, and no database can be under the data root: it is remote, or MLflow would
        look elsewhere.
    """
    given = parameter or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not given and not storage.is_local(data_root):
        raise ValueError(
            f"data root {data_root}: expected a tracking_uri (or MLFLOW_TRACKING_URI) beside a remote "
            "data root, got none"
        )
    return given or sqlite.uri_of(storage.join(storage.absolute(data_root), "mlflow.db"))
