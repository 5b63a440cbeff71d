"""What the steps after `validate` would refuse, told before anything is paid for.

The rules are the steps' own (`angiopipe.rules`, and where else they are needed); here they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from angiopipe import rules, storage
from angiopipe.cluster.settings import load_cluster_settings
from angiopipe.cohort.pseudonyms import pseudonyms
from angiopipe.cohort.splits import fold_of_studies, in_record_order
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.recipe import Recipe, load_recipe
from angiopipe.records.manifest import require_clinical
from angiopipe.search_space import check_search, parse_space
from angiopipe.study import ANEURYSM, INDEX, LABELS, SPLITS

T = TypeVar("T")

_CUT_BATCHES = ("training.batch_size", "training.accumulate")

PLENTY = 100
"""Studies of the rarer class from which on no split is looked at before the images: each will hold some,
and stratification takes a second to load, which it does while images are read."""


@dataclass(frozen=True)
class Plan:
    """What is to become of a cohort: parameters of `validate` and of the steps after it, as these take them.

    Attributes:
      labels: the labels CSV, which errors name.
      seed: of the splits, and of an ensemble's folds.
      model_name: of `register`; None where nothing will be registered.
      trials, startup_trials: of `search`; both 0 where nothing will be searched.
    """

    labels: str
    data_root: str
    seed: int
    recipe: str
    overrides: Sequence[str]
    pseudonymise: bool
    workers: int
    tensorboard: str
    cluster_settings: str
    tracking_uri: str
    model_name: str | None
    space: Sequence[str]
    trials: int
    startup_trials: int
    database: str

    @property
    def ledger(self) -> str:
        """URI of the folder where splits are remembered."""
        return storage.join(storage.absolute(self.data_root), "splits")


class Refusals:
    """Gathers what the functions that are asked refuse, so that one error tells all.

    Attributes:
      undone: what did not happen because of them, for the error.
      told: what was refused.
    """

    def __init__(self, undone: str):
        self.undone, self.told = undone, list[str]()

    def ask(self, question: Callable[..., T], *given: object) -> T | None:
        """What a function says; None where it refuses."""
        try:
            return question(*given)
        except (ValueError, OSError) as error:
            if str(error) not in self.told:
                self.told.append(str(error))
            return None

    def end(self, faults: Sequence[Fault] = ()) -> None:
        """Ends the run if something was refused.

        Args:
          faults: of studies, which are known besides.

        Raises:
          FaultyStudies: names every refusal, and these faults.
        """
        told: list[Fault | str] = [*self.told, *faults]
        if self.told and len(told) == 1:
            raise FaultyStudies(self.told[0], [])
        if self.told:
            raise FaultyStudies(f"{len(told)} things would stop this run; {self.undone}:", told)


def refuse_plan(plan: Plan, refusals: Refusals) -> Recipe | None:
    """Asks what the parameters alone decide.

    Returns:
      The recipe; None where there is no such recipe.
    """
    ask, workers, devices = refusals.ask, plan.workers, 1
    recipe = ask(load_recipe, plan.recipe, plan.overrides)
    ask(rules.check_tensorboard, plan.tensorboard)
    cluster = ask(load_cluster_settings, plan.cluster_settings) if plan.cluster_settings else None
    if cluster:
        workers, devices = cluster.workers, max(1, cluster.gpus)
    if plan.model_name is not None:
        ask(rules.check_model_name, plan.model_name)
        ask(rules.tracking_uri_of, plan.tracking_uri, plan.data_root)
    if recipe:
        ask(rules.check_model, recipe.model, recipe.preprocessing.shape)
        ask(rules.check_weights, recipe.model)
        ask(rules.check_batch, recipe.training, workers, devices)
    if recipe and (plan.space or plan.trials or plan.startup_trials or plan.database):
        ask(check_search, recipe, plan.trials, plan.startup_trials, plan.database, plan.data_root)
        for one in ask(parse_space, plan.space, recipe) or ():
            for override in one.overrides() if one.field in _CUT_BATCHES else ():
                # The best of the trials is trained once more, by all workers.
                ask(rules.check_batch, recipe.with_overrides([override]).training, workers, devices)
    return recipe


def refuse_studies(
    plan: Plan,
    recipe: Recipe | None,
    studies: pd.DataFrame,
    known: Sequence[str] | None,
    refusals: Refusals,
) -> int:
    """Asks what the studies decide, however they are split.

    Args:
      plan: what is to become of them.
      recipe: what they are for.
      studies: `Index` and the 22 labels.
      known: the clinical variables that are known of some study; None where they cannot be read.
      refusals: gathers what is refused.

    Returns:
      How many studies there are of the rarer class.
    """
    positives = int(studies[ANEURYSM].sum())
    rarer = min(positives, len(studies) - positives)
    if not rarer:
        refusals.told.append(
            f"{plan.labels}: expected studies with and without an aneurysm, found {positives} with and "
            f"{len(studies) - positives} without; add studies of the other kind"
        )
    if recipe and known is not None:
        refusals.ask(require_clinical, recipe, known, plan.labels)
    if plan.pseudonymise:
        refusals.ask(pseudonyms, studies[INDEX])
    return rarer


def refuse_splits(plan: Plan, recipe: Recipe | None, studies: pd.DataFrame, refusals: Refusals) -> None:
    """Asks what training and evaluation need of each split, and an ensemble of each fold.

    Args:
      plan: what is to become of the studies.
      recipe: what they are for.
      studies: `Index`, the 22 labels and `split`.
      refusals: gathers what is refused.
    """
    parts = {split: studies[studies["split"] == split] for split in SPLITS}
    counts = {split: (int(part[ANEURYSM].sum()), len(part)) for split, part in parts.items()}
    refusals.ask(rules.require_both_classes, counts, plan.labels)
    if recipe and recipe.training.ensemble:
        training = in_record_order(parts["train"])[list(LABELS)].to_numpy()
        refusals.ask(fold_of_studies, training, recipe.training.ensemble, plan.seed)
