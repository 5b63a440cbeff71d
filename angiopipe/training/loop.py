"""The training loop: epochs of distributed steps, validated, the best weights kept.

Keras 3's own `fit` fails under MultiWorkerMirroredStrategy with more than one worker, so the steps
are run here; the model, its layers and its optimizer are Keras's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf

from angiopipe import models, storage
from angiopipe.recipe import Recipe, Training
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.rules import check_batch
from angiopipe.training import optimizer as optimizers
from angiopipe.training.augment import Batch
from angiopipe.training.board import Board
from angiopipe.training.checkpoint import Checkpoints
from angiopipe.training.input import labels, steps_per_epoch, training_batches
from angiopipe.training.loss import positive_weights
from angiopipe.training.progress import Progress
from angiopipe.training.steps import Averages, agreement, training_steps
from angiopipe.training.strategy import share_of, summed
from angiopipe.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; a line of the history.

    Attributes:
      epoch: counted from 1.
      loss: mean over the training batches, while the weights moved.
      validation_loss: after the epoch.
      validation_auroc: of `Aneurysm`, after the epoch.
      learning_rate: at its last step.
      seconds: for training and validating.
      studies_per_second: of training alone.
    """

    epoch: int
    loss: float
    validation_loss: float
    validation_auroc: float
    learning_rate: float
    seconds: float
    studies_per_second: float

    def merit(self) -> tuple[float, float]:
        """What the best epoch has most of: AUROC; small validation splits tie, and lower loss decides."""
        return self.validation_auroc, -self.validation_loss


@dataclass
class Outcome:
    """A finished run.

    Attributes:
      history: every epoch.
      weights: of the best epoch, in the order of `model.get_weights()`.
    """

    history: list[Epoch] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        return max(self.history, key=Epoch.merit)

    def add(self, epoch: Epoch, model: keras.Model) -> None:
        self.history.append(epoch)
        if self.best is epoch:
            self.weights = model.get_weights()

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better AUROC; never with a patience of 0."""
        aurocs = [epoch.validation_auroc for epoch in self.history]
        return 0 < patience < len(aurocs) and max(aurocs[-patience:]) <= max(aurocs[:-patience])


def untrained(recipe: Recipe, seed: int, strategy: tf.distribute.Strategy) -> keras.Model:
    """A recipe's model with initial weights by `seed`, in the recipe's precision, ready for `fit`."""
    keras.utils.set_random_seed(seed)
    if recipe.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.training.precision)
    try:
        with strategy.scope():
            return models.build(recipe.model, recipe.preprocessing.shape)
    finally:
        keras.config.set_dtype_policy(before)


def fit(
    model: keras.Model,
    manifest: ExamplesManifest,
    training: Training,
    seed: int,
    strategy: tf.distribute.Strategy,
    *,
    folder: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    board: Board | None = None,
) -> Outcome:
    """Trains a model; it ends with the weights of its best epoch.

    Args:
      model: built in the scope of `strategy`; see `untrained`.
      manifest: the examples.
      training: the recipe's training fields.
      seed: of the studies' order and their augmentation.
      strategy: how steps are spread over devices and workers.
      folder: URI of a folder for checkpoints; None writes none. The caller names it after what is not
        seen here, the model's own fields. Other examples, training fields or seeds get subfolders of
        their own, so that they begin anew and leave each other's checkpoints alone.
      on_epoch: called after every epoch, on every worker; what it raises ends the training.
      board: what TensorBoard shall show; on the chief only.

    Raises:
      FloatingPointError: the loss left the finite numbers.
      ValueError: the batch does not divide by workers, devices and `accumulate`.
    """
    run = _Run(model, manifest, training, seed, strategy, folder, board)
    run.resume()
    with run.progress() as progress:
        while run.goes_on:
            finished = run.train_epoch(progress)
            if on_epoch:
                on_epoch(finished)
    model.set_weights(run.outcome.weights)
    return run.outcome


class _Run:
    """A training run under way.

    Attributes:
      outcome: the epochs done.
      epoch: the one under way, counted from 1.
      losses: of its steps so far.
    """

    def __init__(
        self,
        model: keras.Model,
        manifest: ExamplesManifest,
        training: Training,
        seed: int,
        strategy: tf.distribute.Strategy,
        folder: str | None,
        board: Board | None,
    ):
        self.share = share_of(strategy)
        check_batch(training, self.share.workers, self.share.replicas)
        self.model, self.manifest, self.training, self.seed = model, manifest, training, seed
        self.strategy, self.board = strategy, board
        self.steps = steps_per_epoch(manifest, training.batch_size)
        with strategy.scope():
            self.optimizer = optimizers.build(training, self.steps * training.epochs)
            self.optimizer.build(model.trainable_variables)
            self.averages = Averages(model, training.ema)
        weights = positive_weights(labels(manifest, "train"), training)
        self.run_steps = training_steps(model, self.optimizer, self.averages, training, strategy, weights)
        self.validation = Validation(model, manifest, training, strategy)
        self.outcome, self.epoch, self.losses = Outcome(), 1, list[float]()
        self.batches: Iterator[Batch] | None = None
        self.checkpoints = self._checkpoints(folder) if folder else None
        self.agree = agreement(model, strategy)
        self.until = time.monotonic() + 60 * training.minutes if training.minutes else math.inf
        self.time_is_up = False

    @property
    def goes_on(self) -> bool:
        """Whether another epoch is to come."""
        stalled = self.outcome.has_stalled(self.training.early_stopping)
        return self.epoch <= self.training.epochs and not stalled and not self.time_is_up

    def _checkpoints(self, folder: str) -> Checkpoints:
        variables = [*self.model.variables, *self.optimizer.variables, *self.averages.variables]
        seen = {
            "training": self.training.said(),
            "examples": self.manifest.fingerprint,
            "preprocessing": self.manifest.preprocessing_digest,
            "seed": self.seed,
            "variables": [[*v.shape] for v in variables],
        }
        name = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]
        return Checkpoints(storage.join(folder, name), variables, self.share.is_chief)

    @property
    def step(self) -> int:
        """Of all steps, how many are done."""
        return (self.epoch - 1) * self.steps + len(self.losses)

    def resume(self) -> None:
        """Goes on from the last checkpoint, if there is one.

        Raises:
          RuntimeError: the workers do not find the same checkpoint.
        """
        found = self.checkpoints.restore() if self.checkpoints else None
        if found:
            progress, self.outcome.weights = found
            self.outcome.history = [Epoch(**epoch) for epoch in progress["history"]]
            self.epoch, self.losses = progress["epoch"], progress["losses"]
            log.info("resumed after step %d, in epoch %d of %d", self.step, self.epoch, self.training.epochs)
        if self.checkpoints and summed(self.strategy, np.array(self.step)) != self.step * self.share.workers:
            raise RuntimeError(
                f"worker {self.share.worker}: expected the checkpoint of the other workers, found that of step "
                f"{self.step} in {self.checkpoints.folder}; give all workers the same data root"
            )

    def save(self) -> None:
        if self.checkpoints:
            history = [asdict(epoch) for epoch in self.outcome.history]
            progress = {"epoch": self.epoch, "losses": self.losses, "history": history}
            self.checkpoints.save(self.step, progress, self.outcome.weights)

    def progress(self) -> Progress:
        total = self.steps * self.training.epochs
        return Progress(total, self.step, self.training.batch_size, self.share.is_chief)

    def train_epoch(self, progress: Progress) -> Epoch:
        """Runs the rest of the epoch under way, validates, writes a checkpoint."""
        started, first = time.monotonic(), len(self.losses)
        progress.begin(f"epoch {self.epoch}/{self.training.epochs}")
        while len(self.losses) < self.steps and not self.time_is_up:
            self._call(progress)
            self._look_at_clock()
        seconds = time.monotonic() - started
        self.agree()
        rate = (len(self.losses) - first) * self.training.batch_size / seconds if seconds else 0.0
        with self.averages.in_place():
            validation_loss, validation_auroc = self.validation()
            _check_finite(validation_loss, "validation")
            epoch = Epoch(
                epoch=self.epoch,
                loss=float(np.mean(self.losses)),
                validation_loss=validation_loss,
                validation_auroc=validation_auroc,
                learning_rate=float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
                seconds=round(time.monotonic() - started, 3),
                studies_per_second=round(rate, 2),
            )
            self.outcome.add(epoch, self.model)
        self.epoch, self.losses = self.epoch + 1, []
        self.save()
        progress.end(epoch.loss, validation_auroc, rate)
        if self.board:
            self.board.scalars({k: v for k, v in asdict(epoch).items() if k != "epoch"}, epoch.epoch)
        return epoch

    def _look_at_clock(self) -> None:
        """Sets `time_is_up` on all workers alike, whose clocks may differ."""
        if self.training.minutes:
            late = np.array(time.monotonic() > self.until, np.float32)
            self.time_is_up = bool(summed(self.strategy, late) > 0)

    def _call(self, progress: Progress) -> None:
        """Runs the steps of one call into the graph, and writes the checkpoint that is due after them."""
        every, done = self.training.checkpoint_steps, len(self.losses)
        count = min(self.training.steps_per_call, self.steps - done)
        if every:
            count = min(count, every - self.step % every)
        if self.board:
            self.board.before_call()
        losses = self.run_steps(self._batches(), tf.constant(count)).numpy().tolist()
        if self.board:
            self.board.after_call(count)
        for number, loss in enumerate(losses, done + 1):
            _check_finite(loss, f"epoch {self.epoch}/{self.training.epochs}, step {number}")
        self.losses += losses
        progress.update(count, losses[-1])
        if self.checkpoints and every and self.step % every == 0 and len(self.losses) < self.steps:
            self.agree()
            self.save()

    def _batches(self) -> Iterator[Batch]:
        """One iterator over all epochs: the next one's studies are read during validation."""
        if self.batches is None:
            at = (self.epoch, len(self.losses))
            dataset = training_batches(self.manifest, self.training, self.seed, self.share, *at).map(
                _without_index
            )
            self.batches = iter(self.strategy.distribute_datasets_from_function(lambda _: dataset))
        return self.batches


def _without_index(batch: Batch) -> Batch:
    """Accelerators hold no strings."""
    return {name: values for name, values in batch.items() if name != "index"}


def _check_finite(loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{when}: the loss is {loss}; lower training.learning_rate or set training.clipnorm"
        )
