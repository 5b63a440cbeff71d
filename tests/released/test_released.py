"""What release 0.1.0 wrote is read, served and gone on with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.score import PredictionsManifest, read_predictions
from angiopipe.recipe import load_recipe
from angiopipe.records.audit import audit
from angiopipe.records.manifest import (
    EvaluationManifest,
    ExamplesManifest,
    InventoryManifest,
    ModelManifest,
    StudiesManifest,
)
from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.champion import history, rollback
from angiopipe.registry.consumer import Consumer
from angiopipe.registry.news import NewsManifest, news
from angiopipe.registry.promote import PromotionManifest
from angiopipe.registry.register import RegistrationManifest
from angiopipe.registry.score import score
from angiopipe.study import LABELS, VIEW_NAMES
from angiopipe.training.search import SearchManifest
from pipelines.graphs import PIPELINES, parameters
from tests.released.unpacked import unpack

pytestmark = pytest.mark.slow

RECIPES = {"kium": "kium_vgg16", "coding": "coding_vessels", "octoview": "octoview"}
"""Each registered model's recipe."""


@pytest.fixture(scope="module", params=["0.1.0"])
def released(request, tmp_path_factory) -> Path:
    return unpack(request.param, tmp_path_factory.mktemp("released"))


def tracking_uri(released: Path) -> str:
    return f"sqlite:///{released}/data/mlflow.db"


def test_every_manifest_is_read(released):
    kinds = {
        "inventory/manifest.json": InventoryManifest, "model/manifest.json": ModelManifest,
        "evaluation/manifest.json": EvaluationManifest, "registration.json": RegistrationManifest,
        "promotion.json": PromotionManifest, "news.json": NewsManifest,
    }  # fmt: skip
    data = released / "data"
    found = {name: list(data.glob(f"runs/*/{name}")) for name in kinds}
    found = {name: paths for name, paths in found.items() if name != "inventory/manifest.json"}
    assert all(found.values())
    for name, paths in found.items():
        for path in paths:
            assert kinds[name].read(str(path)).kind == json.loads(path.read_text())["kind"]
    assert InventoryManifest.read(str(data / "clean.json")).studies == 48
    assert InventoryManifest.read(str(data / "left.json")).quarantined == 1
    assert SearchManifest.read(str(data / "search.json"))
    for kind, folder in ((StudiesManifest, "studies"), (ExamplesManifest, "examples")):
        manifests = list(data.glob(f"{folder}/*/manifest.json"))
        assert len(manifests) == 3
        assert {kind.read(str(path)).studies for path in manifests} == {48}


def test_its_recipes_are_todays(released):
    for path in released.glob("data/runs/*/model/manifest.json"):
        recipe = ModelManifest.read(str(path)).recipe
        assert recipe.name == load_recipe(recipe.name).name


def test_its_cohort_keeps_its_splits_and_its_studies(released, tmp_path):
    train, data = released / "cohort" / "train_set", released / "data"
    inventory = tmp_path / "inventory.json"
    made = validate(
        str(train / "images"), str(train / "train.csv"), str(inventory), str(data), run_id="again"
    )
    before = InventoryManifest.read(str(data / "clean.json"))
    assert (made.fingerprint, made.data_fingerprint) == (before.fingerprint, before.data_fingerprint)
    before_shards = {path: path.stat().st_mtime_ns for path in data.glob("studies/*/*.tfrecord")}
    ingest(str(inventory), str(tmp_path / "studies.json"), str(data), run_id="again")
    assert {path: path.stat().st_mtime_ns for path in data.glob("studies/*/*.tfrecord")} == before_shards


def test_its_records_pass_the_audit(released, tmp_path):
    data, labels = released / "data", str(released / "cohort" / "train_set" / "train.csv")
    under_pseudonyms = StudiesManifest.read(str(data / "pseudonymous.json")).fingerprint
    plain, clinical = (
        next(
            str(path)
            for path in data.glob("studies/*/manifest.json")
            if path.parent.name != under_pseudonyms
            and bool(StudiesManifest.read(str(path)).clinical) == wanted
        )
        for wanted in (False, True)
    )
    out, root = str(tmp_path / "audit.json"), str(tmp_path / "root")
    audit(f"{data}/studies/{under_pseudonyms}/manifest.json", out, root, labels=labels, pseudonymise=True)
    for path in data.glob("examples/*/manifest.json"):
        studies = clinical if ExamplesManifest.read(str(path)).clinical else plain
        report = audit(studies, out, root, labels=labels, examples=str(path))
        assert sum(report.counts.values()) == 48


@pytest.mark.parametrize("name", RECIPES)
def test_its_champions_answer_as_they_did(released, name):
    """In a process of its own, so that the package's code answers, not this release's."""
    champion = mlflow.MlflowClient(tracking_uri(released)).get_model_version_by_alias(name, "champion")
    assert champion.tags["recipe"] == RECIPES[name]
    run = Path(champion.tags["run_folder"])
    evaluated = pd.read_csv(run / "evaluation" / "predictions.csv", dtype={"Index": str})
    evaluated = evaluated[evaluated["split"] == "test"].set_index("Index")
    train = released / "cohort" / "train_set"
    patients = pd.read_csv(train / "clinical.csv", dtype=str).set_index("Index")
    rows = [
        {
            **{view: (train / "images" / f"{index}{view}.jpg").read_bytes() for view in VIEW_NAMES},
            **{column: patients.loc[index, column] for column in ("age", "sex")},
        }
        for index in evaluated.index
    ]
    with Consumer(f"models:/{name}@champion", tracking_uri(released)) as consumer:
        answers = consumer.answer(rows)
    expected = evaluated.reindex(columns=[f"probability_{label}" for label in LABELS])
    np.testing.assert_allclose(answers, expected.to_numpy(float), atol=2e-5)


def test_its_predictions_are_read(released):
    (path,) = released.glob("data/predictions/*/manifest.json")
    manifest = PredictionsManifest.read(str(path)).model_copy(update={"location": str(path.parent)})
    scored = list(read_predictions(manifest))
    assert len(scored) == 4
    assert all(0 <= study.probabilities[0] <= 1 for study in scored)


def test_its_champion_scores_in_todays_line(released, tmp_path):
    """With the code it was registered with: this release's may read requests otherwise."""
    (path,) = released.glob("data/predictions/*/manifest.json")
    test = released / "cohort" / "test_set"
    made = score(
        str(test / "images"), str(test / "test.csv"), str(tmp_path / "out.json"), str(tmp_path / "root"),
        tracking_uri=tracking_uri(released), model_name="octoview", clinical=str(test / "clinical.csv"),
    )  # fmt: skip
    before = PredictionsManifest.read(str(path)).model_copy(update={"location": str(path.parent)})
    for then, now in zip(read_predictions(before), read_predictions(made), strict=True):
        assert (then.index, then.decision, then.sha256) == (now.index, now.decision, now.sha256)
        np.testing.assert_allclose(now.probabilities, then.probabilities, atol=1e-5)


def test_its_ledger_is_gone_on_with(released, capsys):
    uri = tracking_uri(released)
    aliases = Aliases(mlflow.MlflowClient(uri), "octoview")
    assert aliases.read(CHAMPION).version == 1
    aliases.move(CHAMPION, 2, "a test", "promote", aliases.read(CHAMPION))
    rollback("another", tracking_uri=uri, model_name="octoview")
    assert aliases.read(CHAMPION).version == 1
    history(tracking_uri=uri, model_name="octoview")
    told = capsys.readouterr().out
    assert told.count("rollback") == 1
    assert told.count("promote") == 2


def test_a_schedule_rests_on_what_it_trained(released, tmp_path):
    """The recipe and the data are the same, whatever this release digests them by."""
    train = released / "cohort" / "train_set"
    run = next(
        path.parent
        for path in released.glob("data/runs/*/news.json")
        if NewsManifest.read(str(path)).model_name == "octoview"
    )
    made = ModelManifest.read(str(run / "model" / "manifest.json"))
    overrides = [
        "training.epochs=2", "preprocessing.size=32", "model.widths=[4,8]", "model.dilations=[1]",
        "model.weights=null", 'model.clinical=["age","sex"]',
    ]  # fmt: skip
    assert load_recipe("octoview", overrides) == made.recipe
    told = news(
        str(train / "images"), str(train / "train.csv"), str(tmp_path / "news.json"), str(released / "data"),
        recipe="octoview", overrides=overrides, tracking_uri=tracking_uri(released), model_name="octoview",
        clinical=str(train / "clinical.csv"),
    )  # fmt: skip
    assert (told.is_new, told.version) == (False, 2)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_its_packages_parameters_are_still_taken(released, pipeline):
    """A schedule that was made with the release's package names parameters that today's has, too."""
    package = next(yaml.safe_load_all((released / f"{pipeline}.yaml").read_text()))
    before = package["root"]["inputDefinitions"]["parameters"]
    known = parameters(pipeline)
    assert set(before) <= set(known)
    for name, described in before.items():
        if "defaultValue" in described:
            assert known[name].default == described["defaultValue"]


def test_the_archive_is_the_one_that_was_made(released):
    """A release's archive is made once: a later one would hold what a later release wrote."""
    from tests.released.unpacked import FOLDER

    digests = {"0.1.0": "7e276379cd2965d661e2e363b0564ec666ae7c39e09e6301a2b649ee86a0f839"}
    for version, digest in digests.items():
        assert hashlib.sha256((FOLDER / f"{version}.tar.xz").read_bytes()).hexdigest() == digest
