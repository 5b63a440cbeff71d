"""The loop's fields: accumulation, averages, calls, stopping, checkpoints, callbacks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from angiopipe.recipe import load_recipe
from angiopipe.training.board import Board
from angiopipe.training.checkpoint import Checkpoints
from angiopipe.training.loop import Epoch, Outcome, fit, untrained
from angiopipe.training.loss import cross_entropy, positive_weights
from angiopipe.training.steps import Averages
from tests.unit.training.conftest import TINY, blobs

STRATEGY = tf.distribute.get_strategy()


@pytest.fixture
def run(tiny_octoview, write_examples):
    shape = tiny_octoview.preprocessing.shape
    manifest = write_examples(tiny_octoview, train=blobs(shape, 14, 0), validation=blobs(shape, 9, 1))

    def run(*overrides, seed=3, strategy=STRATEGY, **options):
        fields = ("epochs=2", "batch_size=4", *overrides)
        recipe = load_recipe("octoview", [*TINY["octoview"], *(f"training.{field}" for field in fields)])
        model = untrained(recipe, seed, strategy)
        outcome = fit(model, manifest, recipe.training, seed, strategy, **options)
        return outcome, model

    return run


def _close(one, other, **tolerance):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# A plain gradient step: Adam would turn the last bit of a gradient near zero into a whole step.
SGD = ("optimizer=sgd", "learning_rate=0.05")


@pytest.mark.parametrize("field", ["accumulate=2", "accumulate=4", "xla=true"])
def test_parts_and_compilation_give_the_gradient_of_the_whole_batch(run, field):
    (_, plain), (_, other) = run(*SGD), run(*SGD, field)
    _close(plain, other, rtol=1e-4, atol=1e-5)


def test_accumulation_must_divide_the_batch(run):
    with pytest.raises(ValueError, match=r"training\.batch_size: expected a multiple of 3 .* got 4"):
        run("accumulate=3")


def test_steps_per_call_changes_nothing(run):
    (one, plain), (other, together) = run(), run("steps_per_call=3")
    _close(plain, together, rtol=0, atol=0)
    assert [epoch.loss for epoch in one.history] == [epoch.loss for epoch in other.history]


def test_the_average_is_that_of_the_formula(tiny_octoview):
    model = untrained(tiny_octoview, 0, STRATEGY)
    averages = Averages(model, 0.9)
    variable = model.trainable_variables[0]
    expected, start = variable.numpy().astype(np.float64), variable.numpy()
    for step in range(1, 40):
        variable.assign(start + step)
        averages.update(STRATEGY, tf.constant(step))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (start + step)
    with averages.in_place():
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(variable.numpy(), start + 39)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_low_and_keeps_float32(run, precision):
    outcome, model = run(f"precision={precision}", "epochs=1")
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    assert precision in {layer.dtype_policy.name for layer in model.layers}
    assert np.isfinite(outcome.history[0].loss)
    assert tf.keras.config.dtype_policy().name == "float32"


def test_rare_locations_count_up_to_the_cap():
    training = load_recipe("octoview", ["training.location_weighting=inverse_frequency"]).training
    labels = np.zeros((40, 22), np.uint8)
    labels[:20, 1], labels[:5, 2], labels[:1, 3] = 1, 1, 1
    weights = positive_weights(labels, training)
    np.testing.assert_array_equal(weights[:5], [1, 1, 4, 10, 10])
    assert positive_weights(labels, load_recipe("octoview").training) is None
    logits = np.random.default_rng(0).normal(size=(40, 22)).astype(np.float32)
    each = np.logaddexp(0, np.where(labels == 1, -logits, logits)) * np.where(labels == 1, weights, 1)
    found = cross_entropy(labels, tf.constant(logits), 1.0, weights)
    np.testing.assert_allclose(found, each.mean(axis=1), rtol=1e-5)


def test_training_ends_where_auroc_no_longer_rises():
    epochs = [Epoch(i, 0, 0, auroc, 0, 0, 0) for i, auroc in enumerate([0.5, 0.7, 0.7, 0.6], 1)]
    assert Outcome(epochs).has_stalled(2)
    assert not Outcome(epochs).has_stalled(3)
    assert not Outcome(epochs).has_stalled(0)
    assert not Outcome(epochs[:2]).has_stalled(1)


def test_early_stopping_stops(run):
    outcome, _ = run("epochs=30", "early_stopping=1", *SGD, "learning_rate=1e-9")
    assert len(outcome.history) == 2


def test_training_ends_when_its_minutes_are_over(run):
    outcome, _ = run("epochs=30", "minutes=0.0001")
    assert len(outcome.history) == 1
    assert np.isfinite(outcome.history[0].validation_loss)


def test_a_log_gets_a_line_an_epoch_with_the_time_left(run, caplog):
    with caplog.at_level("INFO", "angiopipe"):
        outcome, _ = run("epochs=2")
    lines = [line for line in caplog.messages if "studies/s" in line]
    figures = r"loss \d+\.\d{3}, validation AUROC [01]\.\d{3}, \d+\.\d studies/s, \d\d:\d\d left"
    assert [bool(re.fullmatch(rf"epoch {n}/2: {figures}", line)) for n, line in enumerate(lines, 1)] == [
        True
    ] * 2
    assert f"AUROC {outcome.history[1].validation_auroc:.3f}" in lines[1]
    assert lines[1].endswith("00:00 left")


class Pruned(Exception):
    pass


def test_on_epoch_sees_every_epoch_and_may_end_the_run(run, tmp_path):
    seen = []

    def end(epoch):
        seen.append(epoch.epoch)
        if epoch.epoch == 2:
            raise Pruned

    folder = str(tmp_path / "checkpoints")
    with pytest.raises(Pruned):
        run("epochs=4", "ema=0.9", folder=folder, on_epoch=end)
    assert seen == [1, 2]
    resumed, model = run(
        "epochs=4", "ema=0.9", folder=folder, on_epoch=lambda epoch: seen.append(epoch.epoch)
    )
    assert seen == [1, 2, 3, 4]
    whole, uninterrupted = run("epochs=4", "ema=0.9")
    _close(model, uninterrupted, rtol=0, atol=0)
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in whole.history]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], lambda content: content[:-9] + b"damage..."]
)
def test_a_damaged_checkpoint_is_passed_over(run, tmp_path, caplog, damage):
    folder = str(tmp_path / "checkpoints")
    _, expected = run("epochs=3", folder=folder)
    *_, last = sorted(Path(folder).rglob("*.npz"))
    assert len(list(Path(folder).rglob("*.npz"))) == 2
    last.write_bytes(damage(last.read_bytes()))
    with caplog.at_level("INFO", "angiopipe"):
        _, model = run("epochs=3", folder=folder)
    assert f"{last}: expected SHA-256" in caplog.text
    assert "resumed after step 8, in epoch 3 of 3" in caplog.text
    _close(model, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("fields", "seed"), [(("learning_rate=0.001",), 3), ((), 4)])
def test_other_settings_begin_anew_and_leave_the_checkpoints(run, tmp_path, fields, seed):
    folder = str(tmp_path / "checkpoints")
    run(folder=folder)
    seen = []
    run(*fields, seed=seed, folder=folder, on_epoch=lambda epoch: seen.append(epoch.epoch))
    assert seen == [1, 2]
    assert len(list(Path(folder).rglob("*.npz"))) == 4


def test_checkpoints_work_on_an_object_store():
    variable = tf.Variable([1.0, 2.0])
    checkpoints = Checkpoints("memory://checkpoints/run", [variable], writes=True)
    for step in (1, 2, 3):
        variable.assign([step, step])
        checkpoints.save(step, {"epoch": step}, [np.ones(2)])
    variable.assign([9.0, 9.0])
    progress, best = checkpoints.restore() or ({}, [])
    assert (progress, variable.numpy().tolist(), len(best)) == ({"epoch": 3}, [3.0, 3.0], 1)


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    Checkpoints(str(tmp_path), [tf.Variable(1.0)], writes=False).save(1, {}, [])
    assert not list(tmp_path.iterdir())


def test_tensorboard_gets_scalars_and_a_profile(run, tmp_path):
    with Board(str(tmp_path / "board"), profile=True) as board:
        run(board=board)
    events = b"".join(path.read_bytes() for path in (tmp_path / "board").glob("events.*"))
    assert b"validation_auroc" in events
    assert list((tmp_path / "board").rglob("*.xplane.pb"))
