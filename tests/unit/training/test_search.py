"""A search from manifest to manifest, with real trainings of a tiny model."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from angiopipe.recipe import load_recipe
from angiopipe.search_space import parse_space
from angiopipe.training import search_trials
from angiopipe.training.search import SearchManifest, _within_quotes, search
from angiopipe.training.search_trials import Search, counted, open_search, run_trials
from tests.odd_paths import ALL
from tests.unit.training.conftest import TINY, blobs, examples_in

SPACE = ("training.learning_rate=log(1e-4,1e-1)", "training.batch_size=[4,8]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Examples whose test studies cannot be read: their files are gone."""
    folder = tmp_path_factory.mktemp("search")
    recipe = load_recipe("octoview", TINY["octoview"])
    shape = recipe.preprocessing.shape
    splits = {"train": blobs(shape, 12, 0), "validation": blobs(shape, 10, 1), "test": blobs(shape, 4, 2)}
    manifest = examples_in(folder, recipe, **splits)
    for shard in manifest.shards:
        if shard.split == "test":
            (Path(manifest.location) / shard.name).unlink()
    return folder


@pytest.fixture
def run(folder):
    def run(*overrides, space=SPACE, **options):
        return search(
            examples=str(folder / "examples.json"),
            out=str(folder / "search.json"),
            data_root=str(folder / "root"),
            overrides=[*TINY["octoview"], "training.epochs=2", *overrides],
            space=space,
            **options,
        )

    return run


def test_the_best_trial_comes_as_overrides_all_as_a_table_and_more_go_on_with_them(run, folder):
    first = pd.read_csv(run(trials=1).trials_uri)
    found = run(trials=2)
    assert found == SearchManifest.read(str(folder / "search.json"))
    trials = pd.read_csv(found.trials_uri)
    pd.testing.assert_frame_equal(trials.head(1), first)
    assert list(trials["state"]) == ["complete"] * 2
    assert trials["training.learning_rate"].between(1e-4, 1e-1).all()
    assert set(trials["training.batch_size"]) <= {4, 8}
    best = trials.loc[found.best_trial]
    assert best["validation_auroc"] == trials["validation_auroc"].max() == found.validation_auroc
    assert Path(found.overrides_uri).read_text().startswith('OVERRIDES="preprocessing.size=32 ')
    pasted = load_recipe("octoview", found.overrides).training
    assert pasted.learning_rate == best["training.learning_rate"]
    assert pasted.batch_size == best["training.batch_size"]
    assert not list((folder / "root" / "searches").rglob("*.npz"))


def test_a_failing_trial_is_told_and_the_search_goes_on(run):
    # A batch of 6 cannot be cut in 4 parts.
    found = run("training.accumulate=4", space=["training.batch_size=[6,8]"], trials=4, startup_trials=4)
    trials = pd.read_csv(found.trials_uri)
    failed = trials[trials["training.batch_size"] == 6]
    assert 0 < len(failed) == found.failed < 4
    assert set(failed["state"]) == {"failed"}
    assert failed["reason"].str.contains("ValueError: training.batch_size: expected a multiple of 4").all()
    assert load_recipe("octoview", found.overrides).training.batch_size == 8


def test_a_search_without_a_finished_trial_tells_why(run):
    with pytest.raises(
        ValueError, match=r"found none.*\n.*trial 0: ValueError: training.batch_size: expected"
    ):
        run("training.accumulate=4", space=["training.batch_size=[5,6]"], trials=1)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"startup_trials": 5}, {"space": ()}])
def test_another_search_has_another_name_and_more_trials_have_not(plan, changed):
    settings = {name: getattr(plan, name) for name in vars(plan) if name != "name"}
    recipe = load_recipe("octoview")
    name = Search.of(recipe, "f" * 16, **settings).name
    assert Search.of(recipe, "f" * 16, **{**settings, "trials": 99}).name == name
    assert Search.of(recipe, "f" * 16, **{**settings, **changed}).name != name
    assert Search.of(recipe, "e" * 16, **settings).name != name
    assert Search.of(load_recipe("octoview", ["model.dropout=0.1"]), "f" * 16, **settings).name != name


def test_a_remote_data_root_needs_a_database(folder):
    with pytest.raises(ValueError, match="expected a database beside a remote data root"):
        search(
            examples=str(folder / "examples.json"),
            out=str(folder / "search.json"),
            data_root="memory://root",
            overrides=TINY["octoview"],
        )


def test_ensembles_are_for_training(run):
    with pytest.raises(ValueError, match=r"training\.ensemble: expected 0"):
        run("training.ensemble=2")


# From here on the database and Optuna are real, and a curve stands in for an hour of training.


@pytest.fixture
def plan():
    space = parse_space(["training.learning_rate=log(1e-4,1e-1)"], load_recipe("octoview"))
    return Search("curves", space, trials=10, startup_trials=4, warmup_epochs=2, seed=0)


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/searches.db"


def _rate(overrides):
    return float(overrides[0].partition("=")[2])


def _curve(overrides, report):
    """Best near a rate of 0.01, and known from the first epoch on."""
    reached = 1 - abs(np.log10(_rate(overrides)) + 2) / 4
    for epoch in range(1, 11):
        report(epoch, reached)
    return reached, {"best_epoch": 10, "validation_loss": 1 - reached, "training_seconds": 1.0}


def test_hopeless_trials_are_pruned_by_their_validation_auroc(plan, database):
    study = open_search(plan, database)
    run_trials(study, plan, _curve)
    trials = counted(study)
    pruned = [t for t in trials if t.state is optuna.trial.TrialState.PRUNED]
    assert len(trials) == 10
    assert 0 < len(pruned) < 6
    assert not {t.number for t in pruned} & {0, 1, 2, 3}
    assert {max(t.intermediate_values) for t in pruned} == {2}
    assert all("below the median" in t.user_attrs["reason"] for t in pruned)
    assert max(t.values[0] for t in trials if t.values) > 0.9


def test_an_interrupted_search_draws_what_it_would_have_drawn(plan, database, tmp_path):
    whole = open_search(plan, f"sqlite:///{tmp_path}/whole.db")
    run_trials(whole, plan, _curve)
    interrupted = open_search(plan, database)

    def ends(overrides, report):
        if len(counted(interrupted)) == 7:
            report(1, 0.5)
            raise KeyboardInterrupt
        return _curve(overrides, report)

    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupted, plan, ends)
    run_trials(open_search(plan, database), plan, _curve)
    rates = [t.user_attrs["overrides"] for t in counted(whole)]
    assert [t.user_attrs["overrides"] for t in counted(interrupted)] == rates
    (lost,) = (t for t in interrupted.get_trials() if search_trials.is_interrupted(t))
    assert lost.number == 6
    (again,) = (t for t in counted(interrupted) if t.params == lost.params)
    assert lost.intermediate_values == {1: 0.5}
    assert set(again.intermediate_values) >= {1, 2}
    assert again.intermediate_values[1] == 0.5


def test_fields_are_drawn_each_by_itself(database):
    space = parse_space(
        ["training.learning_rate=uniform(0.1,1)", "model.sharpness=uniform(0.1,1)"], load_recipe("octoview")
    )
    plan = Search("fields", space, trials=8, startup_trials=8, warmup_epochs=2, seed=0)
    study = open_search(plan, database)
    run_trials(study, plan, lambda overrides, report: (0.5, {"validation_loss": 1.0}))
    drawn = np.array([list(t.params.values()) for t in counted(study)])
    # One seed for all fields would draw the same share of every range.
    assert np.abs(drawn[:, 0] - drawn[:, 1]).min() > 1e-3
    assert (np.ptp(drawn, axis=0) > 0.3).all()


def test_two_processes_may_share_a_search(plan, database):
    one, other = open_search(plan, database), open_search(plan, database)
    trained = {"one": 0, "other": 0}

    def objective(name):
        def train(overrides, report):
            trained[name] += 1
            time.sleep(0.1)
            return _curve(overrides, report)

        return train

    with ThreadPoolExecutor() as both:
        for done in [
            both.submit(run_trials, study, plan, objective(name))
            for study, name in ((one, "one"), (other, "other"))
        ]:
            done.result()
    assert min(trained.values()) > 0
    # Each may begin one more while the other begins the last.
    assert 10 <= len(counted(one)) == sum(trained.values()) <= 11
    assert len({tuple(t.user_attrs["overrides"]) for t in counted(one)}) == len(counted(one))


def test_a_trial_that_kills_every_process_is_given_up(plan, database):
    study = open_search(plan, database)
    for _ in range(search_trials.MOST_KILLED):
        trial = study.ask()
        trial.set_user_attr("overrides", [field.suggest(trial) for field in plan.space])
        study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        search_trials._again(study, study.get_trials()[trial.number])
    last = study.get_trials()[-1]
    assert last.state is optuna.trial.TrialState.FAIL
    assert "its process was killed 3 times" in last.user_attrs["reason"]
    assert [t.number for t in counted(study)] == [last.number]


FIRST = """
import sys
from angiopipe.training.search_trials import Search, open_search
print("ready", flush=True)
sys.stdin.readline()
open_search(Search("fields", (), trials=1, startup_trials=1, warmup_epochs=1, seed=0), sys.argv[1])
"""


def test_searches_that_are_first_at_once_all_find_the_database_whole(tmp_path):
    for attempt in range(2):
        uri = f"sqlite:///{tmp_path}/{attempt} {ALL}/searches.db"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", FIRST, uri],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(3)
        ]  # fmt: skip
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ended = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * 3, ended


def test_the_best_overrides_can_be_pasted_into_a_shell():
    overrides = ['model.clinical=["age","sex"]', "a=it's", "b=$x", "c=`id`", "d=\\"]
    pasted = f'OVERRIDES="{_within_quotes(shlex.join(overrides))}"; printf %s "$OVERRIDES"'
    done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True)
    assert shlex.split(done.stdout) == overrides
