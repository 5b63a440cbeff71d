"""The search step: which values of a recipe's fields reach the highest validation AUROC."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from angiopipe import defaults, sqlite, storage
from angiopipe.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, Manifest
from angiopipe.search_space import check_search, parse_space
from angiopipe.step import record_figures, step

if TYPE_CHECKING:
    import optuna

    from angiopipe.training.loop import Epoch
    from angiopipe.training.search_trials import Objective, Report

log = logging.getLogger(__name__)


class SearchManifest(Manifest):
    """A finished search; `location` holds `trials.csv` and `overrides.txt`.

    Attributes:
      location: URI of the folder.
      recipe: the recipe's name.
      overrides: of the best trial, those that the search began with among them.
      examples_fingerprint: what was trained on.
      trials: how many count.
      pruned, failed: how many of them.
      best_trial: its number.
      validation_auroc: of `Aneurysm` in the best trial; the best of many, so too high for an estimate.
    """

    kind: Literal["search"] = "search"
    location: str
    recipe: str
    overrides: tuple[str, ...]
    examples_fingerprint: str
    trials: int
    pruned: int
    failed: int
    best_trial: int
    validation_auroc: float

    @property
    def trials_uri(self) -> str:
        return storage.join(self.location, "trials.csv")

    @property
    def overrides_uri(self) -> str:
        return storage.join(self.location, "overrides.txt")


@step("search")
def search(
    examples: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    space: Sequence[str] = (),
    trials: int = defaults.SEARCH_TRIALS,
    startup_trials: int = defaults.SEARCH_STARTUP_TRIALS,
    seed: int = 0,
    database: str = "",
) -> SearchManifest:
    """Searches the values of a recipe's fields that reach the highest validation AUROC.

    The same recipe, overrides, examples, space and seed go on with the same search: after it was
    interrupted, for more trials, or together with other processes that share data root and database.
    The test studies are never read.

    Args:
      examples: URI of the examples' manifest.
      out: URI to write the search's manifest to.
      data_root: URI under which runs keep their data; the search lies in `searches/<digest>/`.
      run_id: the run's name, for the record of the step.
      recipe: the recipe's name.
      overrides: `field=value` each, for all trials.
      space: `field=log(low,high)`, `field=uniform(low,high)` or `field=[value,value]` each; empty takes
        what `search_space.DEFAULT_SPACES` has for the recipe's architecture.
      trials: how many settings to try in all, those of earlier runs counted.
      startup_trials: so many of them are drawn at random and trained to their end.
      seed: of the draws, and of every trial's training.
      database: URL of Optuna's database, as SQLAlchemy takes it; empty is an SQLite file under the
        data root.

    Raises:
      ValueError: the space does not fit the recipe, the examples were made for another
        preprocessing, no trial came to its end, or the data root is remote and no database is given.
    """
    settings = load_recipe(recipe, overrides)
    check_search(settings, trials, startup_trials, database, data_root)
    drawn, data = parse_space(space, settings), ExamplesManifest.read(examples)
    # What follows loads TensorFlow and Optuna.
    from angiopipe.training.search_trials import Search, open_search, run_trials
    from angiopipe.training.train import check

    check(data, settings)
    warmup = max(1, settings.training.epochs // 5)
    plan = Search.of(
        settings,
        data.fingerprint,
        space=drawn,
        trials=trials,
        startup_trials=startup_trials,
        warmup_epochs=warmup,
        seed=seed,
    )
    location = storage.join(storage.absolute(data_root), "searches", plan.name)
    url = database or _local_database(data_root)
    objective = _objective(settings, _without_test(data), seed, storage.join(location, "checkpoints"))
    with sqlite.naming(url):
        study = open_search(plan, url)
        run_trials(study, plan, objective, lambda: _write_table(study, location))
    found = _result(study, location, settings, overrides, data)
    _write_table(study, location)
    pasted = f'OVERRIDES="{_within_quotes(shlex.join(found.overrides))}"'
    storage.write_text(found.overrides_uri, f"{pasted}\n")
    found.write(storage.join(location, MANIFEST_NAME))
    found.write(out)
    record_figures(
        studies_in=data.counts["train"] + data.counts["validation"], validation_auroc=found.validation_auroc
    )
    log.info("best of %d trials: validation AUROC %.3f with %s", found.trials, found.validation_auroc, pasted)
    return found


def _within_quotes(text: str) -> str:
    """`text` as a shell reads it between double quotes."""
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _local_database(data_root: str) -> str:
    folder = storage.local_path(storage.absolute(data_root))
    folder.mkdir(parents=True, exist_ok=True)
    return sqlite.uri_of(f"{folder}/searches.db")


def _without_test(examples: ExamplesManifest) -> ExamplesManifest:
    """The examples as if there were no test studies, whose choice a search must not see."""
    kept = tuple(shard for shard in examples.shards if shard.split != "test")
    return examples.model_copy(update={"shards": kept})


def _objective(recipe: Recipe, examples: ExamplesManifest, seed: int, checkpoints: str) -> Objective:
    """What trains one trial, and goes on where an interrupted one stopped."""
    import keras

    from angiopipe.training.loop import fit, untrained
    from angiopipe.training.strategy import start_strategy

    def train_trial(overrides: Sequence[str], report: Report) -> tuple[float, dict[str, float]]:
        settings = recipe.with_overrides(overrides)
        folder = storage.join(checkpoints, settings.digest())
        keras.backend.clear_session()
        try:
            outcome = fit(
                untrained(settings, seed, strategy),
                examples,
                settings.training,
                seed,
                strategy,
                folder=folder,
                on_epoch=lambda epoch: report(epoch.epoch, epoch.validation_auroc),
            )
        except Exception:
            storage.remove_folder(folder)
            raise
        storage.remove_folder(folder)
        return outcome.best.validation_auroc, _told(outcome.best, outcome.history)

    strategy = start_strategy(defaults.START_DEADLINE)
    return train_trial


def _told(best: Epoch, history: Sequence[Epoch]) -> dict[str, float]:
    seconds = round(sum(epoch.seconds for epoch in history), 1)
    return {"best_epoch": best.epoch, "validation_loss": best.validation_loss, "training_seconds": seconds}


def _write_table(study: optuna.Study, location: str) -> None:
    from angiopipe.training.search_table import table

    storage.write_text(storage.join(location, "trials.csv"), table(study).to_csv(index=False))


def _result(
    study: optuna.Study, location: str, recipe: Recipe, overrides: Sequence[str], data: ExamplesManifest
) -> SearchManifest:
    from angiopipe.training.search_table import best_trial
    from angiopipe.training.search_trials import counted

    states = [trial.state.name for trial in counted(study)]
    best = best_trial(study)
    return SearchManifest(
        location=location,
        recipe=recipe.name,
        overrides=(*overrides, *best.user_attrs["overrides"]),
        examples_fingerprint=data.fingerprint,
        trials=len(states),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        best_trial=best.number,
        validation_auroc=best.values[0],
    )
