"""Mirroring and shifting, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from angiopipe.recipe import load_recipe
from angiopipe.study import LABELS, VIEW_NAMES
from angiopipe.training.augment import augmentation, mirror, shift


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "index": tf.constant([b"1", b"2"]),
        "views": tf.constant(rng.integers(0, 256, (2, 8, 6, 5, 1), np.uint8)),
        "present": tf.constant(rng.integers(0, 2, (2, 8), np.uint8)),
        "labels": tf.constant(rng.integers(0, 2, (2, 22), np.uint8)),
    }


def test_mirror_swaps_views_and_labels_and_flips_frontal_columns(batch):
    found = mirror(batch, tf.constant([True, False]))
    for position, name in enumerate(VIEW_NAMES):
        source = VIEW_NAMES.index({"L": "R", "R": "L"}[name[0]] + name[1:])
        expected = batch["views"].numpy()[0, source]
        expected = expected[:, ::-1] if name.endswith("A") else expected
        np.testing.assert_array_equal(found["views"][0, position], expected)
        assert found["present"][0, position] == batch["present"][0, source]
    for position, name in enumerate(LABELS):
        other = {"L_": "R_", "R_": "L_"}.get(name[:2], name[:2]) + name[2:]
        assert found["labels"][0, position] == batch["labels"][0, LABELS.index(other)]
    for name in ("views", "present", "labels"):
        np.testing.assert_array_equal(found[name][1], batch[name][1])


def test_mirror_is_an_involution(batch):
    both = tf.constant([True, True])
    found = mirror(mirror(batch, both), both)
    for name, values in batch.items():
        np.testing.assert_array_equal(found[name], values)


def test_shift_moves_down_and_right_and_repeats_the_edge(batch):
    offsets = np.zeros((2, 8, 2), np.int32)
    offsets[0, 3] = (2, -1)
    found, views = shift(batch["views"], tf.constant(offsets)).numpy(), batch["views"].numpy()
    expected = np.pad(views[0, 3], ((2, 0), (0, 1), (0, 0)), mode="edge")[:6, 1:]
    np.testing.assert_array_equal(found[0, 3], expected)
    found[0, 3] = views[0, 3]
    np.testing.assert_array_equal(found, views)


def test_augmentation_depends_on_seed_epoch_step_and_place_alone(batch):
    training = load_recipe(
        "octoview", ["training.mirror=true", "training.shift=0.3", "training.batch_size=2"]
    ).training

    def views(seed, epoch, step, part=slice(2)):
        own = {name: values[part] for name, values in batch.items()}
        at = (tf.constant(value, tf.int64) for value in (epoch, step, part.start or 0))
        return augmentation(training, seed)(own, *at)["views"].numpy()

    whole = views(0, 1, 0)
    np.testing.assert_array_equal(whole, views(0, 1, 0))
    for other in (views(1, 1, 0), views(0, 2, 0), views(0, 1, 1)):
        assert (whole != other).any()
    np.testing.assert_array_equal(whole[:1], views(0, 1, 0, slice(0, 1)))
    np.testing.assert_array_equal(whole[1:], views(0, 1, 0, slice(1, 2)))


def test_a_recipe_without_augmentation_leaves_batches_alone(batch):
    training = load_recipe("octoview", ["training.mirror=false", "training.shift=0"]).training
    assert augmentation(training, 0)(batch, *tf.zeros(3, tf.int64)) is batch
