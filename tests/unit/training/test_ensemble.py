"""A fold ensemble: its folds, its members, and the one model they make."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from angiopipe import models
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import ExamplesManifest, ModelManifest
from angiopipe.storage import file_sha256, local_path
from angiopipe.training.folds import fold_of_studies, parts_of
from angiopipe.training.input import batches, labels, training_batches
from angiopipe.training.predict import predict
from angiopipe.training.train import train
from tests.unit.training.conftest import TINY, blobs, examples_in

FOLDS = 2
TINY_OCTOVIEW = load_recipe("octoview", TINY["octoview"])


def _write(folder, studies=12, validation_seed=1):
    shape = TINY_OCTOVIEW.preprocessing.shape
    splits = {"train": blobs(shape, studies, 0), "validation": blobs(shape, 8, validation_seed)}
    return examples_in(folder, TINY_OCTOVIEW, **splits)


def _train(folder, *overrides):
    fields = ("training.epochs=2", "training.batch_size=4", f"training.ensemble={FOLDS}", *overrides)
    return train(
        examples=str(folder / "examples.json"),
        out=str(folder / "model.json"),
        data_root=str(folder / "root"),
        overrides=[*TINY["octoview"], *fields],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with examples and an ensemble trained on them; not to be written to."""
    folder = tmp_path_factory.mktemp("ensemble")
    _write(folder)
    _train(folder)
    return folder


def _manifest(folder):
    return ModelManifest.read(str(folder / "model.json"))


def _indices(manifest, split):
    return [index.decode() for batch in batches(manifest, split, 4) for index in batch["index"].numpy()]


def test_every_study_is_held_out_once_and_every_fold_has_both_classes():
    truth = np.zeros((60, 22), np.uint8)
    truth[:24, 0] = truth[:24:2, 3] = truth[1:24:2, 8] = 1
    fold = fold_of_studies(truth, 3, 0)
    assert np.bincount(fold).tolist() == [20, 20, 20]
    assert all(abs(truth[fold == n, 0].sum() - 8) <= 1 for n in range(3))
    np.testing.assert_array_equal(fold, fold_of_studies(truth, 3, 0))
    assert (fold != fold_of_studies(truth, 3, 1)).any()


def test_a_member_sees_the_training_split_alone_cut_in_two(tmp_path):
    manifest = _write(tmp_path)
    order = dict(zip(_indices(manifest, "train"), labels(manifest, "train"), strict=True))
    held_out = []
    for part in parts_of(manifest, 3, 0):
        seen, own = _indices(part, "train"), _indices(part, "validation")
        assert sorted(seen + own) == sorted(order)
        assert part.counts == {"train": len(seen), "validation": len(own)} == {"train": 8, "validation": 4}
        np.testing.assert_array_equal(labels(part, "validation"), [order[index] for index in own])
        held_out += own
    assert sorted(held_out) == sorted(order)


def test_an_epoch_of_a_member_shuffles_all_of_its_studies_and_no_other(tmp_path):
    part = parts_of(_write(tmp_path), 3, 0)[0]
    training = TINY_OCTOVIEW.training.model_copy(update={"epochs": 2, "batch_size": 4})
    seen = [i.decode() for batch in training_batches(part, training, 0) for i in batch["index"].numpy()]
    expected = _indices(part, "train")
    assert sorted(seen[:8]) == sorted(seen[8:]) == sorted(expected)
    assert seen[:8] != seen[8:]


def test_the_model_is_the_mean_of_its_members(trained):
    manifest, data = _manifest(trained), ExamplesManifest.read(str(trained / "examples.json"))
    assert [local_path(uri).name for uri in manifest.weights_files] == [
        f"member-{n}.weights.h5" for n in range(FOLDS)
    ]
    each = []
    for uri, sha256 in manifest.weights_files.items():
        assert file_sha256(local_path(uri)) == sha256
        member = models.build(manifest.recipe.model, data.shape)
        member.load_weights(uri)
        each.append(predict(member, data, "validation")[2])
    assert np.abs(each[0] - each[1]).max() > 1e-3
    _, truth, logits = predict(models.load(manifest), data, "validation")
    np.testing.assert_allclose(logits, np.mean(each, axis=0), rtol=1e-5, atol=1e-5)
    assert roc_auc_score(truth[:, 0], logits[:, 0]) == pytest.approx(manifest.validation_auroc)


def test_history_and_manifest_tell_each_members_epochs(trained):
    manifest = _manifest(trained)
    history = pd.read_csv(manifest.history_uri)
    assert history.groupby("member")["epoch"].apply(list).to_dict() == {n: [1, 2] for n in range(FOLDS)}
    for number, member in enumerate(manifest.members):
        own = history[(history["member"] == number) & (history["epoch"] == member.best_epoch)]
        assert own["validation_auroc"].item() == pytest.approx(member.fold_auroc)
    assert manifest.epochs_kept == tuple(member.best_epoch for member in manifest.members)


def test_nothing_of_the_validation_split_reaches_the_weights(trained, tmp_path):
    _write(tmp_path, validation_seed=9)
    first, second = _manifest(trained), _train(tmp_path)
    for one, other in zip(first.members, second.members, strict=True):
        assert (one.best_epoch, one.fold_auroc) == (other.best_epoch, other.fold_auroc)
    weights = [models.load(manifest).get_weights() for manifest in (first, second)]
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))


def test_finished_members_are_not_trained_again(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    before = _checkpoints(folder)
    again = models.load(_train(folder)).get_weights()
    assert _checkpoints(folder) == before
    weights = models.load(_manifest(trained)).get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(again, weights, strict=True))


def _checkpoints(folder):
    found = sorted((folder / "root").glob("runs/local/checkpoints/*/member-*/*/checkpoint-*.npz"))
    assert {path.parts[-3] for path in found} == {f"member-{n}" for n in range(FOLDS)}
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_a_members_changed_weights_are_not_loaded(trained, tmp_path):
    folder = shutil.copytree(local_path(_manifest(trained).location), tmp_path / "copy")
    path = folder / "member-1.weights.h5"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"member-1\.weights\.h5: expected SHA-256"):
        models.load(_manifest(trained).model_copy(update={"location": str(folder)}))


def test_a_manifest_of_other_members_is_refused(trained, tmp_path):
    document = json.loads((trained / "model.json").read_text())
    document["members"].pop()
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"weights_sha256: expected \w+, that of the 1 members"):
        ModelManifest.read(str(path))


def test_the_manifest_of_a_single_model_from_before_ensembles_still_reads(trained, tmp_path):
    document = json.loads((trained / "model.json").read_text())
    del document["members"], document["recipe"]["training"]["ensemble"]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    manifest = ModelManifest.read(str(path))
    assert (manifest.members, manifest.recipe.training.ensemble) == ((), 0)
    assert manifest.weights_files == {manifest.weights_uri: manifest.weights_sha256}


def test_too_few_studies_for_the_folds_are_refused_before_anything_is_trained(tmp_path):
    _write(tmp_path, studies=4)
    with pytest.raises(ValueError, match=r"training\.ensemble=5: expected folds of the 4 .* fewer folds"):
        _train(tmp_path, "training.ensemble=5")


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(ValueError, match=r"training\.ensemble: .* from 2, got 1"):
        load_recipe("octoview", ["training.ensemble=1"])
