"""Temperatures: found again where known, left alone where validation cannot tell."""

import numpy as np
import pytest
from scipy.special import expit

from angiopipe.evaluation.calibration import fit_calibration, fit_temperature


def drawn(studies: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that are too sure of themselves by a factor of `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, studies)
    return (rng.random(studies) < expit(logits)).astype(np.uint8), logits * temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    found = fit_temperature(*drawn(20_000, temperature))
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert not found.untouched


@pytest.mark.parametrize("positives", [0, 4, 16, 20])
def test_too_few_of_a_class_leave_the_logits_alone(positives: int) -> None:
    found = fit_temperature(np.arange(20) < positives, np.linspace(-3, 3, 20))
    assert found.value == 1
    assert f"{positives} with and {20 - positives} without" in found.untouched


def test_separable_studies_do_not_become_certainty() -> None:
    labels = np.repeat([0, 1], 30)
    found = fit_temperature(labels, np.where(labels == 1, 2.0, -2.0))
    assert expit(2.0 / found.value) == pytest.approx(31 / 32, abs=1e-3)


def test_scores_that_mislead_are_not_flattened_to_one_half() -> None:
    labels, logits = drawn(400, 1.0)
    found = fit_temperature(labels, -logits)
    assert found.value == 1
    assert "no temperature between" in found.untouched


def test_locations_share_a_temperature_of_their_own() -> None:
    columns = [drawn(2_000, 2.5 if place else 0.5, seed=place) for place in range(22)]
    labels, logits = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    found, untouched = fit_calibration(labels, logits)
    assert (found.aneurysm, found.locations) == (pytest.approx(0.5, rel=0.1), pytest.approx(2.5, rel=0.05))
    assert untouched == ()


def test_a_model_without_locations_has_one_temperature() -> None:
    labels, logits = np.zeros((12, 22)), np.full((12, 22), np.nan)
    logits[:, 0] = 0.3
    found, untouched = fit_calibration(labels, logits)
    assert (found.aneurysm, found.locations) == (1, 1)
    assert untouched == (
        "The logits of Aneurysm are not calibrated: validation has 0 with and 12 without, fewer than 5 of a class.",
    )
