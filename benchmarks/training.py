"""What training loses to its input, to its loop and to its workers.

    .venv/bin/python benchmarks/training.py [OVERRIDE...]

Makes 96 easy studies and trains octoview on them (128 x 128 unless overridden, batch 8).
- `input_wait_share`: the time that our loop waits for the next batch, over the time of its step.
- `steps_of_fit`: steps per second of our loop over those of Keras's plain `Model.fit`: same model, same
  batches, same optimizer. Blocks of steps alternate, so that what else the machine does hits both.
- `two_workers_of_one`: steps per second of two workers, a core each, over one worker on one core, with the
  same global batch; 2 is ideal. Runs alternate; the best of three each counts.
The last line is one JSON object with these three. The workers' servers listen on all interfaces:
`infra/flink/isolated .venv/bin/python benchmarks/training.py` leaves them loopback alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECIPE = "octoview"
OVERRIDES = ("preprocessing.size=128", "training.epochs=1000")
BLOCKS, STEPS = 8, 8
ROUNDS, WORKER_STEPS = 3, 16
WORKER = "--worker"


def main(overrides: list[str]) -> None:
    """Prints every block's figures, then the three."""
    if overrides[:1] == [WORKER]:
        _work(*overrides[1:])
        return
    with tempfile.TemporaryDirectory(prefix="angiopipe-training-") as folder:
        settings = [*OVERRIDES, *overrides]
        examples = examples_of(studies_in(Path(folder)), RECIPE, settings)
        # Workers first: afterwards this process would hold memory and threads.
        figures = {"two_workers_of_one": _two_workers_of_one(examples, settings)}
        figures = {**_of_fit(examples, settings), **figures}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def studies_in(folder: Path) -> Path:
    """The manifest of 96 easy studies, made in a folder."""
    from angiopipe.cohort.synthetic.synthesize import synthesize
    from angiopipe.cohort.validate import validate
    from angiopipe.dataflow.ingest import ingest

    root = str(folder / "root")
    synthesize(folder / "cohort", studies=96, size=256, seed=1, difficulty="easy", test_studies=4)
    train_set = folder / "cohort" / "train_set"
    validate(str(train_set / "images"), str(train_set / "train.csv"), str(folder / "inventory"), root)
    ingest(str(folder / "inventory"), str(folder / "studies"), root)
    return folder / "studies"


def examples_of(studies: Path, recipe: str, overrides: Sequence[str]) -> str:
    """The manifest of a recipe's examples, made beside the studies' own."""
    from angiopipe.dataflow.preprocess import preprocess

    examples = str(studies.with_name(f"{recipe}-examples"))
    preprocess(str(studies), examples, str(studies.with_name("root")), recipe=recipe, overrides=overrides)
    return examples


class Ours:
    """Our loop's graph and batches."""

    def __init__(self, examples: str, overrides: Sequence[str], strategy: Any, recipe: str = RECIPE):
        import tensorflow as tf

        from angiopipe.recipe import load_recipe
        from angiopipe.records.manifest import ExamplesManifest
        from angiopipe.training import optimizer
        from angiopipe.training.input import training_batches
        from angiopipe.training.loop import untrained
        from angiopipe.training.steps import Averages, training_steps
        from angiopipe.training.strategy import share_of

        settings = load_recipe(recipe, overrides)
        self.training = settings.training
        self.model = untrained(settings, 0, strategy)
        with strategy.scope():
            self.optimizer = optimizer.build(self.training, 10_000)
            self.optimizer.build(self.model.trainable_variables)
        averages = Averages(self.model, self.training.ema)
        self.steps = training_steps(self.model, self.optimizer, averages, self.training, strategy)
        batches = training_batches(ExamplesManifest.read(examples), self.training, 0, share_of(strategy))
        self.dataset = batches.map(lambda batch: {k: v for k, v in batch.items() if k != "index"})
        self.batches = iter(strategy.distribute_datasets_from_function(lambda _: self.dataset))
        self.count = tf.constant(self.training.steps_per_call)

    def seconds(self, steps: int) -> float:
        """Of so many steps."""
        started = time.perf_counter()
        self.losses(steps)
        return time.perf_counter() - started

    def losses(self, steps: int) -> list[float]:
        """Of each of so many steps."""
        calls = range(steps // self.training.steps_per_call)
        return [loss for _ in calls for loss in self.steps(self.batches, self.count).numpy().tolist()]

    def wait(self, steps: int) -> float:
        """Seconds of `steps` steps in which the next batch was not there yet."""
        import tensorflow as tf

        waited = 0.0
        for _ in range(steps):
            started = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - started
            self.steps(iter(tf.data.Dataset.from_tensors(batch)), tf.constant(1)).numpy()
        return waited


def _of_fit(examples: str, overrides: list[str]) -> dict[str, float]:
    """Blocks of our loop between the epochs of one `Model.fit`."""
    import keras
    import tensorflow as tf

    from angiopipe.training.loss import cross_entropy

    strategy = tf.distribute.get_strategy()
    ours, theirs = (Ours(examples, overrides, strategy) for _ in range(2))
    seconds: dict[str, list[float]] = {"ours": [], "fit": [], "wait": []}

    class Alternate(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            seconds["fit"].append(time.perf_counter() - self.started)
            seconds["ours"].append(ours.seconds(STEPS))
            seconds["wait"].append(ours.wait(STEPS))

    weight = theirs.training.aneurysm_weight
    theirs.model.compile(theirs.optimizer, lambda labels, logits: cross_entropy(labels, logits, weight))
    dataset = theirs.dataset.map(lambda b: ({"views": b["views"], "present": b["present"]}, b["labels"]))
    theirs.model.fit(dataset, epochs=BLOCKS + 1, steps_per_epoch=STEPS, verbose=0, callbacks=[Alternate()])
    for name, values in seconds.items():
        # The first block traces and compiles.
        seconds[name] = values[1:]
        print(f"{name:5}", " ".join(f"{value / STEPS * 1e3:7.1f}" for value in values[1:]), "ms a step")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "input_wait_share": medians["wait"] / medians["ours"],
        "steps_of_fit": statistics.median(
            fit / own for fit, own in zip(seconds["fit"], seconds["ours"], strict=True)
        ),
    }


def _two_workers_of_one(examples: str, overrides: list[str]) -> float:
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, found in rates.items():
            found.append(_rate(workers, examples, overrides))
    for workers, found in rates.items():
        print(f"{workers} worker(s):", " ".join(f"{rate:.2f}" for rate in found), "steps/s")
    return max(rates[2]) / max(rates[1])


def _rate(workers: int, examples: str, overrides: list[str]) -> float:
    """Steps per second of so many workers, each with a core of its own."""
    code = "import sys; from angiopipe.training.launch import launch; launch(sys.argv[2:], int(sys.argv[1]))"
    work = [sys.executable, __file__, WORKER, examples, *overrides]
    run = subprocess.run(
        [sys.executable, "-c", code, str(workers), *work], check=True, stderr=subprocess.PIPE, text=True
    )
    return float(run.stderr.rpartition("steps/s ")[2])


def _work(examples: str, *overrides: str) -> None:
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    # Their own threads, before TensorFlow counts the cores.
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", OMP_NUM_THREADS="1")
    from angiopipe.training.strategy import start_strategy

    ours = Ours(examples, list(overrides), start_strategy(120))
    ours.seconds(3)
    rate = WORKER_STEPS / ours.seconds(WORKER_STEPS)
    if index == 0:
        print("steps/s", rate)


if __name__ == "__main__":
    main(sys.argv[1:])
