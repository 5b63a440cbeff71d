"""Reading examples back: order, completeness, shuffling, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from angiopipe.training.input import batches, labels, steps_per_epoch, training_batches
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


def test_an_epoch_holds_every_study_and_full_batches(manifest):
    found = list(training_batches(manifest, 4, seed=0, epoch=1))
    assert [len(batch["views"]) for batch in found] == [4, 4, 4]
    assert steps_per_epoch(manifest, 4) == 3
    indices = _indices(found)
    assert len(set(indices[:11])) == 11
    assert indices[11] in indices[:11]


def test_the_order_depends_on_seed_and_epoch_alone(manifest):
    orders = {(s, e): tuple(_indices(training_batches(manifest, 4, s, e))) for s in (0, 1) for e in (1, 2)}
    assert len(set(orders.values())) == 4
    assert tuple(_indices(training_batches(manifest, 4, 0, 2))) == orders[0, 2]


def test_a_cohort_smaller_than_a_batch_fills_it(manifest):
    (batch,) = training_batches(manifest, 16, seed=0, epoch=1)
    assert len(set(batch["index"].numpy())) == 11


def test_a_truncated_shard_is_named(manifest):
    shard = Path(manifest.location, manifest.shards[-1].name)
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(ValueError, match=rf"{shard.name}: expected \d+ bytes, found \d+"):
        batches(manifest, "test", 2)


def test_a_missing_split_is_named(manifest):
    with pytest.raises(ValueError, match="expected split validation, found train, test"):
        batches(manifest, "validation", 2)
