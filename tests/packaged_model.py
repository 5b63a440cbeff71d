"""A small model packaged as the registry holds it, for the tests of what is served and scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np

from angiopipe import models
from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import Calibration, EvaluationManifest, ModelManifest, OperatingThreshold
from angiopipe.registry import package
from angiopipe.storage import file_sha256

SMALL = {
    "octoview": ["model.widths=[4,8]", "model.dilations=[1]", "model.weights=null", "preprocessing.size=32"],
    "kium_vgg16": [
        "model.depths=[1,1,1,1,1]", "model.widths=[4,4,4,4,4]", "model.dense=[8]", "preprocessing.size=32",
    ],
}  # fmt: skip


class Packaged(NamedTuple):
    """What the package was made from, and where it is."""

    model: ModelManifest
    evaluation: EvaluationManifest
    folder: Path


def make_manifests(
    out: Path, recipe_name: str = "octoview", overrides: Sequence[str] = ()
) -> tuple[ModelManifest, EvaluationManifest]:
    """A model of random weights with temperatures that matter and two operating points."""
    import keras

    keras.utils.set_random_seed(1)
    recipe = load_recipe(recipe_name, [*SMALL[recipe_name], *overrides])
    network = models.build(recipe.model, recipe.preprocessing.shape)
    odds = [w.path for part in network.layers if part.name == "clinical_odds" for w in part.weights]
    for weight in network.trainable_weights:
        # Zero at the start; logits then say too little.
        if weight.name == "bias" or weight.path in odds:
            weight.assign(np.random.default_rng(0).normal(0, 0.5, weight.shape))
    out.mkdir(parents=True, exist_ok=True)
    network.save_weights(out / "model.weights.h5")
    model = ModelManifest(
        location=str(out), recipe=recipe, examples_fingerprint="e" * 16, data_fingerprint="d" * 16, seed=1,
        best_epoch=1, validation_auroc=0.5, weights_sha256=file_sha256(out / "model.weights.h5"),
    )  # fmt: skip
    evaluation = EvaluationManifest(
        location=str(out), examples_fingerprint="e" * 16, data_fingerprint="d" * 16,
        weights_sha256=model.weights_sha256, test_fingerprint="t" * 16,
        calibration=Calibration(aneurysm=100.0, locations=2.0),
        operating_points=(
            OperatingThreshold(name="youden", rule="for the tests", threshold=0.0),
            OperatingThreshold(name="sensitivity_90", rule="for the tests", threshold=1.0),
        ),
        metrics={"test_auroc": 0.5, "test_auroc_low": 0.2, "test_auroc_high": 0.8, "test_studies": 2.0},
        roc=((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)),
    )  # fmt: skip
    (out / "report.html").write_text("<html></html>")
    (out / "history.csv").write_text("epoch,seconds,loss\n1,1.0,0.5\n")
    (out / "predictions.csv").write_text(
        "Index,split,true_Aneurysm,probability_Aneurysm\n1,test,0,0.4\n2,test,1,0.4\n"
    )
    return model, evaluation


def package_model(out: Path, recipe_name: str = "octoview", overrides: Sequence[str] = ()) -> Packaged:
    """Saves the model as MLflow's registry would hold it, without a registry."""
    model, evaluation = make_manifests(out / "trained", recipe_name, overrides)
    with package.contents(model, evaluation) as contents:
        mlflow.pyfunc.save_model(out / "package", **contents)
    return Packaged(model, evaluation, out / "package")
