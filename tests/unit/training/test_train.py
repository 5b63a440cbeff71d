"""The train step from manifest to manifest."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from angiopipe import models
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import ModelManifest
from angiopipe.storage import file_sha256, local_path
from angiopipe.training.predict import predict
from angiopipe.training.train import train
from tests.unit.training.conftest import TINY, blobs


@pytest.fixture
def run(tmp_path):
    def run(recipe="octoview", *overrides, run_id="r1", seed=0):
        return train(
            examples=str(tmp_path / "examples.json"),
            out=str(tmp_path / "model.json"),
            data_root=str(tmp_path / "root"),
            run_id=run_id,
            recipe=recipe,
            overrides=[*TINY[recipe], *overrides],
            seed=seed,
        )

    return run


def _splits(recipe, train=10, validation=6):
    shape = recipe.preprocessing.shape
    return {"train": blobs(shape, train, 0), "validation": blobs(shape, validation, 1)}


def test_every_recipe_trains_end_to_end(tiny, write_examples, run, tmp_path):
    examples = write_examples(tiny, **_splits(tiny))
    manifest = run(tiny.name, "training.epochs=2", "training.batch_size=4")
    assert manifest == ModelManifest.read(str(tmp_path / "model.json"))
    assert manifest == ModelManifest.read(str(tmp_path / "root/runs/r1/model/manifest.json"))
    assert manifest.weights_sha256 == file_sha256(local_path(manifest.weights_uri))
    history = pd.read_csv(manifest.history_uri)
    assert list(history["epoch"]) == [1, 2]
    assert np.isfinite(history["loss"]).all()
    indices, labels, logits = predict(models.load(manifest), examples, "validation")
    assert len(indices) == 6
    assert logits.shape == (6, 1 if tiny.name == "kium_vgg16" else 22)
    assert logits.dtype == np.float32
    assert roc_auc_score(labels[:, 0], logits[:, 0]) == pytest.approx(manifest.validation_auroc)


def test_octoview_learns_and_its_best_epoch_is_the_one_saved(tiny_octoview, write_examples, run):
    examples = write_examples(tiny_octoview, **_splits(tiny_octoview, 32, 16))
    manifest = run("octoview", "training.epochs=12", "training.batch_size=4", "training.learning_rate=0.01")
    history = pd.read_csv(manifest.history_uri)
    best = history.sort_values(["validation_auroc", "validation_loss"], ascending=[False, True]).iloc[0]
    assert (manifest.best_epoch, manifest.validation_auroc) == (best["epoch"], 1.0)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 3
    _, labels, logits = predict(models.load(manifest), examples, "validation")
    # The loss belongs to this epoch's weights and no other's.
    loss = np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits)))
    assert loss == pytest.approx(best["validation_loss"], rel=1e-4)
    assert (logits[:, 1:].argmax(axis=1) == labels[:, 1:].argmax(axis=1))[labels[:, 0] == 1].all()


def test_an_earlier_epoch_wins_over_a_later_worse_one(tiny_octoview, write_examples, run):
    examples = write_examples(tiny_octoview, **_splits(tiny_octoview))
    # So large a rate wrecks what the first epochs found.
    manifest = run(
        "octoview", "training.epochs=6", "training.schedule=constant", "training.learning_rate=0.3"
    )
    history = pd.read_csv(manifest.history_uri).set_index("epoch")
    assert manifest.best_epoch < 6
    _, labels, logits = predict(models.load(manifest), examples, "validation")
    assert roc_auc_score(labels[:, 0], logits[:, 0]) == history.loc[manifest.best_epoch, "validation_auroc"]


def test_same_seed_same_weights_bit_for_bit(tiny_octoview, write_examples, run):
    write_examples(tiny_octoview, **_splits(tiny_octoview))
    overrides = ("training.epochs=2", "training.mirror=true", "training.shift=0.1", "model.dropout=0.2")
    first, second, other = (
        models.load(run("octoview", *overrides, run_id=name, seed=seed)).get_weights()
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_a_run_that_has_trained_takes_its_model_while_it_is_whole_and_of_the_same(
    tiny_octoview, write_examples, run, tmp_path, caplog
):
    write_examples(tiny_octoview, **_splits(tiny_octoview))
    caplog.set_level("INFO", "angiopipe")
    once = ("training.epochs=1", "training.batch_size=4")
    first = run("octoview", *once)
    assert "training octoview" in caplog.text
    weights = local_path(first.weights_uri)
    written = weights.stat().st_mtime_ns
    caplog.clear()
    (tmp_path / "model.json").unlink()
    assert run("octoview", *once) == first == ModelManifest.read(str(tmp_path / "model.json"))
    assert weights.stat().st_mtime_ns == written
    assert "training octoview" not in caplog.text
    assert run("octoview", *once, seed=1).seed == 1
    assert run("octoview", *once, "training.learning_rate=0.5").recipe.training.learning_rate == 0.5
    caplog.clear()
    weights.write_bytes(b"damaged")
    last = run("octoview", *once, "training.learning_rate=0.5")
    assert "weights are gone or changed; the model is trained again" in caplog.text
    assert last.is_whole()


def test_examples_of_another_preprocessing_are_refused(tiny_octoview, write_examples, run):
    write_examples(tiny_octoview, **_splits(tiny_octoview))
    with pytest.raises(
        ValueError, match=r"expected the preprocessing of recipe octoview .* run preprocess with"
    ):
        run("octoview", "preprocessing.background=0.2")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_with_one_class_is_refused(split, tiny_octoview, write_examples, run):
    splits = _splits(tiny_octoview)
    splits[split][1][:] = 0
    write_examples(tiny_octoview, **splits)
    with pytest.raises(
        ValueError, match=rf"split {split}: expected studies with and without .* found 0 with"
    ):
        run()


def test_examples_without_validation_are_refused(tiny_octoview, write_examples, run):
    write_examples(tiny_octoview, train=blobs(tiny_octoview.preprocessing.shape, 4, 0))
    with pytest.raises(ValueError, match=r"split validation: .* found 0 with and 0 without"):
        run()


def test_a_diverging_run_says_what_to_change(write_examples, run):
    recipe = load_recipe("kium_vgg16", TINY["kium_vgg16"])
    write_examples(recipe, **_splits(recipe))
    with pytest.raises(FloatingPointError, match=r"lower training\.learning_rate or set training\.clipnorm"):
        run("kium_vgg16", "training.learning_rate=1e30", "training.clipnorm=null", "training.epochs=3")


def test_changed_weights_are_not_loaded(tiny_octoview, write_examples, run):
    write_examples(tiny_octoview, **_splits(tiny_octoview))
    manifest = run("octoview", "training.epochs=1")
    path = local_path(manifest.weights_uri)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"model\.weights\.h5: expected SHA-256"):
        models.load(manifest)


def test_the_command_line_need_not_wait_for_tensorflow():
    code = (
        "import sys, angiopipe.training.train; sys.exit(not {'tensorflow', 'keras'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
