"""Training where the views say nothing, and the patient's age alone tells."""

from __future__ import annotations

import numpy as np
import pytest

from angiopipe import models
from angiopipe.clinical import UNKNOWN
from angiopipe.study import LABELS
from angiopipe.training.input import batches
from angiopipe.training.predict import predict
from angiopipe.training.train import train
from tests.unit.training.conftest import TINY, Arrays

SMALLEST = (
    "model.widths=[4,4]",
    "training.epochs=12",
    "training.batch_size=16",
    "training.learning_rate=0.03",
)


def older_patients(shape: tuple[int, ...], studies: int, seed: int) -> Arrays:
    """The same grey in every view; those with an aneurysm are about sixteen years older."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((studies, len(LABELS)), np.uint8)
    labels[::2, [0, LABELS.index("BA")]] = 1
    ages = np.clip(rng.normal(50 + 16 * labels[:, 0], 7), 20, 90).astype(int)
    values = np.full((studies, 6), UNKNOWN)
    values[:, 0], values[:, 3] = ages, rng.integers(0, 2, studies)
    return np.full((studies, *shape), 180, np.uint8), labels, values


@pytest.fixture
def examples(tiny_octoview, write_examples):
    shape = tiny_octoview.preprocessing.shape
    return write_examples(
        tiny_octoview, train=older_patients(shape, 64, 0), validation=older_patients(shape, 32, 1)
    )


@pytest.fixture
def run(examples, tmp_path):
    def run(*overrides):
        return train(
            examples=str(tmp_path / "examples.json"),
            out=str(tmp_path / "model.json"),
            data_root=str(tmp_path / "root"),
            overrides=[*TINY["octoview"], *SMALLEST, *overrides],
        )

    return run


def test_age_is_learned_by_a_model_that_is_told_it_and_by_no_other(run, examples):
    assert run("training.epochs=1").validation_auroc == pytest.approx(0.5, abs=0.2)
    told = run('model.clinical=["age"]')
    assert told.validation_auroc > 0.8
    _, _, logits = predict(models.load(told), examples, "validation")
    assert np.ptp(logits[:, 0]) > 0.1
    assert logits[:, 0] == pytest.approx(
        np.log(np.expm1(np.log1p(np.exp(logits[:, 1:])).sum(axis=1))), abs=1e-3
    )


def test_batches_hold_what_the_records_hold(examples):
    known = next(iter(batches(examples, "train", 4)))["clinical"].numpy()
    assert (known.shape, known.dtype) == ((4, 12), np.float32)
    np.testing.assert_array_equal(known[:, [2, 3, 4, 5, 7]], [[0, 0, 0, 0, 1]] * 4)
    assert np.ptp(known[:, 0]) > 0.1


def test_examples_without_the_models_variables_are_refused(run, examples, tmp_path):
    examples.model_copy(update={"clinical": ("age",)}).write(str(tmp_path / "examples.json"))
    with pytest.raises(ValueError, match=r"variables age, sex of model.clinical, found age; run validate"):
        run('model.clinical=["age","sex"]')
