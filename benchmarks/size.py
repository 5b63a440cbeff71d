"""Experimental: how far the sizes read off octoview's maps are from the generator's sacs.

    .venv/bin/python benchmarks/size.py

Realistic synthetic studies of 360 x 360, each with an aneurysm, of a seed that neither pretraining nor
the other benchmarks use. Each goes the predictor's way: JPEGs, preprocessing, maps, estimate, with one
pixel spacing a study, the mean of its views'. The truth is the largest diameter of the dome (of the
larger one, where there are two). The baseline answers the studies' own mean, which nobody knows.
`--fit` draws from the distribution of pretraining instead, and prints the line through what is measured
that `evaluation.size` keeps. The last line is one JSON object: {"studies", "estimated" (share),
"median_error_mm", "bias_mm", "spearman", "baseline_median_error_mm"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import tyro
from scipy.stats import spearmanr

from angiopipe.cohort.synthetic import REALISTIC, make_study
from angiopipe.evaluation.size import disc_mm, estimate_mm
from angiopipe.pretraining.views import PRETRAINING

SIZE, SEED, FITTED_SEED = 360, 20_241, 20_242


class Measured(NamedTuple):
    """A study: what the map shows, what is said of it, and the truth, all in mm."""

    shown: float
    estimate: float
    truth: float


def main(studies: int = 100, fit: bool = False, model: str = "") -> None:
    """Measures and prints.

    Args:
      studies: how many.
      fit: print the line for `evaluation.size` as well.
      model: a model's manifest; none for the weights in the package.
    """
    measured = np.array(list(measure(studies, fit, model)))
    if fit:
        shown, _, truth = measured[~np.isnan(measured[:, 0])].T
        slope, offset = np.polyfit(shown, truth, 1)
        print(f"largest diameter = {offset:.3f} mm + {slope:.3f} x shown, of {len(truth)} studies")
    estimates, truth = measured[:, 1], measured[:, 2]
    known = ~np.isnan(estimates)
    errors = estimates[known] - truth[known]
    figures = {
        "studies": studies,
        "estimated": known.mean(),
        "median_error_mm": np.median(np.abs(errors)),
        "bias_mm": errors.mean(),
        "spearman": spearmanr(estimates[known], truth[known]).statistic,
        "baseline_median_error_mm": np.median(np.abs(truth[known] - truth[known].mean())),
    }
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


def measure(studies: int, fit: bool, model: str) -> Iterator[Measured]:
    """One study after the other, none kept."""
    from angiopipe import models
    from angiopipe.imaging.preprocess import preprocess_study
    from angiopipe.recipe import load_recipe
    from angiopipe.records.manifest import ModelManifest
    from angiopipe.training.predict import scorer

    trained = ModelManifest.read(model) if model else None
    recipe = trained.recipe if trained else load_recipe("octoview", [])
    network = models.load(trained) if trained else models.build(recipe.model, recipe.preprocessing.shape)
    maps = models.evidence(network)
    assert maps is not None, f"{model}: expected an octoview, found {recipe.name}"
    forward = scorer(maps)
    settings = (PRETRAINING if fit else REALISTIC).model_copy(update={"prevalence": 1.0})
    for number in range(studies):
        study = make_study(settings, SIZE, FITTED_SEED if fit else SEED, number)
        quality = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
        jpegs = [cv2.imencode(".jpg", view, quality)[1].tobytes() for view in study.views]
        views, present = preprocess_study(jpegs, recipe.preprocessing)
        evidence = forward({"views": views[None], "present": present[None]}).numpy()[0, ..., 0]
        sides, spacing = [max(view.shape) for view in study.views], float(np.mean(study.mm_per_pixel))
        truth = max(lesion.largest_mm for lesion in study.lesions)
        yield Measured(
            disc_mm(evidence, present, sides, spacing),
            estimate_mm(evidence, present, sides, spacing),
            truth,
        )


if __name__ == "__main__":
    tyro.cli(main)
