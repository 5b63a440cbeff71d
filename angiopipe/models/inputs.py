"""What every architecture's first and last layers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from angiopipe.clinical import ENCODED
from angiopipe.study import VIEWS

CLINICAL = "clinical"


def study_inputs(shape: tuple[int, int, int, int], clinical: bool = False) -> dict[str, Any]:
    """The inputs of every model.

    Args:
      shape: (views, rows, columns, channels) of an example.
      clinical: whether the model is told clinical variables.

    Returns:
      "views": (batch, views, rows, columns, channels) uint8, and "present": (batch, views) uint8; if
      wanted, "clinical": (batch, 12) float32 from `clinical.encode`, all variables there are, of which
      the model takes its own.
    """
    return {
        "views": keras.Input(shape, dtype="uint8", name="views"),
        "present": keras.Input((len(VIEWS),), dtype="uint8", name="present"),
        **({CLINICAL: clinical_input()} if clinical else {}),
    }


def clinical_input() -> Any:
    return keras.Input((ENCODED,), dtype="float32", name=CLINICAL)


def takes_clinical(model: keras.Model) -> bool:
    return CLINICAL in model.input


def model_inputs(model: keras.Model, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a model takes of a batch.

    Raises:
      KeyError: the batch lacks it.
    """
    return {name: batch[name] for name in model.input}


def present_only(views: Any, present: Any) -> Any:
    """The views in the compute type, zeros where one is absent whatever its bytes say."""
    kind = keras.config.dtype_policy().compute_dtype
    mask = keras.ops.reshape(keras.ops.cast(present, kind), (-1, len(VIEWS), 1, 1, 1))
    return keras.ops.cast(views, kind) * mask


def logits(features: Any, labels: int) -> Any:
    """A dense layer to (batch, labels) logits, float32 under mixed precision too."""
    return keras.layers.Dense(labels, dtype="float32", name="logits")(features)
