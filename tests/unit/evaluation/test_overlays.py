"""Overlays show the model's own evidence, where it is."""

import base64
from collections.abc import Callable

import cv2
import keras
import numpy as np
import pytest

from angiopipe import models
from angiopipe.evaluation.overlays import COLOUR, FAINTEST, OPAQUE, evidence_maps, overlay, overlays
from angiopipe.records.manifest import ModelManifest
from angiopipe.records.schema import ExampleRecord


@pytest.fixture
def record() -> ExampleRecord:
    rng = np.random.default_rng(0)
    present = np.array([1, 1, 1, 0, 1, 1, 1, 1], np.uint8)
    views = rng.integers(0, 256, (8, 32, 32, 1), np.uint8)
    return ExampleRecord("7", np.zeros(22, np.uint8), present, views, ("",) * 8, ((32, 32),) * 8)


def build(trained: Callable[..., ModelManifest], name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    manifest = trained(name)
    return models.build(manifest.recipe.model, manifest.recipe.preprocessing.shape)


def test_shares_are_of_the_strongest_evidence_in_the_study(
    trained: Callable[..., ModelManifest], record: ExampleRecord
) -> None:
    evidence = models.evidence(build(trained, "octoview"))
    shares = evidence_maps(evidence, record)
    logits = np.asarray(evidence({"views": record.views[None], "present": record.present[None]}))[0, ..., 0]
    assert shares.shape == (8, 8, 8)
    assert not shares[3].any()
    there = record.present.astype(bool)
    strongest = np.unravel_index(np.argmax(np.where(there[:, None, None], logits, -np.inf)), logits.shape)
    assert shares[strongest] == 1
    np.testing.assert_allclose(np.log(shares[there]), logits[there] - logits[strongest], atol=1e-4)


def test_an_overlay_is_transparent_where_there_is_nothing() -> None:
    shares = np.zeros((4, 6), np.float32)
    shares[1, 2], shares[2, 3], shares[3, 5] = 1, 0.25, FAINTEST / 2
    encoded = base64.b64decode(overlay(shares).removeprefix("data:image/png;base64,"))
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (4, 6, 4)
    assert tuple(picture[1, 2, 2::-1]) == COLOUR
    assert picture[1, 2, 3] == round(255 * OPAQUE)
    assert picture[2, 3, 3] == pytest.approx(255 * OPAQUE / 2, abs=1)
    assert np.count_nonzero(picture[..., 3]) == 2
    assert overlay(np.zeros((4, 6))) == ""


def test_a_model_without_maps_has_no_overlay(
    trained: Callable[..., ModelManifest], record: ExampleRecord
) -> None:
    assert overlays(models.evidence(build(trained, "kium_vgg16")), record) == ("",) * 8
