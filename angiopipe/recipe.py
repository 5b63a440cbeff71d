"""The typed recipe: preprocessing, model and training settings under one name.

A recipe's fields are at once the library's defaults, the pipeline's parameters and the command
line's flags: `with_overrides(recipe, ["training.epochs=3"])` is the only way a value changes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from angiopipe.clinical import MODEL_NAMES
from angiopipe.study import VIEWS

DEFAULT_RECIPE = "octoview"


class Fields(BaseModel):
    """A group of settings: immutable, and no field is accepted that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    SCHEMA: ClassVar[int] = 0
    """How many fields, in the order of their declaration, are part of every digest. It is raised past a field
    whose default is to change; a field that shall mean something else gets another name."""

    def said(self) -> dict[str, Any]:
        """The fields as JSON has them, but for those after the first `SCHEMA` that are at their default.

        So a new field, declared last and with a default, says nothing where nobody sets it, and what was
        named before there was such a field keeps its name.
        """
        told = self.model_dump(mode="json")
        for place, (name, field) in enumerate(type(self).model_fields.items()):
            value = getattr(self, name)
            if place >= self.SCHEMA and value == field.get_default(call_default_factory=True):
                del told[name]
            elif isinstance(value, Fields):
                told[name] = value.said()
        return told

    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of what is said, in canonical JSON."""
        canonical = json.dumps(self.said(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Preprocessing(Fields):
    """What every preprocessing states: the size and channels of the views it makes.

    Attributes:
      size: rows and columns of a view, pixels.
    """

    size: PositiveInt

    @property
    def channels(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(views, rows, columns, channels) of one study's uint8 example."""
        return (len(VIEWS), self.size, self.size, self.channels)


class KiumPreprocessing(Preprocessing):
    """Grey, histogram-equalised, cubic resize (K-IUM baseline)."""

    SCHEMA = 2

    kind: Literal["kium_vgg16"] = "kium_vgg16"
    size: PositiveInt = 224


class CodingVesselsPreprocessing(Preprocessing):
    """RGB, centre crop, resize, invert, sharpen, raise contrast (Coding Vessels).

    Attributes:
      sharpness: factor of Pillow's ImageEnhance.Sharpness; 1 leaves the view as it is.
      contrast: factor of Pillow's ImageEnhance.Contrast; 1 leaves the view as it is.
    """

    SCHEMA = 4

    kind: Literal["coding_vessels"] = "coding_vessels"
    size: PositiveInt = 720
    sharpness: float = Field(default=2.0, ge=0)
    contrast: float = Field(default=1.25, ge=0)

    @property
    def channels(self) -> int:
        return 3


class OctoviewPreprocessing(Preprocessing):
    """Grey, padded to a square with its border's grey, area resize, background flattened.

    Attributes:
      background: standard deviation of the Gaussian whose blur counts as background, as a share
        of `size`; the view is divided by it, so that shading leaves and vessels stay.
    """

    SCHEMA = 3

    kind: Literal["octoview"] = "octoview"
    size: PositiveInt = 360
    background: PositiveFloat = 0.08


class Vgg16(Fields):
    """VGG16 over the eight grey views stacked as channels, one logit (Simonyan 2014, table 1, D)."""

    SCHEMA = 4

    architecture: Literal["vgg16"] = "vgg16"
    depths: tuple[PositiveInt, ...] = (2, 2, 3, 3, 3)
    widths: tuple[PositiveInt, ...] = (64, 128, 256, 512, 512)
    dense: tuple[PositiveInt, ...] = (4096, 4096, 1000)


class SpatialAttention(Fields):
    """ResNet50, spatial attention and an LSTM over the views, 22 logits (Coding Vessels).

    Attributes:
      weights: ResNet50's start: None (random), "imagenet", or the path of a weights file.
      last_block: the last of ResNet50's blocks that is used, from "conv2_block1" to "conv5_block3" (all
        of them); an earlier one makes a smaller network that sees finer structures.
      features: channels after the 1 x 1 convolution.
      lstm: units of the LSTM over the eight views.
      dense: units of the layer before the logits.
    """

    SCHEMA = 6

    architecture: Literal["spatial_attention"] = "spatial_attention"
    weights: str | None = None
    last_block: str = Field(
        default="conv5_block3", pattern=r"^conv(2_block[1-3]|3_block[1-4]|4_block[1-6]|5_block[1-3])$"
    )
    features: PositiveInt = 256
    lstm: PositiveInt = 64
    dense: PositiveInt = 128


class Octoview(Fields):
    """One encoder shared by the views; evidence per position and label, pooled; 22 logits.

    Attributes:
      weights: where the whole network starts: None (random), "synthetic" (the weights that come with
        the package, from `angiopipe pretrain`), or the path or URI of others that it made.
      widths: channels of the encoder's stages; each stage halves rows and columns.
      dilations: of the residual blocks at the last stage's resolution, one number a block.
      sharpness: of the log-sum-exp pooling over positions, where its learning starts; towards 0 it
        is the mean over positions, towards infinity the maximum.
      dropout: share of the encoder's last channels dropped per view in training.
      frozen: how many of the encoder's convolutions, from the input on, keep the weights they start
        with; a pretrained start then trains faster, as no gradient goes through them.
      clinical: experimental: the clinical variables that enter, of `clinical.MODEL_NAMES`.
    """

    SCHEMA = 7

    architecture: Literal["octoview"] = "octoview"
    weights: str | None = None
    widths: tuple[PositiveInt, ...] = (16, 32)
    dilations: tuple[PositiveInt, ...] = (1, 2, 4, 8)
    sharpness: PositiveFloat = 2.0
    dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen: NonNegativeInt = 0
    clinical: tuple[str, ...] = ()

    @field_validator("clinical")
    @classmethod
    def _names_variables(cls, clinical: tuple[str, ...]) -> tuple[str, ...]:
        if not set(clinical) <= set(MODEL_NAMES) or len(set(clinical)) < len(clinical):
            raise ValueError(f"expected some of {', '.join(MODEL_NAMES)}, each once")
        return clinical


class Training(Fields):
    """How a model is trained.

    Attributes:
      epochs: passes over the training studies at most.
      batch_size: studies per step over all workers together (the global batch).
      optimizer: which update rule; "adamw" is Adam with decoupled weight decay.
      learning_rate: at the start, before `schedule` acts.
      weight_decay: of "adamw"; biases and scales are spared.
      warmup: share of all steps over which the learning rate first rises from zero.
      schedule: "constant", "cosine" (to zero over all steps) or "time_decay"
        (learning_rate / (1 + decay * step)).
      decay: the rate of "time_decay", per step.
      clipnorm: each gradient is scaled to this norm at most; None leaves gradients alone.
      aneurysm_weight: how many locations' cross-entropies that of `Aneurysm` counts for.
      mirror: swaps left and right views and labels, and the columns of the antero-posterior
        views, for every second study.
      shift: views are displaced at random by up to this share of their size, each by itself.
      precision: of the layers' arithmetic; weights stay float32.
      xla: compiles forward and backward pass with XLA.
      deterministic: TensorFlow's deterministic ops, so that a GPU too gives the same weights for the same
        seed. On a CPU it changed no bit and cost nothing measurable (octoview at 64 x 64, 145 ms a step
        with and without, medians of 3, runs 15 % apart); its cost on a GPU was not measured.
      steps_per_call: steps that one call into the graph runs; more spare a device its waits for Python.
      accumulate: cuts each batch in so many parts, run one after the other, to save memory; the
        gradient is that of the whole batch.
      early_stopping: ends after so many epochs without a better validation AUROC; 0 never.
      minutes: ends at the step after which so many minutes are over, with a last validation; a rerun goes
        on for as long again; 0 sets no limit.
      ema: decay of an exponential moving average of the weights, which is then what is validated and
        kept; 0 takes the weights themselves.
      location_weighting: "inverse_frequency" lets a location's aneurysms count the more the rarer they
        are in the training split, measured against the most frequent location.
      location_weight_cap: at most this much.
      checkpoint_steps: a checkpoint after so many steps, besides one after every epoch; 0 writes none.
      ensemble: trains so many models and averages their logits, each without one fold of the training
        split, on which its best epoch is chosen; 0 trains one model. The validation split is no part
        of it: what is calibrated there was chosen elsewhere.
    """

    SCHEMA = 24

    epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: PositiveFloat
    weight_decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "time_decay"] = "constant"
    decay: float = Field(default=0.0, ge=0)
    clipnorm: PositiveFloat | None = None
    aneurysm_weight: PositiveFloat = 1.0
    mirror: bool = False
    shift: float = Field(default=0.0, ge=0, lt=0.5)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    xla: bool = False
    deterministic: bool = False
    steps_per_call: PositiveInt = 1
    accumulate: PositiveInt = 1
    early_stopping: NonNegativeInt = 0
    minutes: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    location_weighting: Literal["none", "inverse_frequency"] = "none"
    location_weight_cap: float = Field(default=10.0, ge=1)
    checkpoint_steps: NonNegativeInt = 0
    ensemble: NonNegativeInt = 0

    @field_validator("ensemble")
    @classmethod
    def _leaves_studies_to_train_on(cls, ensemble: int) -> int:
        if ensemble == 1:
            raise ValueError("expected 0 (one model) or a number of folds from 2")
        return ensemble


class Gate(Fields):
    """When a model may take the champion's place.

    Attributes:
      margin: the AUROC that a challenger may cost at most: the lower end of the 95 % interval of
        challenger minus champion (paired DeLong) must lie above minus this. 0 asks for a proven gain.
    """

    SCHEMA = 1

    margin: float = Field(default=0.05, ge=0, lt=1)


class Recipe(Fields):
    """Preprocessing, model, training and the gate under one name."""

    SCHEMA = 5

    name: str
    preprocessing: Annotated[
        KiumPreprocessing | CodingVesselsPreprocessing | OctoviewPreprocessing,
        Field(discriminator="kind"),
    ]
    model: Annotated[Vgg16 | SpatialAttention | Octoview, Field(discriminator="architecture")]
    training: Training
    gate: Gate = Gate()

    def with_overrides(self, overrides: Sequence[str]) -> Self:
        """This recipe with some fields changed.

        Args:
          overrides: `field=value` with the field's dotted path and a JSON value (a bare word is
            a string), such as "training.epochs=3" or "model.widths=[8,16]".

        Raises:
          ValueError: an override names no field, or its value does not fit the field.
        """
        document = self.model_dump()
        for override in overrides:
            path, separator, value = override.partition("=")
            if not separator:
                raise ValueError(
                    f"recipe override {override!r}: expected field=value, such as training.epochs=3"
                )
            *groups, field = path.strip().split(".")
            _descend(document, groups, field, override)[field] = _parsed(value)
        try:
            return type(self).model_validate(document)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()
            )
            raise ValueError(f"recipe {self.name} with {list(overrides)}: {faults}") from None


def _descend(document: dict[str, Any], groups: Sequence[str], field: str, override: str) -> dict[str, Any]:
    for group in groups:
        document = document.get(group) if isinstance(document.get(group), dict) else {}  # type: ignore[assignment]
    if field not in document:
        known = ", ".join(document) or "preprocessing.*, model.*, training.*, gate.*"
        raise ValueError(f"recipe override {override!r}: no such field; here there are: {known}")
    return document


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value.strip()


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    package = importlib.import_module("angiopipe.recipes")
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__)))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe `name` with `overrides` (see `Recipe.with_overrides`) applied.

    Raises:
      ValueError: there is no such recipe, or an override does not fit it.
    """
    if name not in recipe_names():
        raise ValueError(f"recipe {name!r}: expected one of {', '.join(recipe_names())}")
    recipe: Recipe = importlib.import_module(f"angiopipe.recipes.{name}").RECIPE
    return recipe.with_overrides(overrides)
