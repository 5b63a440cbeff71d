"""An ensemble as one model: the same inputs to all members, the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from angiopipe.models import inputs

NAME = "ensemble"
_MEMBER = "-member-"


def join(members: Sequence[keras.Model], shape: tuple[int, int, int, int]) -> keras.Model:
    """One model from `inputs.study_inputs` to the mean of what the members give.

    Args:
      members: models from those inputs to the same outputs, one or several; they become layers of the
        new model, under names that tell them apart.
      shape: (views, rows, columns, channels) of an example.
    """
    for number, member in enumerate(members):
        member.name = f"{member.name}{_MEMBER}{number}"
    study = inputs.study_inputs(shape, inputs.takes_clinical(members[0]))
    each = [member(study) for member in members]
    mean = keras.tree.map_structure(
        lambda *outputs: keras.layers.Average(dtype="float32")(list(outputs)), *each
    )
    return keras.Model(study, mean, name=NAME)


def members(model: keras.Model) -> list[keras.Model]:
    """The members of a model that `join` made, in their order; none of any other."""
    return [layer for layer in model.layers if _MEMBER in layer.name] if model.name == NAME else []


def architecture(model: keras.Model) -> str:
    """The name that a model was built under, whether it stands alone or is a member."""
    return str(model.name).partition(_MEMBER)[0]
