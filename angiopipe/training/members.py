"""From a recipe to its trained models: one, or an ensemble's members one after the other."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from angiopipe import storage
from angiopipe.recipe import Recipe
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.training.board import Board
from angiopipe.training.checkpoint import CHECKPOINTS
from angiopipe.training.folds import parts_of
from angiopipe.training.loop import Outcome, fit, untrained
from angiopipe.training.strategy import share_of
from angiopipe.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Attributes:
      recipe: all settings.
      examples: with a training and a validation split.
      seed: of weights, order, augmentation and folds.
      strategy: how steps are spread.
      folder: URI of the run's folder, for checkpoints and TensorBoard.
      tensorboard: "off", "scalars" or "profile".
      scratch: a local folder for the weights.
    """

    recipe: Recipe
    examples: ExamplesManifest
    seed: int
    strategy: tf.distribute.Strategy
    folder: str
    tensorboard: str
    scratch: Path

    @property
    def is_chief(self) -> bool:
        return share_of(self.strategy).is_chief


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
      outcome: its epochs.
      weights: the file of its best weights, which the chief alone writes.
    """

    outcome: Outcome
    weights: Path

    @property
    def sha256(self) -> str:
        """Of the weights' file; empty on a worker that wrote none."""
        return storage.file_sha256(self.weights) if self.weights.exists() else ""


def fit_all(job: Job) -> tuple[list[Fitted], float]:
    """Trains the recipe's model, or the members of its ensemble, of which one is in memory at a time.

    Member k starts from seed + k. Each has checkpoints of its own, so that an interrupted run goes on
    with the member that was under way.

    Returns:
      The model or the members, and the AUROC of `Aneurysm` on the validation split: the best epoch's,
      or that of the members' mean logits.

    Raises:
      ValueError: a fold would lack studies with, or without, an aneurysm; or as `fit`.
      FloatingPointError: as `fit`.
    """
    folds = job.recipe.training.ensemble
    if not folds:
        (fitted, _) = _fit(job, job.examples, job.seed)
        return [fitted], fitted.outcome.best.validation_auroc
    members, logits = list[Fitted](), list[np.ndarray]()
    for number, part in enumerate(parts_of(job.examples, folds, job.seed)):
        fitted, validation = _fit(job, part, job.seed + number, f"member-{number}")
        members.append(fitted)
        logits.append(validation.logits())
    return members, validation.auroc(np.mean(logits, axis=0))


def _fit(job: Job, examples: ExamplesManifest, seed: int, name: str = "") -> tuple[Fitted, Validation]:
    """Trains one model; also gives its view of the whole job's validation split."""
    training, digest = job.recipe.training, job.recipe.digest()
    model = untrained(job.recipe, seed, job.strategy)
    if job.is_chief:
        what = " ".join(filter(None, [job.recipe.name, name]))
        log.info("training %s, %s parameters, on %s", what, f"{model.count_params():,}", examples.counts)
    with ExitStack() as shown:
        board = None
        if job.is_chief and job.tensorboard != "off":
            folder = storage.join(job.folder, "tensorboard", *filter(None, [name]))
            board = shown.enter_context(Board(folder, profile=job.tensorboard == "profile"))
        outcome = fit(
            model,
            examples,
            training,
            seed,
            job.strategy,
            folder=storage.join(job.folder, CHECKPOINTS, digest, *filter(None, [name])),
            board=board,
        )
    # Keras insists on the suffix, which a file being published does not have.
    fitted = Fitted(outcome, job.scratch / f"{name or 'model'}.weights.h5")
    if job.is_chief:
        model.save_weights(fitted.weights)
    return fitted, Validation(model, job.examples, training, job.strategy)
