"""Examples on disk, made from arrays."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from angiopipe.clinical import MODEL_NAMES, encode
from angiopipe.recipe import Recipe, load_recipe
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import ExamplesManifest, Shard
from angiopipe.records.schema import ExampleRecord
from angiopipe.storage import file_sha256
from angiopipe.study import LABELS, VIEW_NAMES

Arrays = tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, np.ndarray]
"""(studies, 8, rows, columns, channels) uint8 views, (studies, 22) uint8 labels and, in all splits or in none,
(studies, 6) values of `clinical.MODEL_VARIABLES`."""
WriteExamples = Callable[..., ExamplesManifest]

TINY = {
    "octoview": ("preprocessing.size=32", "model.widths=[8,16]", "model.dilations=[1]", "model.weights=null"),
    "kium_vgg16": ("preprocessing.size=32", "model.widths=[4,4,4,4,4]", "model.dense=[8]"),
    "coding_vessels": (
        "preprocessing.size=64",
        "model.last_block=conv2_block2",
        "model.features=8",
        "model.lstm=4",
        "model.dense=8",
    ),
}
"""Overrides that make each recipe small enough for a test."""


def blobs(shape: tuple[int, ...], studies: int, seed: int) -> Arrays:
    """Studies of flat views; every second one has a dark disc, in LI-A for L_MCA or in RV-B for BA."""
    rng = np.random.default_rng(seed)
    views = rng.normal(200, 5, (studies, *shape))
    labels = np.zeros((studies, len(LABELS)), np.uint8)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    for i in range(0, studies, 2):
        view, location = (("LI-A", "L_MCA"), ("RV-B", "BA"))[i // 2 % 2]
        y, x = rng.integers(shape[1] // 4, 3 * shape[1] // 4, 2)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < (shape[1] / 8) ** 2
        views[i, VIEW_NAMES.index(view), disc] -= 120
        labels[i, [0, LABELS.index(location)]] = 1
    return np.clip(views, 0, 255).astype(np.uint8), labels


def examples_in(out: Path, recipe: Recipe, **splits: Arrays) -> ExamplesManifest:
    """Writes arrays per split in two shards each, and the manifest as `examples.json`."""
    folder = out / "examples"
    folder.mkdir(exist_ok=True)
    shards = [
        _write_shard(folder, split, number, [array[part] for array in arrays], part)
        for split, arrays in splits.items()
        for number, part in enumerate(np.array_split(np.arange(len(arrays[0])), 2))
    ]
    told = any(len(arrays) > 2 for arrays in splits.values())
    manifest = ExamplesManifest(
        fingerprint="f" * 16,
        data_fingerprint="d" * 16,
        location=str(folder),
        shards=tuple(shards),
        shape=recipe.preprocessing.shape,
        recipe=recipe.name,
        preprocessing_digest=recipe.preprocessing.digest(),
        clinical=MODEL_NAMES if told else (),
    )
    manifest.write(str(out / "examples.json"))
    return manifest


@pytest.fixture(autouse=True)
def seen_log() -> None:
    """A step that ran before has turned the library's log away from where pytest looks."""
    logging.getLogger("angiopipe").propagate = True


@pytest.fixture
def write_examples(tmp_path: Path) -> WriteExamples:
    """`examples_in` the test's own folder."""
    return functools.partial(examples_in, tmp_path)


def _write_shard(
    folder: Path, split: str, number: int, arrays: list[np.ndarray], studies: np.ndarray
) -> Shard:
    path = folder / f"{split}-{number:05d}.tfrecord"
    with path.open("wb") as file:
        for i, views, labels, *values in zip(studies, *arrays, strict=True):
            known = encode(values[0].tolist()) if values else None
            record = ExampleRecord(
                f"{split}-{i}", labels, np.ones(8, np.uint8), views, ("ab",) * 8, ((9, 9),) * 8, known
            )
            write_record(file, record.encode())
    return Shard(
        name=path.name, split=split, studies=len(studies), bytes=path.stat().st_size, sha256=file_sha256(path)
    )


@pytest.fixture(params=sorted(TINY))
def tiny(request: pytest.FixtureRequest) -> Recipe:
    """Every recipe in turn, reduced."""
    return load_recipe(request.param, TINY[request.param])


@pytest.fixture
def tiny_octoview() -> Recipe:
    return load_recipe("octoview", TINY["octoview"])
