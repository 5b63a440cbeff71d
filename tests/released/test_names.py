"""What release 0.1.0 named by its content keeps its name, so that what it began is gone on with."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from angiopipe.dataflow.preprocess import preprocess
from angiopipe.evaluation.evaluate import check_preprocessing
from angiopipe.records.manifest import ExamplesManifest, ModelManifest, StudiesManifest
from angiopipe.training.search import SearchManifest, search
from angiopipe.training.train import train
from tests.released.unpacked import unpack

pytestmark = pytest.mark.slow

QUICK = "training.epochs=1"
OVERRIDES = {
    "kium_vgg16": [
        QUICK, "preprocessing.size=32", "model.depths=[1,1,1,1,1]", "model.widths=[4,4,4,4,4]", "model.dense=[8]"
    ],
    "coding_vessels": [
        QUICK, "preprocessing.size=64", "model.last_block=conv2_block1", "model.features=16", "model.lstm=8",
        "model.dense=8",
    ],
    "octoview": [
        QUICK, "preprocessing.size=32", "model.widths=[4,8]", "model.dilations=[1]", "model.weights=null",
        'model.clinical=["age","sex"]', "training.ensemble=2", "training.checkpoint_steps=2",
    ],
}  # fmt: skip
"""As `make` has them."""


@pytest.fixture(scope="module", params=["0.1.0"])
def data(request, tmp_path_factory) -> Path:
    """The release's data root."""
    return unpack(request.param, tmp_path_factory.mktemp("released")) / "data"


@pytest.fixture
def told(caplog, monkeypatch) -> Iterator[pytest.LogCaptureFixture]:
    """What the library logs, once, whether or not a step of another test had it keep its lines to itself."""
    logger = logging.getLogger("angiopipe")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, "angiopipe"):
        yield caplog
    logger.removeHandler(caplog.handler)


def trained(data: Path) -> dict[str, tuple[str, ModelManifest]]:
    """The run and the manifest of each recipe's first model."""
    found = {}
    for path in sorted(data.glob("runs/*/model/manifest.json")):
        manifest, run = ModelManifest.read(str(path)), path.parents[1].name
        if not (path.parents[1] / "news.json").exists():
            found[manifest.recipe.name] = (run, manifest)
    return found


def examples_of(data: Path, manifest: ModelManifest) -> str:
    return str(data / "examples" / manifest.examples_fingerprint / "manifest.json")


def test_a_version_is_found_by_its_recipes_digest(data):
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow.db")
    versions = [version for version in client.search_model_versions("") if "recipe" in version.tags]
    assert len(versions) == 4
    for version in versions:
        manifest = ModelManifest.read(f"{version.tags['run_folder']}/model/manifest.json")
        assert manifest.recipe.digest() == version.tags["recipe_digest"]
        check_preprocessing(ExamplesManifest.read(examples_of(data, manifest)), manifest)


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_training_goes_on_from_the_releases_checkpoint(data, name, tmp_path, told):
    run, before = trained(data)[name]
    arguments = (examples_of(data, before), str(tmp_path / "m.json"), str(data), run, name, OVERRIDES[name])
    assert train(*arguments).weights_sha256 == before.weights_sha256
    assert told.text.count("trained already by this run, reused") == 1
    (data / "runs" / run / "model" / "manifest.json").unlink()  # As where it was ended before that.
    made = train(*arguments)
    assert made.recipe == before.recipe
    assert told.text.count("resumed after step") == len(before.epochs_kept)
    assert made.best_epoch == before.best_epoch
    assert made.epochs_kept == before.epochs_kept
    assert made.validation_auroc == pytest.approx(before.validation_auroc)


def test_a_search_goes_on_with_the_releases_trials(data, tmp_path):
    before = SearchManifest.read(str(data / "search.json"))
    _, manifest = trained(data)[before.recipe]
    tables = Path(before.trials_uri).read_text()
    made = search(
        examples_of(data, manifest), str(tmp_path / "search.json"), str(data), "search", before.recipe,
        OVERRIDES[before.recipe], trials=2, startup_trials=2,
    )  # fmt: skip
    assert made == before
    assert Path(made.trials_uri).read_text() == tables  # no trial was trained again


@pytest.mark.parametrize("name", ["coding_vessels", "octoview"])  # the third's last bits are the processor's
def test_examples_have_another_name_and_the_same_bytes(data, name, tmp_path):
    _, manifest = trained(data)[name]
    before = ExamplesManifest.read(examples_of(data, manifest))
    studies = next(
        path
        for path in data.glob("studies/*/manifest.json")
        if StudiesManifest.read(str(path)).data_fingerprint == before.data_fingerprint
        and bool(StudiesManifest.read(str(path)).clinical) == bool(before.clinical)
        and path.parent.name != json.loads((data / "pseudonymous.json").read_text())["fingerprint"]
    )
    made = preprocess(
        str(studies), str(tmp_path / "e.json"), str(tmp_path), recipe=name, overrides=OVERRIDES[name]
    )
    assert made.fingerprint != before.fingerprint
    assert made.shards == before.shards  # sizes and SHA-256s
    assert made.preprocessing_digest == before.preprocessing_digest
