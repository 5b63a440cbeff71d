"""Examples from TFRecord shards to batches: staging, decoding, shuffling."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import tensorflow as tf

from angiopipe import storage
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.study import LABELS, VIEWS

Batch = dict[str, tf.Tensor]
"""index (batch,) string; labels (batch, 22), present (batch, 8) and views (batch, *shape) uint8."""

_SHUFFLE_BYTES = 256 << 20
"""Memory for shuffling: a smaller training split is shuffled whole, a larger one within shards' reach."""

_copies = ExitStack()
atexit.register(_copies.close)


@functools.cache
def _local(uri: str, size: int) -> str:
    """The local path of a shard; a remote one is copied once, for the life of the process.

    Raises:
      ValueError: the shard is not there or not as large as its manifest says.
    """
    try:
        path = _copies.enter_context(storage.staged(uri))
        found = path.stat().st_size
    except FileNotFoundError:
        raise ValueError(
            f"{uri}: expected a shard of {size} bytes, found none; make the examples again"
        ) from None
    if found != size:
        raise ValueError(f"{uri}: expected {size} bytes, found {found}; make the examples again")
    return str(path)


def _records(manifest: ExamplesManifest, split: str, seed: int | None = None) -> tf.data.Dataset:
    """The serialised examples of a split: in order, or its shards shuffled by `seed`."""
    shards = [shard for shard in manifest.shards if shard.split == split]
    if not shards:
        raise ValueError(
            f"examples {manifest.fingerprint}: expected split {split}, found {', '.join(manifest.counts)}"
        )
    if seed is not None:
        shards = [shards[i] for i in np.random.default_rng(seed).permutation(len(shards))]
    return tf.data.TFRecordDataset([_local(storage.join(manifest.location, s.name), s.bytes) for s in shards])


def _decoder(shape: tuple[int, ...]) -> Callable[[tf.Tensor], Batch]:
    """Decodes one serialised `ExampleRecord` whose views have `shape`."""
    sizes = {"labels": (len(LABELS),), "present": (len(VIEWS),), "views": shape}
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("index", *sizes)}

    def decode(payload: tf.Tensor) -> Batch:
        example = tf.io.parse_single_example(payload, features)
        arrays = {
            name: tf.reshape(tf.io.decode_raw(example[name], tf.uint8), size) for name, size in sizes.items()
        }
        return {"index": example["index"], **arrays}

    return decode


def batches(manifest: ExamplesManifest, split: str, batch_size: int) -> tf.data.Dataset:
    """The batches of one split in the order of its shards; the last one may be smaller.

    Raises:
      ValueError: there is no such split, or a shard is missing or truncated.
    """
    examples = _records(manifest, split).map(_decoder(manifest.shape), tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(1)


def labels(manifest: ExamplesManifest, split: str) -> np.ndarray:
    """The labels of one split, in the order of its shards: (studies, 22) uint8."""
    feature = {"labels": tf.io.FixedLenFeature([], tf.string)}
    payloads = _records(manifest, split).map(
        lambda payload: tf.io.decode_raw(tf.io.parse_single_example(payload, feature)["labels"], tf.uint8)
    )
    return np.stack(list(payloads.as_numpy_iterator()))


def steps_per_epoch(manifest: ExamplesManifest, batch_size: int) -> int:
    return -(-manifest.counts["train"] // batch_size)


def training_batches(manifest: ExamplesManifest, batch_size: int, seed: int, epoch: int) -> tf.data.Dataset:
    """One epoch's shuffled batches, all of `batch_size`; the order depends on `seed` and `epoch` alone.

    Every study comes once. Where the last batch is not full, the first studies of the next shuffle
    fill it, others in every epoch: no study is left out and none counts more in the long run.
    """
    order = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    in_reach = max(4 * batch_size, _SHUFFLE_BYTES // int(np.prod(manifest.shape)))
    records = _records(manifest, "train", order).shuffle(min(in_reach, manifest.counts["train"]), order)
    examples = records.repeat().map(_decoder(manifest.shape), tf.data.AUTOTUNE)
    return examples.batch(batch_size, drop_remainder=True).take(steps_per_epoch(manifest, batch_size))
