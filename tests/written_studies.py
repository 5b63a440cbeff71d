"""Studies written as records without the graphs, so that a test can write what no graph would."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from angiopipe import storage
from angiopipe.records.example import encode_example
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import MANIFEST_NAME, Shard, StudiesManifest
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES

Features = dict[str, list[Any]]
ROWS, COLUMNS = 32, 40


@functools.cache
def jpeg(seed: int) -> bytes:
    """An image of its own for each seed."""
    grey = np.random.default_rng(seed).integers(0, 256, (ROWS, COLUMNS, 1), np.uint8)
    return tf.io.encode_jpeg(grey).numpy()


def study(number: int, split: str) -> Features:
    """A study's features; each third has an aneurysm of the right internal carotid artery."""
    labels = np.zeros(len(LABELS), np.uint8)
    labels[[0, 2]] = number % 3 == 0
    views = [jpeg(8 * number + position) for position in range(len(VIEW_NAMES))]
    return {
        "index": [str(number).encode()],
        "split": [split.encode()],
        "labels": [labels.tobytes()],
        "views": views,
        "sha256": [hashlib.sha256(view).hexdigest().encode() for view in views],
        "height": [ROWS] * len(views),
        "width": [COLUMNS] * len(views),
    }


def cohort() -> list[Features]:
    """Twelve studies: 1000 to 1005 for training, three each for validation and test."""
    splits = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    return [study(1000 + position, split) for position, split in enumerate(splits)]


def replace_view(features: Features, position: int, content: bytes) -> None:
    """Puts another view into a study, with the SHA-256 that belongs to it."""
    features["views"][position] = content
    features["sha256"][position] = hashlib.sha256(content).hexdigest().encode()


def write_studies(
    location: str, studies: Sequence[Features], placed: Sequence[str] | None = None
) -> StudiesManifest:
    """Writes shards of three records, with a manifest that fits them.

    Args:
      location: URI of the folder.
      studies: features of each.
      placed: the split whose shards hold each; what its features say unless given.
    """
    placed = placed or [features["split"][0].decode() for features in studies]
    shards = []
    for split in SPLITS:
        members = [features for features, of in zip(studies, placed, strict=True) if of == split]
        chunks = [members[start : start + 3] for start in range(0, len(members), 3)]
        for position, chunk in enumerate(chunks):
            name = f"{split}-{position:05d}-of-{len(chunks):05d}.tfrecord"
            shards.append(write_shard(location, name, split, [encode_example(f) for f in chunk]))
    manifest = StudiesManifest(
        fingerprint="f" * 16, data_fingerprint="d" * 16, location=location, shards=tuple(shards)
    )
    manifest.write(storage.join(location, MANIFEST_NAME))
    return manifest


def write_shard(location: str, name: str, split: str, payloads: Sequence[bytes]) -> Shard:
    uri = storage.join(location, name)
    with storage.new_file(uri) as path:
        with path.open("wb") as file:
            for payload in payloads:
                write_record(file, payload)
        content = path.read_bytes()
    return Shard(
        name=name,
        split=split,
        studies=len(payloads),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def write_labels(uri: str, studies: Sequence[Features]) -> None:
    """The labels CSV that the studies' records equal."""
    lines = [",".join((INDEX, *LABELS))]
    for features in studies:
        lines.append(",".join([features["index"][0].decode(), *map(str, features["labels"][0])]))
    storage.write_text(uri, "\n".join(lines) + "\n")


def record_starts(content: bytes) -> list[int]:
    """The first byte of each record of a shard, from the lengths alone."""
    starts, offset = [], 0
    while offset < len(content):
        starts.append(offset)
        offset += 16 + int.from_bytes(content[offset : offset + 8], "little")
    return starts


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :]
