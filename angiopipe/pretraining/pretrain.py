"""The command that makes octoview's starting weights from synthetic studies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from angiopipe import storage
from angiopipe.environment import usable_cores
from angiopipe.recipe import Octoview, OctoviewPreprocessing, load_recipe

if TYPE_CHECKING:
    import keras

    from angiopipe.pretraining.batches import ViewBatch
    from angiopipe.pretraining.network import PretrainingNetwork

WARMUP_STEPS = 50
SHOW_EVERY = 200
"""Steps."""


def pretrain(
    out: Path,
    /,
    overrides: Sequence[str] = (),
    studies: int = 3000,
    steps: int = 3600,
    batch_size: int = 16,
    window: int = 0,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    precision: str = "float32",
    xla: bool = False,
    start: str = "",
    seed: int = 0,
    views: Path = Path("data/pretraining"),
    processes: int = usable_cores(),
) -> Path:
    """Pretrains octoview on synthetic studies, told where every sac lies; writes its weights.

    `model.weights=<out>` starts a recipe's training from them; a note of how they were made goes
    beside them, with the extension .json.

    Args:
      out: the weights file, ending in .weights.h5.
      overrides: `field=value` each, of recipe octoview: widths, dilations, preprocessing.
      studies: synthetic studies to learn from.
      steps: updates of the weights.
      batch_size: views a step.
      window: rows and columns cut from each view to learn from, pixels, a multiple of the encoder's
        stride; 0 for whole views. A window of two thirds costs less than half a view and has the same sac.
      learning_rate: the highest; it rises for 50 steps and falls along a cosine.
      weight_decay: decoupled, of kernels.
      precision: Keras's dtype policy; "mixed_bfloat16" is faster where the processor has such units.
      xla: compiles the step.
      start: goes on from these weights of the same model: "synthetic" (those that come with the
        package), or the path or URI of others; empty starts at random. Take another seed, for other studies.
      seed: of studies, initial weights and batches.
      views: folder where the views are kept for the next time.
      processes: that make them.

    Returns:
      `out`.

    Raises:
      ValueError: `out` does not end in .weights.h5, or an override does not fit.
    """
    if not out.name.endswith(".weights.h5"):
        raise ValueError(f"{out}: expected a name that ends in .weights.h5, as Keras reads no other")
    recipe = load_recipe("octoview", [*overrides, "model.weights=null"])
    model, preprocessing = recipe.model, recipe.preprocessing
    assert isinstance(model, Octoview)
    assert isinstance(preprocessing, OctoviewPreprocessing)
    from angiopipe.pretraining.views import make_views

    stride = 2 ** len(model.widths)
    if window % stride or window > preprocessing.size:
        raise ValueError(
            f"window={window}: expected a multiple of {stride} up to {preprocessing.size}, or 0 for whole views"
        )
    source = make_views(views, preprocessing, stride, studies, seed, processes)
    # TensorFlow loads after the worker processes have ended, so that none inherits it.
    import keras

    from angiopipe import models
    from angiopipe.pretraining.batches import view_batches
    from angiopipe.pretraining.network import PretrainingNetwork, hand_over, take_over
    from angiopipe.pretraining.pooling import settle

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    network = PretrainingNetwork(model, preprocessing.size, window, normalised=not start)
    if start:
        take_over(network, models.build(model.model_copy(update={"weights": start}), preprocessing.shape))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - WARMUP_STEPS), warmup_target=learning_rate, warmup_steps=WARMUP_STEPS
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "prior"])
    batches = view_batches(source, steps, batch_size, seed, window // stride)
    share = (window / preprocessing.size) ** 2 if window else 1.0
    last = _fit(network, optimizer, batches, steps, share, xla)
    keras.config.set_dtype_policy("float32")
    folded = models.build(model, preprocessing.shape)
    hand_over(network, folded)
    entropy = settle(folded, source)
    made = {
        "command": "angiopipe pretrain",
        "studies": studies, "steps": steps, "batch_size": batch_size, "window": window, "learning_rate": learning_rate,
        "weight_decay": weight_decay, "precision": precision, "seed": seed, "start": _origin(start),
        "model": model.model_dump(mode="json"), "preprocessing": preprocessing.model_dump(mode="json"),
        "loss": last, "cross_entropy": round(entropy, 4),
    }  # fmt: skip
    _publish(folded, out, made)
    return out


def _fit(
    network: PretrainingNetwork,
    optimizer: keras.optimizers.Optimizer,
    batches: Iterator[ViewBatch],
    steps: int,
    share: float,
    xla: bool,
) -> float:
    """Runs the steps; returns the mean loss of the last ones."""
    import numpy as np
    import tensorflow as tf

    from angiopipe.pretraining.network import loss

    variables = [*network.encoder.trainable_variables, *network.evidence.trainable_variables]
    optimizer.build(variables)

    @tf.function(jit_compile=xla)
    def gradients_of(
        views: tf.Tensor, sacs: tf.Tensor, kinds: tf.Tensor, corners: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            found, which = network(views, kinds, corners, training=True)
            value = loss(found, which, sacs, share)
        return value, tape.gradient(value, variables)

    @tf.function
    def step(*batch: tf.Tensor) -> tf.Tensor:
        value, gradients = gradients_of(*batch)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return value

    losses: list[float] = []
    for number, batch in enumerate(tqdm(batches, total=steps, unit="step", disable=None), 1):
        losses.append(float(step(*map(tf.constant, batch))))
        if number % SHOW_EVERY == 0:
            print(f"step {number}/{steps}: loss {np.mean(losses[-SHOW_EVERY:]):.3f}", flush=True)
    return round(float(np.mean(losses[-SHOW_EVERY:])), 4)


def _origin(start: str) -> dict[str, Any] | None:
    """What is known of the weights that pretraining went on from: the note beside them."""
    if not start:
        return None
    from angiopipe.models.octoview import SHIPPED

    weights = str(SHIPPED) if start == "synthetic" else start
    note: dict[str, Any] = json.loads(storage.read_text(weights.removesuffix(".weights.h5") + ".json"))
    return note


def _publish(network: keras.Model, out: Path, made: dict[str, Any]) -> None:
    """Writes the note, then the weights: nobody finds weights without their origin."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="angiopipe-") as folder:
        weights = Path(folder) / out.name
        network.save_weights(weights)
        note = {**made, "parameters": network.count_params(), "sha256": storage.file_sha256(weights)}
        storage.write_text(str(out).removesuffix(".weights.h5") + ".json", json.dumps(note, indent=1) + "\n")
        storage.write_bytes(str(out), weights.read_bytes())
