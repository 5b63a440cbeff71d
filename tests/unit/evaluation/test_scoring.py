"""The one pass over a split: the same answers as training's own, and what the records say of the views."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from angiopipe import models
from angiopipe.evaluation.scoring import ALL_VIEWS, score
from angiopipe.records.manifest import ExamplesManifest, ModelManifest
from angiopipe.training.predict import Scorer, predict, scorer


@pytest.fixture
def model(trained: Callable[..., ModelManifest]) -> keras.Model:
    keras.utils.set_random_seed(0)
    manifest = trained("octoview")
    return models.build(manifest.recipe.model, manifest.recipe.preprocessing.shape)


@pytest.fixture
def forward(model: keras.Model) -> Scorer:
    return scorer(model)


def test_one_pass_equals_predict_and_tells_of_the_views(
    model: keras.Model, forward: Scorer, examples_of: Callable[[str], ExamplesManifest]
) -> None:
    examples = examples_of("octoview")
    left = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.uint8)
    found = score(forward, examples, "test", 7, {"left": left})
    indices, labels, logits = predict(model, examples, "test", 9)
    assert found.indices == tuple(indices)
    assert np.array_equal(found.labels, labels)
    np.testing.assert_allclose(found.logits[ALL_VIEWS], logits, rtol=1e-4)
    assert not np.allclose(found.logits["left"], logits)
    lacking = indices.index("test-17-3")
    assert found.present[lacking].tolist() == [1, 1, 1, 1, 1, 0, 1, 1]
    assert found.present.sum() == 8 * 33 - 1
    assert found.sizes[lacking].tolist() == [[40, 30]] * 5 + [[0, 0]] + [[40, 30]] * 2
    assert found.sha256[lacking][5:7] == ("", "test-17-3/6")


def test_what_is_not_there_is_named(forward: Scorer, examples_of: Callable[[str], ExamplesManifest]) -> None:
    examples = examples_of("octoview")
    with pytest.raises(ValueError, match="expected split holdout, found train, validation, test"):
        score(forward, examples, "holdout", 7)
    Path(examples.shard_uris("test")[1]).unlink()
    with pytest.raises(ValueError, match=r"test-1.tfrecord: expected a shard, found none"):
        score(forward, examples, "test", 7)
