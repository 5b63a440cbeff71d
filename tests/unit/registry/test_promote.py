"""The gate at work on a real registry: every outcome, told, recorded, and the alias where it belongs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from angiopipe.records.manifest import InventoryManifest
from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.champion import describe, history, rollback
from angiopipe.registry.pointed import point_mlflow_at
from angiopipe.registry.promote import _note_studies, promote
from angiopipe.registry.verdict import Verdict
from tests.unit.registry.gate_world import NAME, World, make_world, write_inventory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registered(tmp_path_factory, empty_database) -> World:
    """Versions 1 to 6: a fair model, a better, a worse, one that is bad at BA, one that fails on a study, a twin of 1."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copy(empty_database, folder / "mlflow.db")
    world = make_world(folder, f"sqlite:///{folder}/mlflow.db")
    world.add_version(1.5, seed=1)
    world.add_version(3.0, seed=2)
    world.add_version(0.0, seed=3)
    world.add_version({"rest": 4.0, "BA": -2.0}, seed=4)
    world.add_version(1.0, seed=5, fails_on="77")
    world.add_version(1.5, seed=1)
    return world


@pytest.fixture
def world(registered: World, tmp_path: Path) -> World:
    """The registry as it was before any test moved an alias."""
    shutil.copy(registered.folder / "mlflow.db", tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    point_mlflow_at(uri)
    return World(registered.folder, mlflow.MlflowClient(uri), uri, registered.test)


def crown(world: World, version: int) -> None:
    aliases = Aliases(world.client, NAME)
    aliases.move(CHAMPION, version, "to begin with", "promote", aliases.read(CHAMPION))


def recorded(world: World, version: int) -> tuple[Verdict, dict[str, str]]:
    known = world.client.get_model_version(NAME, str(version))
    path = world.client.download_artifacts(known.run_id, known.tags["gate_verdict"])
    return Verdict.model_validate_json(Path(path).read_text()), known.tags


def test_without_a_champion_the_first_servable_version_is_promoted(world):
    done = promote(**world.arguments(1))
    assert (done.promoted, done.outcome, done.champion, done.aliases) == (True, "first", 1, ("champion",))
    verdict, tags = recorded(world, 1)
    assert verdict.serving_check.studies == 8
    assert verdict.serving_check.largest_difference < 1e-6
    assert tags["gate"] == "first"
    assert tags["gate_test_fingerprint"] == verdict.test_fingerprint
    assert (
        json.loads(Path(world.data_root, "runs", "local", "promotion.json").read_text())["promoted"] is True
    )


def test_a_better_one_is_promoted_and_can_be_taken_back(world, capsys):
    crown(world, 1)
    done = promote(**world.arguments(2))
    assert (done.outcome, done.champion) == ("passed", 2)
    verdict, tags = recorded(world, 2)
    assert verdict.champion_scores == "scored"
    assert verdict.aneurysm.challenger > verdict.aneurysm.champion
    assert tags["gate_auroc_challenger"] == f"{verdict.aneurysm.challenger:.4f}"
    assert tags["gate_reason"] == verdict.reason == done.reason
    assert tags["gate_exposure"].startswith("not known: the challenger's run holds no gate/studies.csv")
    rollback("it was too sure of itself", NAME, tracking_uri=world.tracking_uri)
    assert "champion is version 1 again, after version 2" in capsys.readouterr().out
    aliases = Aliases(world.client, NAME)
    assert aliases.current(CHAMPION) == 1
    table = describe(aliases)
    assert table.splitlines()[0].split() == [
        "#",
        "when",
        "(UTC)",
        "alias",
        "move",
        "from",
        "to",
        "who",
        "run",
        "why",
    ]
    assert "rollback  2     1" in table
    assert table.splitlines()[3].endswith("it was too sure of itself")
    with pytest.raises(ValueError, match="expected an earlier champion to go back to, found none"):
        rollback("once more", NAME, tracking_uri=world.tracking_uri)


@pytest.mark.parametrize(
    ("challenger", "champion", "outcome", "words"),
    [
        (3, 1, "worse", "reaches below the margin of -0.05"),
        (4, 2, "location_worse", "significantly worse at BA"),
        (1, 5, "champion_unavailable", "study 77 is too much for me"),
    ],
)
def test_who_does_not_pass_leaves_the_champion_where_it_is(world, challenger, champion, outcome, words):
    crown(world, champion)
    done = promote(**world.arguments(challenger))
    assert (done.promoted, done.outcome, done.champion) == (False, outcome, champion)
    assert words in done.reason
    verdict, tags = recorded(world, challenger)
    assert (verdict.passed, tags["gate"]) == (False, outcome)
    assert len(Aliases(world.client, NAME).entries()) == 1


def test_an_equal_one_is_promoted_and_stored_scores_serve_on_the_same_test_set(world):
    promote(**world.arguments(1))
    done = promote(**world.arguments(6))
    verdict, _ = recorded(world, 6)
    assert (done.outcome, done.champion) == ("passed", 6)
    assert verdict.champion_scores == "stored"
    assert verdict.aneurysm.difference == 0
    assert "does not tell how few" in verdict.judgement.notes[0]


def test_a_champion_of_another_test_set_is_scored_anew_and_its_training_is_remembered(world, tmp_path):
    """Version 1 was made from some of the studies that version 2 is tested on."""
    crown(world, 1)
    world.client.set_model_version_tag(NAME, "1", "gate_test_fingerprint", "another")
    earlier = write_inventory(tmp_path / "earlier", {0: "train", 1: "train", 2: "validation", 900: "test"})
    present = write_inventory(tmp_path / "present", {0: "test", 1: "test", 2: "test", 3: "test", 4: "train"})
    run = world.client.get_model_version(NAME, "1").run_id
    _note_studies(world.client, run, InventoryManifest.read(earlier))
    promote(**world.arguments(2), inventory=present)
    verdict, _ = recorded(world, 2)
    assert (verdict.champion_scores, verdict.champion_tested_on) == ("scored", "another")
    assert verdict.exposure.startswith("2 of the 4 test studies trained the champion and 1 validated it")
    assert "biased against the challenger" in verdict.exposure


@pytest.mark.parametrize(
    ("ensemble", "told"), [("0", "its score is flattered"), ("5", "chose no member's weights or epoch")]
)
def test_validation_studies_flatter_a_single_champion_and_no_ensemble(world, tmp_path, ensemble, told):
    """An ensemble chooses weights and epochs on folds of its training studies."""
    crown(world, 1)
    world.client.set_model_version_tag(NAME, "1", "gate_test_fingerprint", "another")
    run = world.client.get_model_version(NAME, "1").run_id
    world.client.log_param(run, "training.ensemble", ensemble)
    _note_studies(
        world.client,
        run,
        InventoryManifest.read(write_inventory(tmp_path / "e", {1: "train", 2: "validation"})),
    )
    promote(**world.arguments(2), inventory=write_inventory(tmp_path / "p", {2: "test", 3: "test"}))
    exposure = recorded(world, 2)[0].exposure
    assert exposure.startswith("0 of the 2 test studies trained the champion and 1 validated it")
    assert told in exposure


@pytest.mark.parametrize("damage", ["deleted artefact", "deleted version"])
def test_a_champion_that_is_gone_stays_until_a_person_decides(world, damage):
    crown(world, 2)
    stored = Path(world.client.get_model_version_download_uri(NAME, "2").removeprefix("file://"))
    hidden = stored.with_name("hidden")
    if damage == "deleted version":
        world.client.delete_model_version(NAME, "2")
    else:
        stored.rename(hidden)
    try:
        done = promote(**world.arguments(1))
        assert (done.promoted, done.outcome) == (False, "champion_unavailable")
        assert (
            "the champion, version 2, could not be compared: models:/detector/2 could not be loaded"
            in done.reason
        )
        assert "angiopipe promote --version 1 --overrule --why" in done.reason
        done = promote(**world.arguments(1, why="version 2 is lost"), overrule=True)
        assert (done.promoted, done.overruled, done.champion) == (True, True, 1)
        last = Aliases(world.client, NAME).read(CHAMPION).counted[-1].entry
        assert last.why == "version 2 is lost (overrules the gate: champion_unavailable)"
    finally:
        if hidden.exists():
            hidden.rename(stored)


def test_a_predictor_that_answers_something_else_is_not_served_even_if_overruled(world):
    evaluated = world.evaluation_of(world.settings(2), offset=0.002)
    done = promote(**world.arguments(2), overrule=True)
    world.evaluation_of(world.settings(2))
    assert (done.promoted, done.outcome, done.champion) == (False, "not_servable", None)
    assert "expected the evaluated probability" in done.reason
    assert evaluated.test_fingerprint not in recorded(world, 2)[1].values()


def test_what_does_not_belong_together_is_refused(world):
    arguments = world.arguments(2)
    with pytest.raises(ValueError, match="expected an evaluation and studies of the weights"):
        promote(**{**arguments, "evaluation": world.arguments(1)["evaluation"]})
    with pytest.raises(ValueError, match="expected its studies at /nowhere, found nothing: give --studies"):
        promote(**{**arguments, "studies": "/nowhere"})
    with pytest.raises(ValueError, match="expected --version and --why"):
        promote(**{**arguments, "why": ""})
    with pytest.raises(ValueError, match="version 99: MLflow answered RESOURCE_DOES_NOT_EXIST"):
        promote(**{**arguments, "version": 99})
    crown(world, 2)
    with pytest.raises(ValueError, match="version 2 is the champion already"):
        promote(**arguments)


def test_a_step_that_is_started_again_ends_as_it_did(world):
    first = promote(**world.arguments(1))
    assert promote(**world.arguments(1)) == first
    assert len(Aliases(world.client, NAME).entries()) == 1


def test_history_shows_hand_moved_aliases_repairs_them_and_shows_damage(world, capsys):
    crown(world, 1)
    crown(world, 2)
    world.client.set_registered_model_alias(NAME, CHAMPION, "3")
    history(NAME, tracking_uri=world.tracking_uri)
    assert (
        "champion: the ledger says version 2, MLflow's alias points to version 3" in capsys.readouterr().out
    )
    history(NAME, tracking_uri=world.tracking_uri, repair=True)
    assert "champion: version 2" in capsys.readouterr().out
    assert Aliases(world.client, NAME).current(CHAMPION) == 2
    world.client.set_model_version_tag(f"{NAME}-ledger", "1", "who", "somebody else")
    with pytest.raises(ValueError, match="ledger entry 1: .* it was altered") as damaged:
        history(NAME, tracking_uri=world.tracking_uri)
    assert "somebody else" in str(damaged.value)
