"""The architectures: sizes, outputs, and what octoview promises by construction."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from angiopipe import models
from angiopipe.clinical import encode
from angiopipe.models import ensemble
from angiopipe.models.anatomy import visibility
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import Calibration
from angiopipe.rules import check_weights
from angiopipe.study import LABELS, LOCATIONS, MIRRORED_LABELS, MIRRORED_VIEWS, VIEW_NAMES
from angiopipe.training.predict import scorer

TINY = {
    "octoview": ("preprocessing.size=32", "model.widths=[8,16]", "model.dilations=[1]", "model.weights=null"),
    "kium_vgg16": ("preprocessing.size=32", "model.widths=[4,4,4,4,4]", "model.dense=[8]"),
    "coding_vessels": ("preprocessing.size=64", "model.features=8", "model.lstm=4", "model.dense=8"),
}

OCTOVIEW_SHAPE = load_recipe("octoview", TINY["octoview"]).preprocessing.shape


def _build(name, *overrides):
    recipe = load_recipe(name, overrides)
    return models.build(recipe.model, recipe.preprocessing.shape)


def _studies(shape, studies=3):
    rng = np.random.default_rng(0)
    return {
        "views": rng.integers(0, 256, (studies, *shape), np.uint8),
        "present": np.ones((studies, 8), np.uint8),
    }


@pytest.fixture
def octoview():
    """A small octoview whose weights are all away from their start."""
    keras.utils.set_random_seed(0)
    model = _build("octoview", *TINY["octoview"])
    rng = np.random.default_rng(1)
    model.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("kium_vgg16", 138_361_425), ("coding_vessels", 32_070_167), ("octoview", 87_108)],
)
def test_parameter_counts_at_full_size(name, parameters):
    assert _build(name).count_params() == parameters


def test_resnet50_ends_at_the_block_that_is_asked_for():
    tiny = TINY["coding_vessels"]
    whole, cut = (
        _build("coding_vessels", *tiny),
        _build("coding_vessels", *tiny, "model.last_block=conv3_block2"),
    )
    layers = [layer.name for layer in cut.get_layer("resnet50").layers[1:]]  # Inputs are numbered on.
    assert layers == [layer.name for layer in whole.get_layer("resnet50").layers[1 : 1 + len(layers)]]
    assert layers[-1] == "conv3_block2_out"
    # A stride of 8 in place of 32, halved by max-pooling: 64 pixels leave 4 x 4 positions.
    assert cut(_studies((8, 64, 64, 3))).shape == (3, 22)
    with pytest.raises(ValueError, match=r"model.*last_block.*conv3_block9"):
        load_recipe("coding_vessels", ["model.last_block=conv3_block9"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("name", "outputs"), [("kium_vgg16", 1), ("coding_vessels", 22), ("octoview", 22)])
def test_logits_are_float32_whatever_the_precision(name, outputs, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = _build(name, *TINY[name])
        logits = model(_studies(load_recipe(name, TINY[name]).preprocessing.shape))
    finally:
        keras.config.set_dtype_policy(before)
    assert (tuple(logits.shape), keras.backend.standardize_dtype(logits.dtype)) == ((3, outputs), "float32")
    assert np.isfinite(logits).all()


def _patients(studies=3):
    values = [(75, 0, 1, 1, 0, 1), (30, 1, 0, -1, 1, 0), (-1,) * 6]
    return np.stack([encode(values[i % 3]) for i in range(studies)])


def test_a_model_told_of_the_patient_starts_as_the_one_that_is_not(octoview, tmp_path):
    path = tmp_path / "start.weights.h5"
    octoview.save_weights(path)
    told = _build("octoview", *TINY["octoview"][:-1], f"model.weights={path}", 'model.clinical=["age","sex"]')
    studies = _studies(OCTOVIEW_SHAPE)
    np.testing.assert_array_equal(told({**studies, "clinical": _patients()}), octoview(studies))
    assert models.evidence(told)(studies).shape == (3, 8, 8, 8, 22)


def test_the_odds_follow_the_variables_named_and_no_others():
    keras.utils.set_random_seed(0)
    model = _build("octoview", *TINY["octoview"], 'model.clinical=["age","smoking"]')
    layer = model.get_layer("clinical_odds")
    layer.set_weights([weight + 0.3 for weight in layer.get_weights()])
    studies, patients = _studies(OCTOVIEW_SHAPE), _patients()
    logits = np.array(model({**studies, "clinical": patients}))
    others = patients.copy()
    others[:, [2, 3, 4, 5, 8, 9, 10, 11]] = 0
    np.testing.assert_array_equal(model({**studies, "clinical": others}), logits)
    unknown = np.array(model({**studies, "clinical": np.zeros_like(patients)}))
    offsets = (logits - unknown)[:, 1:]
    np.testing.assert_allclose(offsets, offsets[:, :1].repeat(21, axis=1), atol=1e-4)
    assert (np.abs(offsets[:2, 0]) > 0.01).all()
    assert offsets[2, 0] == 0


def test_an_ensemble_is_told_what_its_members_are():
    members = [_build("octoview", *TINY["octoview"], 'model.clinical=["age"]') for _ in range(2)]
    studies = {**_studies(OCTOVIEW_SHAPE), "clinical": _patients()}
    mean = np.mean([member(studies) for member in members], axis=0)
    np.testing.assert_allclose(ensemble.join(members, OCTOVIEW_SHAPE)(studies), mean, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(TINY))
def test_what_an_absent_view_holds_does_not_matter(name):
    model = _build(name, *TINY[name])
    studies = _studies(load_recipe(name, TINY[name]).preprocessing.shape)
    studies["present"][:, [1, 6]] = 0
    expected = np.array(model(studies))
    studies["views"][:, [1, 6]] = 255 - studies["views"][:, [1, 6]]
    np.testing.assert_array_equal(model(studies), expected)


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_study_is_scored_alike_in_any_batch(name):
    model = _build(name, *TINY[name])
    studies = _studies(load_recipe(name, TINY[name]).preprocessing.shape)
    alone = np.concatenate([model({k: v[i : i + 1] for k, v in studies.items()}) for i in range(3)])
    np.testing.assert_allclose(model(studies), alone, rtol=1e-4, atol=1e-4)


def test_views_too_small_or_of_other_channels_are_refused():
    with pytest.raises(
        ValueError, match=r"64 rows and columns at least, got 32 x 32; set preprocessing.size=64"
    ):
        _build("coding_vessels", "preprocessing.size=32")
    with pytest.raises(ValueError, match=r"vgg16: views must have 32 rows and columns at least, got 16 x 16"):
        _build("kium_vgg16", "preprocessing.size=16")
    with pytest.raises(ValueError, match=r"octoview: views must have 1 channel \(grey\), got 3"):
        models.build(load_recipe("octoview").model, (8, 64, 64, 3))
    with pytest.raises(ValueError, match=r"spatial_attention: views must have 3 channels \(RGB\), got 1"):
        models.build(load_recipe("coding_vessels").model, (8, 64, 64, 1))


def test_imagenet_weights_that_cannot_be_had(monkeypatch, tmp_path):
    # A proxy that refuses at once makes the real download fail, and fast, on any machine.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"weights=imagenet: .* could not be downloaded .* or model.weights=null"
    ):
        _build("coding_vessels", *TINY["coding_vessels"], "model.weights=imagenet")


@pytest.mark.parametrize(
    "field",
    ["dilations=[1,2]", "dilations=[1,2,4,16]", "dilations=[1,2,4,8,16]", "widths=[8,32]", "widths=[16]",
     "widths=[16,32,64]", "dropout=0.2", 'clinical=["age"]'],
)  # fmt: skip
def test_synthetic_weights_are_refused_ahead_exactly_where_they_cannot_be_loaded(field):
    recipe = load_recipe("octoview", ["preprocessing.size=32", f"model.{field}"])
    try:
        models.build(recipe.model, recipe.preprocessing.shape)
    except ValueError:
        with pytest.raises(
            ValueError, match=r"model.weights=synthetic: expected model.widths=\[16, 32\] and 4"
        ):
            check_weights(recipe.model)
    else:
        check_weights(recipe.model)


def test_stages_without_a_depth_or_a_width_are_refused():
    with pytest.raises(ValueError, match="got 2 model.depths and 5 model.widths"):
        _build("kium_vgg16", *TINY["kium_vgg16"], "model.depths=[1,1]")


def test_weights_by_path(tmp_path):
    path = tmp_path / "resnet50.weights.h5"
    with pytest.raises(ValueError, match=r"could not be loaded .* give the path of resnet50_weights_tf_dim"):
        _build("coding_vessels", *TINY["coding_vessels"], f"model.weights={path}")
    keras.utils.set_random_seed(0)
    source = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    source.save_weights(path)
    found = _build("coding_vessels", *TINY["coding_vessels"], f"model.weights={path}").get_layer("resnet50")
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), found.get_weights(), strict=True))


def test_octoview_scores_a_mirrored_study_with_mirrored_scores(octoview):
    studies = _studies(OCTOVIEW_SHAPE)
    studies["present"][0, 2] = 0
    mirrored = {
        "views": studies["views"][:, MIRRORED_VIEWS].copy(),
        "present": studies["present"][:, MIRRORED_VIEWS],
    }
    frontal = [name.endswith("A") for name in VIEW_NAMES]
    mirrored["views"][:, frontal] = mirrored["views"][:, frontal, :, ::-1]
    expected = np.array(octoview(studies))[:, MIRRORED_LABELS]
    np.testing.assert_allclose(octoview(mirrored), expected, rtol=1e-4, atol=1e-4)


def test_octoview_aneurysm_is_any_location(octoview):
    logits = np.array(octoview(_studies(OCTOVIEW_SHAPE)), np.float64)
    none = np.prod(1 / (1 + np.exp(logits[:, 1:])), axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), 1 - none, rtol=1e-4)


def test_octoview_files_the_evidence_where_the_view_shows_it(octoview):
    maps = models.evidence(octoview)
    shape = OCTOVIEW_SHAPE
    studies = {"views": np.full((2, *shape), 200, np.uint8), "present": np.ones((2, 8), np.uint8)}
    right = VIEW_NAMES.index("RI-A")
    studies["views"][1, right, 4:8, 24:28] = 40
    flat, dark = np.array(maps(studies))
    assert flat.shape == (8, 8, 8, len(LABELS))
    changed = np.abs(dark - flat).max(axis=(1, 2, 3)) > 1e-3
    assert list(np.flatnonzero(changed)) == [right]
    row, column = np.unravel_index(np.abs(dark - flat)[right, ..., 0].argmax(), (8, 8))
    assert column >= 4
    assert row < 4
    assert models.evidence(_build("kium_vgg16", *TINY["kium_vgg16"])) is None


def test_asking_for_the_maps_changes_no_bit_of_the_logits(octoview):
    studies = _studies(OCTOVIEW_SHAPE)
    studies["present"][1, 2] = 0
    tensors = {name: tf.constant(value) for name, value in studies.items()}
    logits, maps = scorer(models.with_evidence(octoview))(tensors)
    np.testing.assert_array_equal(logits, scorer(octoview)(tensors))
    np.testing.assert_allclose(maps, models.evidence(octoview)(studies), rtol=1e-5, atol=1e-5)


def test_anatomy_of_visibility():
    chances = visibility()
    assert chances.shape == (8, 21)

    def chance(view, location):
        return chances[VIEW_NAMES.index(view), LOCATIONS.index(location)]

    assert chance("LI-A", "L_MCA") > chance("LI-A", "R_ACA") > chance("LI-A", "BA")
    assert chance("LI-B", "L_PCA") > chance("LI-B", "R_PCA")
    assert chance("RV-A", "BA") == chance("LV-A", "BA") > chance("RV-A", "L_VA") > chance("RV-A", "R_MCA")
    mirrored = np.array(MIRRORED_LABELS[1:]) - 1
    np.testing.assert_array_equal(chances[list(MIRRORED_VIEWS)][:, mirrored], chances)


def test_probabilities_of_one_and_of_all_logits():
    found = models.probabilities(np.array([[0.0], [-800.0]], np.float32))
    assert (found.shape, found.dtype) == ((2, 22), np.float32)
    assert found[:, 0].tolist() == [0.5, 0.0]
    assert np.isnan(found[:, 1:]).all()
    assert models.probabilities(np.full((1, 22), 800, np.float32)).tolist() == [[1.0] * 22]


def test_a_temperature_divides_its_own_logits():
    logits = np.linspace(-6, 6, 44, dtype=np.float32).reshape(2, 22)
    found = models.probabilities(logits, Calibration(aneurysm=2.0, locations=0.5))
    np.testing.assert_array_equal(found[:, 0], models.probabilities(logits / 2)[:, 0])
    np.testing.assert_array_equal(found[:, 1:], models.probabilities(logits * 2)[:, 1:])
    assert np.array_equal(models.probabilities(logits, Calibration()), models.probabilities(logits))
