"""Predictions, manifests and shards of a small cohort, as the tests of evaluation need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from angiopipe.evaluation.assessment import assess
from angiopipe.evaluation.evaluated import Evaluated
from angiopipe.evaluation.example_studies import choose, illustrate
from angiopipe.evaluation.predictions import Predictions
from angiopipe.recipe import Recipe, load_recipe
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import EvaluationManifest, ExamplesManifest, ModelManifest, Shard
from angiopipe.records.schema import ExampleRecord
from angiopipe.storage import file_sha256
from angiopipe.study import LABELS, VIEWS

COUNTS = {"train": (2,), "validation": (24,), "test": (17, 16)}
"""Studies of each shard of each split."""


def random_labels(rng: np.random.Generator, studies: int) -> np.ndarray:
    """(studies, 22) uint8: in every other study one location of the first six."""
    labels = np.zeros((studies, len(LABELS)), np.uint8)
    for row in range(0, studies, 2):
        labels[row, 0] = labels[row, 1 + rng.integers(6)] = 1
    return labels


@pytest.fixture
def predicted() -> Callable[..., Predictions]:
    """Makes random predictions that know something: (split, studies, locations=True) -> Predictions."""

    def make(split: str, studies: int, locations: bool = True) -> Predictions:
        rng = np.random.default_rng(len(split))
        labels = random_labels(rng, studies)
        logits = (rng.normal(0, 1, labels.shape) + 1.5 * labels).astype(np.float32)
        if not locations:
            logits[:, 1:] = np.nan
        present = np.ones((studies, len(VIEWS)), np.uint8)
        sizes = np.full((studies, len(VIEWS), 2), (720, 700))
        return Predictions(split, tuple(f"S{row}" for row in range(studies)), labels, logits, present, sizes)

    return make


def small_recipe(name: str) -> Recipe:
    model = {
        "octoview": ["model.widths=[4,8]", "model.dilations=[1]", "model.weights=null"],
        "coding_vessels": [
            "preprocessing.size=64",
            "model.last_block=conv2_block1",
            "model.features=4",
            "model.lstm=4",
            "model.dense=4",
        ],
        "kium_vgg16": ["model.depths=[1,1,1,1,1]", "model.widths=[4,4,4,4,4]", "model.dense=[8]"],
    }
    return load_recipe(name, ["preprocessing.size=32", "training.batch_size=7", *model[name]])


@pytest.fixture
def examples_of(tmp_path: Path) -> Callable[[str], ExamplesManifest]:
    """Writes the shards of random examples for a recipe; the sixth view of study test-3 is absent."""

    def make(name: str) -> ExamplesManifest:
        recipe, folder = small_recipe(name), tmp_path / "examples"
        folder.mkdir(exist_ok=True)
        shards = [
            _write_shard(folder / f"{split}-{number}.tfrecord", split, studies, recipe.preprocessing.shape)
            for split, sizes in COUNTS.items()
            for number, studies in enumerate(sizes)
        ]
        return ExamplesManifest(
            fingerprint="e" * 16,
            data_fingerprint="d" * 16,
            location=str(folder),
            shards=tuple(shards),
            shape=recipe.preprocessing.shape,
            recipe=name,
            preprocessing_digest=recipe.preprocessing.digest(),
        )

    return make


def _write_shard(path: Path, split: str, studies: int, shape: tuple[int, int, int, int]) -> Shard:
    rng = np.random.default_rng(studies)
    with path.open("wb") as file:
        for row, labels in enumerate(random_labels(rng, studies)):
            index = f"{split}-{studies}-{row}"
            present = np.ones(len(VIEWS), np.uint8)
            present[5] = index != "test-17-3"
            views = rng.integers(0, 256, shape, np.uint8) * present[:, None, None, None]
            sha256 = tuple(f"{index}/{view}" if there else "" for view, there in enumerate(present))
            sizes = tuple((40 * there, 30 * there) for there in present.tolist())
            write_record(file, ExampleRecord(index, labels, present, views, sha256, sizes).encode())
    return Shard(
        name=path.name, split=split, studies=studies, bytes=path.stat().st_size, sha256=file_sha256(path)
    )


@pytest.fixture
def evaluated(
    predicted: Callable[..., Predictions],
    examples_of: Callable[[str], ExamplesManifest],
    trained: Callable[..., ModelManifest],
) -> Callable[..., Evaluated]:
    """What a report is about: (recipe, change of the predictions) -> Evaluated."""

    def make(name: str, change: Callable[[Predictions], Predictions] = lambda part: part) -> Evaluated:
        locations = name != "kium_vgg16"
        validation, test = (change(predicted(s, n, locations)) for s, n in (("validation", 40), ("test", 60)))
        found = assess(validation, test, {"A": test, "B": test})
        groups = choose(test, found.deciding.threshold)
        studies = [(group, [illustrate(test, row, BLACK) for row in group.rows]) for group in groups]
        examples, model = examples_of(name), trained(name)
        manifest = EvaluationManifest(
            location="/nowhere",
            examples_fingerprint=examples.fingerprint,
            data_fingerprint=examples.data_fingerprint,
            weights_sha256=model.weights_sha256,
            test_fingerprint="7" * 16,
            calibration=found.calibration,
            operating_points=(),
            metrics={},
            roc=(),
        )
        return Evaluated(examples, model, manifest, validation, test, found, (), studies)

    return make


BLACK = ExampleRecord(
    index="",
    labels=np.zeros(len(LABELS), np.uint8),
    present=np.ones(len(VIEWS), np.uint8),
    views=np.zeros((len(VIEWS), 32, 32, 1), np.uint8),
    sha256=("",) * len(VIEWS),
    sizes=((32, 32),) * len(VIEWS),
)


@pytest.fixture
def trained() -> Callable[[str], ModelManifest]:
    """The manifest of a model by name; its weights are written by whoever needs them."""

    def make(name: str, location: str = "/nowhere", weights_sha256: str = "0" * 64) -> ModelManifest:
        return ModelManifest(
            location=location,
            recipe=small_recipe(name),
            examples_fingerprint="e" * 16,
            data_fingerprint="d" * 16,
            seed=0,
            best_epoch=1,
            validation_auroc=0.5,
            weights_sha256=weights_sha256,
        )

    return make
