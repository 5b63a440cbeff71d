"""The trials of a search in Optuna's database: drawn, trained, pruned, taken up after a crash.

Optuna calls a search a study, which is a patient's examination everywhere else here.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from angiopipe import sqlite
from angiopipe.recipe import Recipe
from angiopipe.search_space import Choices, Range

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 40
"""A running trial that has not been heard of for so long belongs to a process that was killed."""
_POLL_SECONDS = 1

MOST_KILLED = 3
"""A trial whose process was killed so often is given up."""

Report = Callable[[int, float], None]
"""Takes an epoch, counted from 1, and its validation AUROC; raises `optuna.TrialPruned`."""
Objective = Callable[[Sequence[str], Report], tuple[float, dict[str, float]]]
"""From a trial's overrides to its validation AUROC and what else is told of it."""


@dataclass(frozen=True)
class Search:
    """What a search draws from and how.

    Attributes:
      name: names it in the database; the same name goes on with the same search.
      space: the fields and what they may be.
      trials: how many in all.
      startup_trials: so many are drawn at random, and trained to their end.
      warmup_epochs: none is pruned before so many epochs.
      seed: of the draws.
    """

    name: str
    space: tuple[Range | Choices, ...]
    trials: int
    startup_trials: int
    warmup_epochs: int
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, examples_fingerprint: str, **settings: Any) -> Search:
        """A search named by all that decides what its trials come to, but for their number."""
        decisive = {name: value for name, value in settings.items() if name != "trials"}
        seen = f"{recipe.digest()} {examples_fingerprint} {sorted(decisive.items())!r}"
        digest = hashlib.sha256(seen.encode()).hexdigest()[:16]
        return cls(name=f"{recipe.name}-{digest}", **settings)


def open_search(search: Search, database: str) -> optuna.Study:
    """The search in its database, begun if it is not there.

    Args:
      search: what is searched.
      database: URL as SQLAlchemy takes it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = sqlite.path_of(database)
    if file:
        sqlite.make_whole(file, lambda made: optuna.storages.RDBStorage(_for_optuna(sqlite.uri_of(made))))
    # SQLite lets one process write at a time; the others wait.
    options = {"connect_args": {"timeout": 60}} if database.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            _for_optuna(database),
            engine_kwargs=options,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=_again,
        )
    return optuna.create_study(
        study_name=search.name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=_ByPlace(search.seed, search.startup_trials),
        pruner=optuna.pruners.MedianPruner(search.startup_trials, search.warmup_epochs),
    )


def _for_optuna(database: str) -> str:
    """Optuna takes braces in a URL for places to put something in."""
    return database.replace("{", "%7B").replace("}", "%7D")


class _ByPlace(optuna.samplers.BaseSampler):
    """TPE seeded anew by a trial's place among those that count.

    So an interrupted search draws what it would have drawn, and no two of several processes draw alike.
    """

    def __init__(self, seed: int, startup_trials: int):
        self.seed, self.startup_trials = seed, startup_trials

    def _tpe(self, study: optuna.Study, trial: FrozenTrial, field: str = "") -> optuna.samplers.TPESampler:
        before = study.get_trials(deepcopy=False)[: trial.number]
        place = trial.number - sum(map(is_interrupted, before))
        seed = int(
            np.random.SeedSequence([self.seed, place, zlib.crc32(field.encode())]).generate_state(1)[0]
        )
        return optuna.samplers.TPESampler(n_startup_trials=self.startup_trials, seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._tpe(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        tpe = self._tpe(study, trial, param_name)
        return tpe.sample_independent(study, trial, param_name, param_distribution)


def run_trials(
    study: optuna.Study, search: Search, objective: Objective, after: Callable[[], None] = lambda: None
) -> None:
    """Trains until the search has its number of trials, those of earlier and other processes counted.

    A trial whose process was killed is drawn again with the same overrides, so that its training goes
    on from its checkpoint. One that fails is kept with its reason, and the search goes on.

    Args:
      study: from `open_search`.
      search: what is searched.
      objective: trains one trial.
      after: called after every trial.
    """
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in counted(study)]
        if len(states) >= search.trials and TrialState.WAITING not in states:
            if TrialState.RUNNING not in states:
                return
            # Another process trains it, or died with it.
            time.sleep(_POLL_SECONDS)
            continue
        study.optimize(lambda trial: _run(study, trial, search, objective), n_trials=1, catch=Exception)
        gc.collect()
        after()


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: all but those that were interrupted, which were drawn again."""
    return [trial for trial in study.get_trials(deepcopy=False) if not is_interrupted(trial)]


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether the trial's process ended before the trial did."""
    return trial.state is TrialState.FAIL and "reason" not in trial.user_attrs


def _run(study: optuna.Study, trial: optuna.Trial, search: Search, objective: Objective) -> float:
    overrides = [field.suggest(trial) for field in search.space]
    trial.set_user_attr("overrides", overrides)
    done = len([t for t in counted(study) if t.state.is_finished()])
    log.info("trial %d, %d of %d: %s", trial.number, done + 1, search.trials, " ".join(overrides))

    def report(epoch: int, auroc: float) -> None:
        trial.report(auroc, epoch)
        if trial.should_prune():
            trial.set_user_attr("reason", f"pruned after epoch {epoch}, below the median of the others")
            raise optuna.TrialPruned

    try:
        auroc, told = objective(overrides, report)
    except optuna.TrialPruned:
        log.info("trial %d: %s", trial.number, trial.user_attrs["reason"])
        raise
    except Exception as error:
        trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        log.warning("trial %d failed: %s: %s", trial.number, type(error).__name__, error)
        raise
    except KeyboardInterrupt:
        _again(study, study.get_trials(deepcopy=False)[trial.number], killed=False)
        raise
    for name, value in told.items():
        trial.set_user_attr(name, value)
    log.info("trial %d: validation AUROC %.3f", trial.number, auroc)
    return auroc


def _again(study: optuna.Study, trial: FrozenTrial, killed: bool = True) -> None:
    """Puts an interrupted trial back in line with what it has reported, unless it kills what trains it."""
    if not trial.params:
        return  # Ended before anything was drawn.
    times = trial.user_attrs.get("killed", 0) + killed
    told: dict[str, Any] = {"killed": times}
    if times >= MOST_KILLED:
        told["overrides"] = trial.user_attrs.get("overrides", [])
        told["reason"] = (
            f"its process was killed {times} times; if memory ran out, give the field smaller values or set "
            "training.accumulate"
        )
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.FAIL if "reason" in told else TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=told,
            intermediate_values=trial.intermediate_values,
        )
    )
