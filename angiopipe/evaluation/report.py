"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from angiopipe.evaluation import figures
from angiopipe.evaluation.assessment import LEAST_STUDIES, LOCATION_THRESHOLD, Assessment
from angiopipe.evaluation.example_studies import ExampleStudy, Group
from angiopipe.evaluation.metrics import AurocInterval
from angiopipe.evaluation.operating_points import Proportion
from angiopipe.evaluation.predictions import Predictions
from angiopipe.html import page
from angiopipe.recipe import Recipe
from angiopipe.records.manifest import ExamplesManifest, ModelManifest
from angiopipe.study import SPLITS


@dataclass(frozen=True)
class Evaluated:
    """What was evaluated, and on what.

    Attributes:
      examples, model: the manifests.
      validation, test: the predictions.
      found: the figures.
      studies: the example studies of each group.
    """

    examples: ExamplesManifest
    model: ModelManifest
    validation: Predictions
    test: Predictions
    found: Assessment
    studies: Sequence[tuple[Group, Sequence[ExampleStudy]]]


def render(evaluated: Evaluated) -> str:
    """The page, with every value from outside escaped."""
    found = evaluated.found
    template = _environment().get_template("report.html")
    return template.render(
        evaluated=evaluated,
        found=found,
        model=evaluated.model,
        examples=evaluated.examples,
        verdict=verdict(found.test.auroc),
        notices=notices(evaluated),
        splits=split_rows(evaluated),
        settings=settings(evaluated.model.recipe),
        roc=figures.roc_plot(found),
        precision_recall=figures.precision_recall_plot(found),
        histogram=figures.histogram(found, evaluated.test),
        least_studies=LEAST_STUDIES,
        location_threshold=LOCATION_THRESHOLD,
    )


def verdict(auroc: AurocInterval) -> str:
    """What the interval says about the model against chance, in a sentence."""
    if auroc.low > 0.5:
        return "The interval lies above 0.5: the model ranks these studies better than chance."
    if auroc.high < 0.5:
        return "The interval lies below 0.5: the model ranks these studies worse than chance."
    return "The interval contains 0.5: these studies do not show that the model is better than chance."


def notices(evaluated: Evaluated) -> list[str]:
    """What a reader must know before believing a figure."""
    examples, model, auroc = evaluated.examples, evaluated.model, evaluated.found.test.auroc
    said = []
    same_data = examples.data_fingerprint == model.data_fingerprint
    if same_data and examples.fingerprint != model.examples_fingerprint:
        said.append(
            f"The model was trained on examples {model.examples_fingerprint} of the same data set: "
            "if they were split differently, test studies may have been trained on."
        )
    if auroc.method == "Newcombe":
        said.append(
            "The scores leave DeLong's variance at zero or undefined; the interval of the test AUROC "
            "is Newcombe's (2006), from the counts alone."
        )
    return said


def split_rows(evaluated: Evaluated) -> list[tuple[str, int, int | None]]:
    """(split, studies, studies with an aneurysm); None where no prediction was made."""
    known = {part.split: part.positives for part in (evaluated.validation, evaluated.test)}
    counts = evaluated.examples.counts
    return [(split, counts[split], known.get(split)) for split in SPLITS if split in counts]


def settings(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe's settings by group, in the order they are declared."""
    return {name: group for name, group in recipe.model_dump(mode="json").items() if isinstance(group, dict)}


def _environment() -> Environment:
    environment = page.environment("angiopipe.evaluation")
    environment.filters |= {"share": _share, "setting": _setting}
    return environment


def _share(proportion: Proportion | None) -> str:
    if proportion is None:
        return "not estimable"
    share, low, high = (100 * value for value in (proportion.value, proportion.low, proportion.high))
    return f"{share:.0f}\N{NO-BREAK SPACE}% ({low:.0f}\N{EN DASH}{high:.0f})"


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
