"""What the report and the model card are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from angiopipe.evaluation.assessment import Assessment
from angiopipe.evaluation.example_studies import ExampleStudy, Group
from angiopipe.evaluation.predictions import Predictions
from angiopipe.recipe import Recipe
from angiopipe.records.manifest import EvaluationManifest, ExamplesManifest, ModelManifest
from angiopipe.study import SPLITS


@dataclass(frozen=True)
class Evaluated:
    """What was evaluated, on what, and what came out.

    Attributes:
      examples, model, evaluation: the manifests.
      validation, test: the predictions.
      found: the figures.
      untouched: a sentence for each temperature that could not be fitted.
      studies: the example studies of each group.
    """

    examples: ExamplesManifest
    model: ModelManifest
    evaluation: EvaluationManifest
    validation: Predictions
    test: Predictions
    found: Assessment
    untouched: Sequence[str]
    studies: Sequence[tuple[Group, Sequence[ExampleStudy]]]

    @property
    def splits(self) -> list[tuple[str, int, int | None]]:
        """(split, studies, studies with an aneurysm); None where no prediction was made."""
        known = {part.split: part.positives for part in (self.validation, self.test)}
        counts = self.examples.counts
        return [(split, counts[split], known.get(split)) for split in SPLITS if split in counts]

    @property
    def flattered(self) -> str:
        """What was chosen in validation, and so which figures there are too good."""
        fitted = (2 if self.found.locations else 1) - len(self.untouched)
        epoch = "" if self.model.members else "the epoch"
        temperatures = ("", "the temperature", "the temperatures")[fitted]
        *others, last = filter(None, (epoch, temperatures, "the thresholds"))
        chosen = " and ".join(filter(None, [", ".join(others), last]))
        told = f"In validation {chosen} were chosen, and the recipe's fields if a search found them"
        if self.model.members:
            return f"{told}: what they decide looks better there. No member's weights or epoch were."
        return f"{told}: the figures there flatter."

    @property
    def notices(self) -> list[str]:
        """What a reader must know before believing a figure."""
        said = list(self.untouched)
        same_data = self.examples.data_fingerprint == self.model.data_fingerprint
        if same_data and self.examples.fingerprint != self.model.examples_fingerprint:
            said.append(
                f"The model was trained on examples {self.model.examples_fingerprint} of the same data set: "
                "if they were split differently, test studies may have been trained on."
            )
        if self.found.test.auroc.method == "Newcombe":
            said.append(
                "The scores leave DeLong's variance at zero or undefined; the interval of the test AUROC "
                "is Newcombe's (2006), from the counts alone."
            )
        return said


def settings(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe's settings by group, in the order they are declared."""
    return {name: group for name, group in recipe.model_dump(mode="json").items() if isinstance(group, dict)}
