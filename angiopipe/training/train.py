"""The train step: examples and a recipe in, a model and its history out."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from angiopipe import defaults, storage
from angiopipe.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, ModelManifest
from angiopipe.rules import check_batch, check_tensorboard, require_both_classes
from angiopipe.step import record_figures, run_folder, step
from angiopipe.training import cluster
from angiopipe.training.checkpoint import CHECKPOINTS, steps_done
from angiopipe.training.launch import launch

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
    workers: int = 1,
    tensorboard: str = "off",
    start_deadline: float = defaults.START_DEADLINE,
    cluster_settings: str = "",
) -> ModelManifest:
    """Trains a recipe's model, or the members of its ensemble, and keeps the weights of the best epoch.

    A run that was interrupted goes on from its last checkpoint when it is started again with the same
    run id, recipe, examples and seed, with as many workers or others, and takes its own model if that is finished and
    whole. With another recipe, examples or seed it begins anew, and the other's checkpoints stay.

    Args:
      examples: URI of the examples' manifest.
      out: URI to write the model's manifest to.
      data_root: URI of the folder that holds all runs.
      run_id: the run's name.
      recipe: the recipe's name.
      overrides: `field=value` each; see `Recipe.with_overrides`.
      seed: of initial weights, the studies' order and their augmentation.
      workers: processes on this machine that share each batch.
      tensorboard: "off", or what to write for TensorBoard under the run's folder: "scalars", or
        "profile", which is both.
      start_deadline: seconds that workers wait for one another to start.
      cluster_settings: URI of a YAML file of `cluster.settings.ClusterSettings`: train as a TrainJob on
        a Kubernetes cluster, with as many workers as it says; empty trains here.

    Returns:
      The manifest, which is also written beside the weights.

    Raises:
      ValueError: the examples were made for another preprocessing, a split lacks studies or a
        class, a shard is missing, pretrained weights cannot be had, the batch does not divide by
        the workers, or the cluster's settings are wrong.
      OSError: the TrainJob failed, took too long, or was refused.
      FloatingPointError: the loss left the finite numbers.
      ChildProcessError: one of several workers failed.
    """
    settings = load_recipe(recipe, overrides)
    check_tensorboard(tensorboard)
    arguments: dict[str, Any] = {
        "examples": examples,
        "out": out,
        "data_root": data_root,
        "run_id": run_id,
        "recipe": recipe,
        "overrides": tuple(overrides),
        "seed": seed,
        "tensorboard": tensorboard,
        "start_deadline": start_deadline,
    }
    trained = _finished(settings, arguments) or _train(settings, arguments, workers, cluster_settings)
    counts = ExamplesManifest.read(examples).counts
    record_figures(
        studies_in=counts["train"] + counts["validation"], validation_auroc=trained.validation_auroc
    )
    return trained


def _finished(recipe: Recipe, arguments: dict[str, Any]) -> ModelManifest | None:
    """The model that this run has trained already from the same, if it is whole."""
    uri = storage.join(run_folder(arguments["data_root"], arguments["run_id"]), "model", MANIFEST_NAME)
    if not storage.exists(uri):
        return None
    found, examples = ModelManifest.read(uri), ExamplesManifest.read(arguments["examples"])
    # The data root may have been moved, or be mounted elsewhere.
    found = found.model_copy(update={"location": uri.removesuffix(f"/{MANIFEST_NAME}")})
    asked = (recipe, examples.fingerprint, examples.data_fingerprint, arguments["seed"])
    if (found.recipe, found.examples_fingerprint, found.data_fingerprint, found.seed) != asked:
        return None
    if not found.is_whole():
        log.warning("%s: weights are gone or changed; the model is trained again", found.location)
        return None
    log.info("model %s: trained already by this run, reused", found.weights_sha256[:16])
    found.write(arguments["out"])
    return found


def _train(recipe: Recipe, arguments: dict[str, Any], workers: int, cluster_settings: str) -> ModelManifest:
    """In this process, in several, or on a cluster."""
    if cluster_settings:
        return _train_on_cluster(cluster_settings, recipe, arguments)
    if workers == 1:
        return work(**arguments)
    check_batch(recipe.training, workers)
    launch([sys.executable, "-m", "angiopipe.training.worker", *_flags(arguments)], workers)
    return ModelManifest.read(arguments["out"])


def _train_on_cluster(cluster_settings: str, recipe: Recipe, arguments: dict[str, Any]) -> ModelManifest:
    """Trains as a TrainJob, whose pods read and write what lies under the data root."""
    from angiopipe.cluster.settings import load_cluster_settings
    from angiopipe.cluster.train import train_on_cluster

    cluster_of = load_cluster_settings(cluster_settings)
    check_batch(recipe.training, cluster_of.workers)
    examples = ExamplesManifest.read(arguments["examples"])
    folder = run_folder(arguments["data_root"], arguments["run_id"])
    # The step's own files, which Kubeflow mounts, do not exist in the pods.
    out = storage.join(folder, "model", MANIFEST_NAME)
    reachable = {
        **arguments,
        "examples": storage.join(examples.location, MANIFEST_NAME),
        "out": out,
        "start_deadline": cluster_of.start_seconds,
    }
    worker = ("python", "-m", "angiopipe.training.worker")
    done = partial(steps_done, storage.join(folder, CHECKPOINTS))
    train_on_cluster(cluster_settings, arguments["run_id"], _flags(reachable), worker, done)
    trained = ModelManifest.read(out)
    trained.write(arguments["out"])
    return trained


def _flags(arguments: dict[str, Any]) -> list[str]:
    """The command line that gives a worker these arguments."""
    flags = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        flags += [flag, *map(str, value)] if isinstance(value, tuple) else [f"{flag}={value}"]
    return flags


def work(
    examples: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    seed: int = 0,
    tensorboard: str = "off",
    start_deadline: float = defaults.START_DEADLINE,
) -> ModelManifest:
    """A worker's part of `train`, with its parameters; the only worker, or the one TF_CONFIG says.

    Every worker must reach the same `examples` and `data_root`; worker 0 alone writes.

    Raises:
      ValueError, FloatingPointError: as `train`; or the pod's variables contradict one another.
    """
    cluster.join(os.environ)
    # TensorFlow loads here, so that the command line need not wait for it.
    import numpy as np

    from angiopipe.training.members import Job, fit_all
    from angiopipe.training.publish import manifest_of, publish
    from angiopipe.training.strategy import start_strategy, summed

    strategy = start_strategy(start_deadline)
    settings = load_recipe(recipe, overrides)
    manifest = ExamplesManifest.read(examples)
    check(manifest, settings)
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as scratch:
        folder = run_folder(data_root, run_id)
        job = Job(settings, manifest, seed, strategy, folder, tensorboard, Path(scratch))
        fitted, auroc = fit_all(job)
        trained = manifest_of(job, fitted, auroc)
        if job.is_chief:
            publish(trained, fitted)
            trained.write(out)
            kept = ", ".join(map(str, trained.epochs_kept))
            log.info("best epoch %s, validation AUROC %.3f", kept, trained.validation_auroc)
    # A worker that left earlier would be taken for a lost one.
    summed(strategy, np.zeros(1, np.float32))
    return trained


def check(manifest: ExamplesManifest, recipe: Recipe) -> None:
    """Refuses examples that a recipe cannot be trained on, before anything is built.

    Raises:
      ValueError: the examples were made for another preprocessing, lack clinical variables that the
        model takes, or the training or the validation split does not hold both studies with and without an aneurysm.
    """
    expected = recipe.preprocessing.digest()
    if manifest.preprocessing_digest != expected:
        raise ValueError(
            f"examples {manifest.fingerprint}: expected the preprocessing of recipe {recipe.name} "
            f"({recipe.preprocessing!r}, digest {expected}), found that of recipe {manifest.recipe} "
            f"(digest {manifest.preprocessing_digest}); run preprocess with the same recipe and overrides"
        )
    manifest.require_clinical(recipe)
    from angiopipe.training.input import labels

    counts = {}
    for split in ("train", "validation"):
        studies = manifest.counts.get(split, 0)
        counts[split] = int(labels(manifest, split)[:, 0].sum()) if studies else 0, studies
    require_both_classes(counts, f"examples {manifest.fingerprint}")
