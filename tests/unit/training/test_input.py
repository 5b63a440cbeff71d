"""Reading examples back: order, completeness, shuffling, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from angiopipe.recipe import load_recipe
from angiopipe.training.input import batches, labels, steps_per_epoch, training_batches
from angiopipe.training.strategy import Share
from tests.unit.training.conftest import blobs


def _indices(dataset):
    return [index.decode() for batch in dataset for index in batch["index"].numpy()]


@pytest.fixture
def manifest(tiny_octoview, write_examples):
    shape = tiny_octoview.preprocessing.shape
    return write_examples(tiny_octoview, train=blobs(shape, 11, 0), test=blobs(shape, 5, 1))


def test_batches_give_back_what_was_written_in_order(manifest):
    views, expected = blobs(manifest.shape, 5, 1)
    found = list(batches(manifest, "test", 2))
    assert _indices(found) == [f"test-{i}" for i in range(5)]
    np.testing.assert_array_equal(np.concatenate([batch["views"] for batch in found]), views)
    np.testing.assert_array_equal(np.concatenate([batch["labels"] for batch in found]), expected)
    np.testing.assert_array_equal(np.concatenate([batch["present"] for batch in found]), np.ones((5, 8)))
    np.testing.assert_array_equal(labels(manifest, "test"), expected)


def _training(batch_size, *overrides):
    overrides = (f"batch_size={batch_size}", "epochs=3", *overrides)
    return load_recipe("octoview", [f"training.{override}" for override in overrides]).training


def _epochs(dataset, steps):
    """Indices of the studies, (epochs, studies)."""
    return np.array(_indices(dataset)).reshape(-1, steps * 4)


def test_every_epoch_holds_every_study_and_full_batches(manifest):
    found = list(training_batches(manifest, _training(4), seed=0))
    assert [len(batch["views"]) for batch in found] == [4, 4, 4] * 3
    assert steps_per_epoch(manifest, 4) == 3
    for indices in _epochs(found, 3):
        assert len(set(indices[:11])) == 11
        assert indices[11] in indices[:11]


def test_the_order_depends_on_seed_and_epoch_alone(manifest):
    one, two = (_epochs(training_batches(manifest, _training(4), seed), 3) for seed in (0, 1))
    assert len({tuple(epoch) for epoch in (*one, *two)}) == 6
    np.testing.assert_array_equal(_epochs(training_batches(manifest, _training(4), 0), 3), one)
    np.testing.assert_array_equal(_epochs(training_batches(manifest, _training(4), 0, epoch=2), 3), one[1:])


def test_an_interrupted_epoch_goes_on_with_the_same_batches(manifest):
    training = _training(4, "mirror=true", "shift=0.2")
    whole = list(training_batches(manifest, training, 0))
    rest = list(training_batches(manifest, training, 0, epoch=2, step=1))
    assert len(rest) == 5
    for expected, found in zip(whole[4:], rest, strict=True):
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(("workers", "replicas"), [(2, 1), (1, 2), (2, 2)])
def test_shares_make_up_the_global_batch(manifest, workers, replicas):
    training = _training(4, "mirror=true", "shift=0.2")
    whole = list(training_batches(manifest, training, 0))
    shares = [
        list(training_batches(manifest, training, 0, Share(worker, workers, replicas)))
        for worker in range(workers)
    ]
    for step, expected in enumerate(whole):
        parts = [part for own in shares for part in own[step * replicas : (step + 1) * replicas]]
        for name, values in expected.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)


def test_workers_share_a_splits_batches(manifest):
    whole = list(batches(manifest, "test", 2))
    shares = [list(batches(manifest, "test", 2, Share(worker, 2))) for worker in range(2)]
    assert [len(own) for own in shares] == [2, 1]
    assert _indices([shares[0][0], shares[1][0], shares[0][1]]) == _indices(whole)


def test_a_cohort_smaller_than_a_batch_fills_it(manifest):
    first, *_ = training_batches(manifest, _training(16), seed=0)
    assert len(set(first["index"].numpy())) == 11


def test_a_truncated_shard_is_named(manifest):
    shard = Path(manifest.location, manifest.shards[-1].name)
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(ValueError, match=rf"{shard.name}: expected \d+ bytes, found \d+"):
        batches(manifest, "test", 2)


def test_a_missing_split_is_named(manifest):
    with pytest.raises(ValueError, match="expected split validation, found train, test"):
        batches(manifest, "validation", 2)
