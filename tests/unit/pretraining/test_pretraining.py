"""Pretraining: what a position is said to show, what batches hold, and that folding changes nothing."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from angiopipe import models
from angiopipe.imaging.preprocess import TRANSFORMS
from angiopipe.models.octoview import FLIPPED, MIRRORED_LOCATIONS, RIGHT
from angiopipe.pretraining.batches import view_batches
from angiopipe.pretraining.network import PretrainingNetwork, hand_over, loss
from angiopipe.pretraining.pretrain import pretrain
from angiopipe.pretraining.views import PretrainingViews, make_views, one_study
from angiopipe.recipe import load_recipe
from angiopipe.study import LOCATIONS, VIEW_NAMES

SIZE, POSITIONS = 96, 24
SMALL = (f"preprocessing.size={SIZE}", "model.dilations=[1,2]", "model.weights=null")


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("octoview", SMALL)


@pytest.fixture(scope="module")
def source(recipe, tmp_path_factory):
    return make_views(tmp_path_factory.mktemp("views"), recipe.preprocessing, 4, 6, seed=3, processes=1)


def test_views_are_made_once_and_show_the_sacs(recipe, source, tmp_path, monkeypatch):
    assert (source.views.shape, source.sacs.shape) == ((6, 8, SIZE, SIZE), (6, 8, POSITIONS, POSITIONS))
    again = make_views(tmp_path, recipe.preprocessing, 4, 6, seed=3, processes=2)
    np.testing.assert_array_equal(again.views, source.views)
    np.testing.assert_array_equal(again.sacs, source.sacs)
    made = [path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")]
    make_views(tmp_path, recipe.preprocessing, 4, 6, seed=3, processes=2)
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")] == made
    monkeypatch.setitem(TRANSFORMS, "octoview", TRANSFORMS["octoview"] + 1)
    make_views(tmp_path, recipe.preprocessing, 4, 6, seed=3, processes=2)
    assert len(list(tmp_path.rglob("*.npy"))) == 2 * len(made)  # other pixels
    with_sac = source.views[source.sacs.any((2, 3))]
    assert len(with_sac) > 4
    # A sac is filled with contrast: darker than its view as a whole.
    for study, view in np.argwhere(source.sacs.any((2, 3))):
        shown = np.kron(source.sacs[study, view] > 0, np.ones((4, 4), bool))
        assert source.views[study, view][shown].mean() < source.views[study, view].mean()


def test_sacs_are_named_by_their_location(recipe):
    from angiopipe.cohort.synthetic import make_study
    from angiopipe.pretraining.views import PRETRAINING

    study = make_study(PRETRAINING, SIZE, 3, 1)
    _, sacs = one_study(1, recipe.preprocessing, POSITIONS, 3)
    shown = {lesion.location for lesion in study.lesions if any(lesion.footprints)}
    assert {LOCATIONS[value - 1] for value in np.unique(sacs[sacs > 0])} == shown


def test_batches_show_right_views_as_mirrored_left_ones():
    location = LOCATIONS.index("R_MCA") if "R_MCA" in LOCATIONS else 0
    views = np.full((1, 8, 32, 32), 180, np.uint8)
    sacs = np.zeros((1, 8, 8, 8), np.uint8)
    right = VIEW_NAMES.index("RI-A")
    views[0, right, 12:16, 20:24] = 40
    sacs[0, right, 3, 5] = 1 + location
    (batch,) = view_batches(PretrainingViews(views, sacs), steps=1, batch_size=8, seed=0)
    shown = batch.sacs.any((1, 2))
    assert shown.sum() == 4
    assert set(batch.kinds[shown]) == {right % 4}
    assert FLIPPED[right]
    assert RIGHT[right]
    assert set(np.unique(batch.sacs)) == {0, 1 + MIRRORED_LOCATIONS[location]}
    for view, sac in zip(batch.views[shown, ..., 0], batch.sacs[shown], strict=True):
        dark = np.argwhere(view < 100)
        np.testing.assert_array_equal(dark.min(0) // 4, np.argwhere(sac)[0])


def test_windows_hold_a_sac_and_know_where_they_were_cut():
    rng = np.random.default_rng(5)
    views = rng.integers(40, 180, (1, 8, 32, 32)).astype(np.uint8)
    sacs = np.zeros((1, 8, 8, 8), np.uint8)
    sacs[0, :, 2, 6] = 1
    sacs[0, :4, 2, 6] = 0
    for batch in view_batches(PretrainingViews(views, sacs), steps=8, batch_size=9, seed=0, window=3):
        assert batch.views.shape == (9, 12, 12, 1)
        assert batch.sacs.shape == (9, 3, 3)
        assert (batch.sacs.any((1, 2)).sum()) == 5
        assert batch.corners.min() >= 0
        assert batch.corners.max() <= 5
    whole = next(view_batches(PretrainingViews(views, sacs), steps=1, batch_size=9, seed=0))
    assert not whole.corners.any()


def test_a_windows_evidence_is_that_of_its_place_in_the_view(recipe):
    """The place counts for a window as it does for the view it was cut from."""
    trained = PretrainingNetwork(recipe.model, SIZE, window=32)
    rng = np.random.default_rng(0)
    trained.evidence.set_weights([rng.normal(0, 0.3, w.shape) for w in trained.evidence.get_weights()])
    features = rng.normal(size=(2, POSITIONS, POSITIONS, recipe.model.widths[-1])).astype(np.float32)
    corners, kinds = np.array([[3, 9], [16, 0]], np.int32), np.array([1, 2], np.int32)
    cut = np.stack([x[r : r + 8, c : c + 8] for x, (r, c) in zip(features, corners, strict=True)])
    whole, windows = (
        trained.evidence.of_views(features, kinds),
        trained.evidence.of_views(cut, kinds, corners),
    )
    for of_whole, of_window in zip(whole, windows, strict=True):
        for full, part, (r, c) in zip(of_whole, of_window, corners, strict=True):
            np.testing.assert_allclose(part, full[r : r + 8, c : c + 8], rtol=1e-5, atol=1e-5)


def test_batches_depend_on_the_seed_alone(source):
    first, again, other = ([batch.views for batch in view_batches(source, 2, 4, seed)] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_loss_is_focal_and_names_the_location():
    sacs = np.zeros((1, 2, 2), np.uint8)
    sacs[0, 0, 0] = 3
    found = np.array([[[1.0, -2.0], [-3.0, 0.5]]], np.float32)
    which = tf.nn.log_softmax(np.arange(84, dtype=np.float32).reshape(1, 2, 2, 21) % 5)
    p = 1 / (1 + np.exp(-found[0]))
    expected = -0.75 * (1 - p[0, 0]) ** 2 * np.log(p[0, 0])
    for value in (p[0, 1], p[1, 0], p[1, 1]):
        expected -= 0.25 * value**2 * np.log(1 - value)
    expected -= 0.3 * float(which[0, 0, 0, 2])
    np.testing.assert_allclose(float(loss(found, which, sacs)), expected, rtol=1e-5)
    # In a window of half a view, positions without a sac stand for as many outside it.
    background = sum(-0.25 * value**2 * np.log(1 - value) for value in (p[0, 1], p[1, 0], p[1, 1]))
    np.testing.assert_allclose(float(loss(found, which, sacs, share=0.5)), expected + background, rtol=1e-5)


def test_folding_changes_no_evidence(recipe, source):
    keras.utils.set_random_seed(0)
    trained = PretrainingNetwork(recipe.model, SIZE)
    rng = np.random.default_rng(0)
    for layer in trained.encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    trained.evidence.set_weights([rng.normal(0, 0.3, w.shape) for w in trained.evidence.get_weights()])
    octoview = models.build(recipe.model, recipe.preprocessing.shape)
    hand_over(trained, octoview)
    left = VIEW_NAMES.index("LI-A")
    found, _ = trained(source.views[:2, left, ..., None], np.zeros(2, np.int32))
    maps = models.evidence(octoview)(
        {"views": source.views[:2, ..., None], "present": np.ones((2, 8), np.uint8)}
    )
    np.testing.assert_allclose(maps[:, left, ..., 0], found, rtol=1e-3, atol=1e-3)


def test_the_command_writes_weights_a_recipe_can_start_from(tmp_path):
    out = tmp_path / "small.weights.h5"
    arguments = {"studies": 4, "steps": 3, "batch_size": 4, "views": tmp_path / "views", "processes": 1}
    assert pretrain(out, overrides=SMALL[:2], **arguments) == out
    note = json.loads((tmp_path / "small.json").read_text())
    assert note["steps"] == 3
    assert np.isfinite(note["loss"])
    started = load_recipe("octoview", [*SMALL[:2], f"model.weights={out}"])
    model = models.build(started.model, started.preprocessing.shape)
    again = pretrain(tmp_path / "again.weights.h5", overrides=SMALL[:2], **arguments)
    other = models.build(
        load_recipe("octoview", [*SMALL[:2], f"model.weights={again}"]).model, started.preprocessing.shape
    )
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    wider = load_recipe("octoview", [*SMALL[:2], f"model.weights={out}", "model.widths=[8,16]"])
    with pytest.raises(ValueError, match="could not be loaded .*angiopipe pretrain"):
        models.build(wider.model, wider.preprocessing.shape)


def test_pretraining_goes_on_from_weights(tmp_path):
    arguments = {"studies": 4, "steps": 1, "batch_size": 4, "views": tmp_path / "views", "processes": 1}
    first = pretrain(tmp_path / "first.weights.h5", overrides=SMALL[:2], **arguments)
    second = pretrain(
        tmp_path / "second.weights.h5",
        overrides=SMALL[:2],
        start=str(first),
        learning_rate=1e-12,
        xla=True,
        **arguments,
    )
    made = [
        models.build(recipe.model, recipe.preprocessing.shape).get_weights()
        for recipe in (load_recipe("octoview", [*SMALL[:2], f"model.weights={w}"]) for w in (first, second))
    ]
    for one, two in zip(*made, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert json.loads((tmp_path / "second.json").read_text())["start"]["learning_rate"] == 3e-3


def test_windows_may_be_learned_from(tmp_path):
    arguments = {"studies": 4, "steps": 2, "batch_size": 4, "views": tmp_path / "views", "processes": 1}
    pretrain(tmp_path / "windows.weights.h5", overrides=SMALL[:2], window=48, **arguments)
    assert json.loads((tmp_path / "windows.json").read_text())["window"] == 48
    with pytest.raises(ValueError, match="window=50: expected a multiple of 4 up to 96"):
        pretrain(tmp_path / "other.weights.h5", overrides=SMALL[:2], window=50, **arguments)


def test_the_weights_file_must_be_named_as_keras_wants():
    from pathlib import Path

    with pytest.raises(ValueError, match=r"expected a name that ends in \.weights\.h5"):
        pretrain(Path("weights.h5"))
