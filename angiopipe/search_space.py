"""A search's space: recipe fields with what they may be, typed by the recipe itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from angiopipe import storage
from angiopipe.recipe import Recipe

DEFAULT_SPACES = {
    "octoview": (
        "training.learning_rate=log(5e-4,2e-2)",
        "training.weight_decay=log(1e-4,1e-1)",
        "training.batch_size=[4,8,16]",
        "training.ema=[0.0,0.99]",
        "model.dropout=uniform(0.0,0.3)",
    ),
    "vgg16": (
        "training.learning_rate=log(1e-4,1e-1)",
        'training.optimizer=["sgd","adam"]',
        "training.batch_size=[8,16,32]",
    ),
    "spatial_attention": (
        "training.learning_rate=log(1e-6,1e-3)",
        "training.batch_size=[2,4,8]",
        "model.lstm=[32,64,128]",
    ),
}
"""What is searched of each architecture unless a space is given."""

_RANGE = re.compile(r"(log|uniform)\(([^,()]+),([^,()]+)\)")
_DIGITS = 4
"""Significant digits of a drawn number: what is pasted is what was trained."""


@dataclass(frozen=True)
class Range:
    """A number between two ends, both of them included.

    Attributes:
      field: its dotted path in the recipe.
      low, high: int where the field is of whole numbers, else float.
      log: drawn evenly over the logarithm.
    """

    field: str
    low: float
    high: float
    log: bool

    def suggest(self, trial: Any) -> str:
        """Draws an override for a trial of Optuna's."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return f"{self.field}={trial.suggest_int(self.field, self.low, self.high, log=self.log)}"
        drawn = trial.suggest_float(self.field, self.low, self.high, log=self.log)
        rounded = min(max(float(f"{drawn:.{_DIGITS}g}"), self.low), self.high)
        return f"{self.field}={rounded!r}"

    def overrides(self) -> list[str]:
        """Some that may be drawn: of whole numbers, two neighbours among them."""
        return [f"{self.field}={value!r}" for value in (self.low, min(self.low + 1, self.high), self.high)]


@dataclass(frozen=True)
class Choices:
    """One of some values.

    Attributes:
      field: its dotted path in the recipe.
      values: each as JSON, since Optuna keeps text but no lists.
    """

    field: str
    values: tuple[str, ...]

    def suggest(self, trial: Any) -> str:
        """Draws an override for a trial of Optuna's."""
        return f"{self.field}={trial.suggest_categorical(self.field, self.values)}"

    def overrides(self) -> list[str]:
        """All that may be drawn."""
        return [f"{self.field}={value}" for value in self.values]


DRIVERS = ("postgresql+psycopg2",)
"""How the URLs of databases begin that several pods can share and the training image has a driver for."""


def check_search(recipe: Recipe, trials: int, startup_trials: int, database: str, data_root: str) -> None:
    """Refuses a search that could not end well, whatever its space.

    Args:
      recipe: whose fields are searched.
      trials: how many settings to try.
      startup_trials: so many of them are drawn at random.
      database: URL of Optuna's database; empty is an SQLite file under the data root.
      data_root: where the search lies.

    Raises:
      ValueError: the recipe is an ensemble's, there is nothing to try, or the data root is remote, where
        no SQLite file can be.
    """
    if recipe.training.ensemble:
        raise ValueError("training.ensemble: expected 0, trials are single models; set it in training")
    if trials < 1 or startup_trials < 1:
        raise ValueError(f"expected 1 trial and startup trial or more, got {trials} and {startup_trials}")
    if not database and not storage.is_local(data_root):
        raise ValueError(f"data root {data_root}: expected a database beside a remote data root, got none")


def parse_space(texts: Sequence[str], recipe: Recipe) -> tuple[Range | Choices, ...]:
    """Reads a space and tries its ends and values on the recipe.

    Args:
      texts: each `field=log(low,high)`, `field=uniform(low,high)` or `field=[value,value]` with the
        field's dotted path and JSON values, such as "training.learning_rate=log(1e-4,1e-2)"; empty
        takes the architecture's own (`DEFAULT_SPACES`).
      recipe: whose fields they are.

    Raises:
      ValueError: names everything that is wrong with it: a form that is none of these, a field that
        the recipe does not have or that belongs to another step, a value that does not fit its field.
    """
    found: dict[str, Range | Choices] = {}
    faults = []
    for text in texts or DEFAULT_SPACES[recipe.model.architecture]:
        try:
            one = _parse(text, recipe)
            if one.field in found:
                raise ValueError(f"{text!r}: expected {one.field} once, found it again")
            found[one.field] = one
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n  ".join([f"{len(faults)} faults in the search space:", *faults]))
    return tuple(found.values())


def _parse(text: str, recipe: Recipe) -> Range | Choices:
    field, _, values = (part.strip() for part in text.partition("="))
    if field.startswith("preprocessing."):
        raise ValueError(
            f"{text!r}: another preprocessing needs other examples; preprocess once for each value "
            "(--overrides) and search each"
        )
    if field == "training.ensemble":
        raise ValueError(f"{text!r}: trials are single models; set it when training with the best overrides")
    ends = _RANGE.fullmatch(values)
    if ends:
        return _range(text, field, ends[1] == "log", ends[2].strip(), ends[3].strip(), recipe)
    try:
        choices = json.loads(values)
    except json.JSONDecodeError:
        choices = None
    if not isinstance(choices, list) or not choices:
        raise ValueError(
            f"{text!r}: expected field=log(low,high), field=uniform(low,high) or field=[value,value] with "
            "values in JSON"
        )
    documents = tuple(json.dumps(choice) for choice in choices)
    for document in documents:
        _tried(field, document, recipe)
    return Choices(field, documents)


def _range(text: str, field: str, log: bool, low: str, high: str, recipe: Recipe) -> Range:
    ends = [_tried(field, end, recipe) for end in (low, high)]
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise ValueError(f"{text!r}: expected a field of numbers, found one of {type(ends[0]).__name__}")
    if not ends[0] < ends[1] or (log and ends[0] <= 0):
        raise ValueError(f"{text!r}: expected {'0 < ' if log else ''}low < high, got {low} and {high}")
    return Range(field, ends[0], ends[1], log)


def _tried(field: str, value: str, recipe: Recipe) -> Any:
    """The value as the recipe takes it.

    Raises:
      ValueError: the recipe does not.
    """
    found: Any = recipe.with_overrides([f"{field}={value}"])
    for name in field.split("."):
        found = getattr(found, name)
    return found
