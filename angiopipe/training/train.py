"""The train step: examples and a recipe in, a model and its history out."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from angiopipe import storage
from angiopipe.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, ModelManifest
from angiopipe.step import run_folder, step

if TYPE_CHECKING:
    import keras

    from angiopipe.training.loop import Outcome

log = logging.getLogger(__name__)


@step("train")
def train(
    examples: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    seed: int = 0,
) -> ModelManifest:
    """Trains a recipe's model and keeps the weights of its best epoch.

    Args:
      examples: URI of the examples' manifest.
      out: URI to write the model's manifest to.
      data_root: URI of the folder that holds all runs.
      run_id: the run's name.
      recipe: the recipe's name.
      overrides: `field=value` each; see `Recipe.with_overrides`.
      seed: of initial weights, the studies' order and their augmentation.

    Returns:
      The manifest, which is also written beside the weights.

    Raises:
      ValueError: the examples were made for another preprocessing, a split lacks studies or a
        class, a shard is missing, or pretrained weights cannot be had.
      FloatingPointError: the loss left the finite numbers.
    """
    # TensorFlow loads here, so that the command line need not wait for it.
    import keras
    import tensorflow as tf

    from angiopipe import models
    from angiopipe.training.loop import fit

    settings = load_recipe(recipe, overrides)
    manifest = ExamplesManifest.read(examples)
    check(manifest, settings)
    keras.utils.set_random_seed(seed)
    strategy = tf.distribute.get_strategy()
    with strategy.scope():
        model = models.build(settings.model, settings.preprocessing.shape)
    log.info("training %s, %s parameters, on %s", recipe, f"{model.count_params():,}", manifest.counts)
    outcome = fit(model, manifest, settings.training, seed, strategy)
    folder = storage.join(run_folder(data_root, run_id), "model")
    trained = _publish(model, outcome, folder, manifest, settings, seed)
    trained.write(out)
    log.info("best epoch %d, validation AUROC %.3f", trained.best_epoch, trained.validation_auroc)
    return trained


def check(manifest: ExamplesManifest, recipe: Recipe) -> None:
    """Refuses examples that a recipe cannot be trained on, before anything is built.

    Raises:
      ValueError: the examples were made for another preprocessing, or the training or the
        validation split does not hold both studies with and without an aneurysm.
    """
    expected = recipe.preprocessing.digest()
    if manifest.preprocessing_digest != expected:
        raise ValueError(
            f"examples {manifest.fingerprint}: expected the preprocessing of recipe {recipe.name} "
            f"({recipe.preprocessing!r}, digest {expected}), found that of recipe {manifest.recipe} "
            f"(digest {manifest.preprocessing_digest}); run preprocess with the same recipe and overrides"
        )
    from angiopipe.training.input import labels

    for split in ("train", "validation"):
        studies = manifest.counts.get(split, 0)
        positives = int(labels(manifest, split)[:, 0].sum()) if studies else 0
        if not 0 < positives < studies:
            raise ValueError(
                f"examples {manifest.fingerprint}, split {split}: expected studies with and without an "
                f"aneurysm, found {positives} with and {studies - positives} without; add studies or split "
                "the cohort again"
            )


def _publish(
    model: keras.Model, outcome: Outcome, location: str, manifest: ExamplesManifest, recipe: Recipe, seed: int
) -> ModelManifest:
    """Writes weights, history and, last, the manifest whose presence makes the folder count."""
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as folder:
        # Keras insists on the suffix, which a file being written does not have.
        weights = Path(folder) / "new.weights.h5"
        model.save_weights(weights)
        trained = ModelManifest(
            location=location,
            recipe=recipe,
            examples_fingerprint=manifest.fingerprint,
            data_fingerprint=manifest.data_fingerprint,
            seed=seed,
            best_epoch=outcome.best.epoch,
            validation_auroc=outcome.best.validation_auroc,
            weights_sha256=storage.file_sha256(weights),
        )
        with storage.new_file(trained.weights_uri) as path:
            shutil.move(weights, path)
    history = pd.DataFrame([asdict(epoch) for epoch in outcome.history])
    storage.write_text(trained.history_uri, history.to_csv(index=False))
    trained.write(storage.join(location, MANIFEST_NAME))
    return trained
