"""Examples from TFRecord shards to batches: staging, decoding, shuffling."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import tensorflow as tf

from angiopipe import storage
from angiopipe.clinical import ENCODED
from angiopipe.recipe import Training
from angiopipe.records.manifest import ExamplesManifest, Shard
from angiopipe.study import LABELS, VIEWS
from angiopipe.training.augment import Batch, augmentation
from angiopipe.training.strategy import Share

_SHUFFLE_BYTES = 256 << 20
"""Memory for shuffling: a smaller training split is shuffled whole, a larger one within shards' reach."""

_OPEN_SHARDS = 4
"""Shards read in turn, a record of each; they mix where a split is larger than the shuffle's memory."""

_READY_BATCHES = 2
"""Decoded ahead of the step that needs them."""

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


class PartOfShard(Shard):
    """Some records of a shard, as if the others were not there.

    Attributes:
      rows: their places in the file, counted from 0.
    """

    rows: tuple[int, ...]


def _records(manifest: ExamplesManifest, split: str) -> tuple[int, Callable[[tf.Tensor], tf.data.Dataset]]:
    """How many shards a split has, and what gives a shard's serialised records by its number.

    Raises:
      ValueError: there is no such split, or a shard is missing or truncated.
    """
    shards = [shard for shard in manifest.shards if shard.split == split]
    if not shards:
        raise ValueError(
            f"examples {manifest.fingerprint}: expected split {split}, found {', '.join(manifest.counts)}"
        )
    paths = tf.constant([_local(storage.join(manifest.location, s.name), s.bytes) for s in shards])
    if not any(isinstance(shard, PartOfShard) for shard in shards):
        return len(shards), lambda number: tf.data.TFRecordDataset(paths[number])
    rows = [s.rows if isinstance(s, PartOfShard) else range(s.studies) for s in shards]
    wanted = np.zeros((len(shards), 1 + max(max(places, default=0) for places in rows)), bool)
    for number, places in enumerate(rows):
        wanted[number, list(places)] = True
    taken = tf.constant(wanted)

    def records(number: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(paths[number]).take(taken.shape[1]).enumerate()
        return numbered.filter(lambda at, _: taken[number, at]).map(lambda _, record: record)

    return len(shards), records


def _in_order(manifest: ExamplesManifest, split: str) -> tf.data.Dataset:
    shards, records = _records(manifest, split)
    return tf.data.Dataset.range(shards).flat_map(records)


def _decoder(manifest: ExamplesManifest) -> Callable[[tf.Tensor], Batch]:
    """Decodes a batch of serialised `ExampleRecord`s."""
    sizes = {"labels": (len(LABELS),), "present": (len(VIEWS),), "views": manifest.shape}
    if manifest.clinical:
        sizes["clinical"] = (ENCODED,)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("index", *sizes)}

    def decode(payloads: tf.Tensor) -> Batch:
        example = tf.io.parse_example(payloads, features)
        arrays = {
            name: tf.reshape(
                tf.io.decode_raw(example[name], tf.float32 if name == "clinical" else tf.uint8),
                (payloads.shape[0] or -1, *size),
            )
            for name, size in sizes.items()
        }
        return {"index": example["index"], **arrays}

    return decode


def batches(
    manifest: ExamplesManifest,
    split: str,
    batch_size: int,
    share: Share = Share(),  # noqa: B008 (immutable)
) -> tf.data.Dataset:
    """The batches of one split in the order of its shards; the last one may be smaller.

    Of several workers each has every so manieth batch, the first worker the first.

    Raises:
      ValueError: there is no such split, or a shard is missing or truncated.
    """
    payloads = _in_order(manifest, split).batch(batch_size)
    own = payloads.shard(share.workers, share.worker)
    return own.map(_decoder(manifest), tf.data.AUTOTUNE).prefetch(1)


def labels(manifest: ExamplesManifest, split: str) -> np.ndarray:
    """The labels of one split, in the order of its shards: (studies, 22) uint8."""
    feature = {"labels": tf.io.FixedLenFeature([], tf.string)}
    payloads = _in_order(manifest, split).map(
        lambda payload: tf.io.decode_raw(tf.io.parse_single_example(payload, feature)["labels"], tf.uint8)
    )
    return np.stack(list(payloads.as_numpy_iterator()))


def steps_per_epoch(manifest: ExamplesManifest, batch_size: int) -> int:
    return -(-manifest.counts["train"] // batch_size)


def training_batches(
    manifest: ExamplesManifest,
    training: Training,
    seed: int,
    share: Share = Share(),  # noqa: B008 (immutable)
    epoch: int = 1,
    step: int = 0,
) -> tf.data.Dataset:
    """A worker's shuffled and augmented batches of all epochs from one step on, one element a device.

    All workers read the same global batches and take their share before anything is decoded. Order and
    augmentation depend on the seed, the epoch and a study's place in the global batch alone, however
    many workers there are.

    Within an epoch every study comes once. Where the last batch is not full, the first studies of the
    next shuffle fill it, others in every epoch: no study is left out and none counts more in the long run.

    Args:
      manifest: the examples.
      training: batch size, epochs and augmentation.
      seed: of order and augmentation.
      share: which part of each global batch.
      epoch: the first, counted from 1.
      step: of that epoch, to begin with; counted from 0.
    """
    steps = steps_per_epoch(manifest, training.batch_size)
    shards, records_of = _records(manifest, "train")
    epochs = range(training.epochs + 1)
    orders = [int(np.random.SeedSequence([seed, e]).generate_state(1)[0]) for e in epochs]
    shuffled = tf.constant([np.random.default_rng(o).permutation(shards) for o in orders], tf.int64)
    reach = max(4 * training.batch_size, _SHUFFLE_BYTES // int(np.prod(manifest.shape)))
    reach = min(reach, manifest.counts["train"])

    def payloads(number: tf.Tensor) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices(tf.gather(shuffled, number))
        records = files.interleave(records_of, cycle_length=_OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE)
        order = tf.gather(tf.constant(orders, tf.int64), number)
        # `Dataset.shuffle` would mix in TensorFlow's global seed, and takes no tensor where that is 0.
        chunks = records.batch(reach).repeat().enumerate()
        records = chunks.flat_map(lambda at, chunk: _shuffled(chunk, tf.stack([order, at])))
        whole = records.batch(training.batch_size, drop_remainder=True).take(steps).enumerate()
        return whole.map(lambda at, batch: (number, at, batch))

    take = functools.partial(_own_part, training.batch_size, share)
    own = tf.data.Dataset.range(epoch, training.epochs + 1).flat_map(payloads).skip(step).map(take).unbatch()
    decode, augment = _decoder(manifest), augmentation(training, seed)

    def batch(number: tf.Tensor, at: tf.Tensor, first: tf.Tensor, part: tf.Tensor) -> Batch:
        return augment(decode(part), number, at, first)

    return own.map(batch, tf.data.AUTOTUNE).prefetch(_READY_BATCHES * share.replicas)


def _shuffled(records: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(records)), seed)
    return tf.data.Dataset.from_tensor_slices(order).map(lambda at: records[at])


def _own_part(
    batch_size: int, share: Share, number: tf.Tensor, at: tf.Tensor, payloads: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Epoch, step, place of the first study and payloads of each of a worker's devices."""
    size = share.per_replica(batch_size)
    devices = range(share.worker * share.replicas, (share.worker + 1) * share.replicas)
    first = tf.constant([device * size for device in devices], tf.int64)
    own = tf.reshape(payloads[devices.start * size : devices.stop * size], (share.replicas, size))
    return tf.fill([share.replicas], number), tf.fill([share.replicas], at), first, own
