"""Which studies are shown, and that their views come from the shards."""

import base64
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from scipy.special import logit

from angiopipe.evaluation.example_studies import choose, illustrate, read_examples
from angiopipe.evaluation.predictions import Predictions
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.study import VIEW_NAMES


def scored(truth: list[int], scores: list[float]) -> Predictions:
    labels = np.zeros((len(truth), 22), np.uint8)
    labels[:, 0] = labels[:, 19] = truth
    logits = np.full(labels.shape, logit(0.1), np.float32)
    logits[:, 0] = logit(scores)
    indices = tuple(f"test-17-{row}" for row in range(len(truth)))
    present, sizes = np.ones((len(truth), 8), np.uint8), np.full((len(truth), 8, 2), 32)
    return Predictions("test", indices, labels, logits, present, sizes)


def test_groups_hold_the_surest_first() -> None:
    test = scored([1, 1, 1, 1, 0, 0, 0, 0], [0.9, 0.8, 0.95, 0.2, 0.1, 0.05, 0.7, 0.52])
    found, cleared, missed, alarms, nearest = (group.rows for group in choose(test, 0.5))
    assert (found, cleared, missed, alarms) == ((2, 0), (5, 4), (3,), (6, 7))
    assert nearest == (7, 6)


def test_no_error_is_said_in_words() -> None:
    groups = choose(scored([1, 0], [0.9, 0.1]), 0.5)
    assert [group.none for group in groups if not group.rows] == [
        "No aneurysm was missed.", "There was no false alarm.",
    ]  # fmt: skip


def test_views_are_read_from_the_shards(examples_of: Callable[[str], ExamplesManifest]) -> None:
    examples = examples_of("octoview")
    records = read_examples(examples, "test", {"test-17-3", "test-16-0"})
    assert set(records) == {"test-17-3", "test-16-0"}
    study = illustrate(scored([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.8]), 3, records["test-17-3"])
    assert (study.index, study.positive, study.truth) == ("test-17-3", True, ("BA",))
    assert study.probability == pytest.approx(0.8)
    assert [view.name for view in study.views] == list(VIEW_NAMES)
    assert [bool(view.source) for view in study.views] == [position != 5 for position in range(8)]
    shown = decoded(study.views[0].source)
    assert np.abs(shown[..., 0] - records["test-17-3"].views[0, ..., 0].astype(int)).mean() < 12


def test_a_study_that_is_not_there_is_named(examples_of: Callable[[str], ExamplesManifest]) -> None:
    with pytest.raises(ValueError, match="the test split has no study 7, 9"):
        read_examples(examples_of("octoview"), "test", {"9", "test-17-3", "7"})


def decoded(source: str) -> np.ndarray:
    encoded = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))
