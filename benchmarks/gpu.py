"""What mixed precision and XLA bring on one GPU, and whether it learns what a CPU learns: ten minutes at most.

    .venv/bin/python benchmarks/gpu.py [--minutes 7]

Makes 96 easy studies and trains octoview and a shrunken coding_vessels on them in float32 and in mixed
precision, each with and without XLA, on the first GPU; where there is none on the CPU, smaller, and says so.
Blocks of steps of the four alternate, so that what else the machine does hits all; a median counts. Compilation
is timed apart. What there is no time for is left out, and told.
- `studies/s`, and `of plain`, its ratio to float32 without XLA.
- `input wait`: the time that the next batch is not there once a step's time is over, over that time. A CPU, which
  makes batches and steps, has more of it than is seen here: `benchmarks/training.py`.
- `loss off`: how far the first five losses lie from those of the same weights and batches on this machine's CPU in
  float32 without XLA, relative, at most.
The last line is one JSON object: the device, and these ratios by recipe and way.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.training import Ours, examples_of, studies_in

COMPARED = 5
LEAST_ROUNDS, MOST_ROUNDS = 2, 12
RESERVED_SECONDS = 60.0
"""For a recipe that has yet to compile."""

WAYS = {
    "float32": (),
    "float32, XLA": ("training.xla=true",),
    "mixed": ("training.precision={mixed}",),
    "mixed, XLA": ("training.precision={mixed}", "training.xla=true"),
}
STEPS = {"GPU": 16, "CPU": 2}
MIXED = {"GPU": "mixed_float16", "CPU": "mixed_bfloat16"}
SIZES = {
    ("GPU", "octoview"): ("training.batch_size=16",),
    ("GPU", "coding_vessels"): (
        "preprocessing.size=224", "model.last_block=conv4_block1", "training.batch_size=16",
    ),
    ("CPU", "octoview"): ("preprocessing.size=64", "training.batch_size=4"),
    ("CPU", "coding_vessels"): (
        "preprocessing.size=64", "model.last_block=conv2_block1", "model.features=16", "training.batch_size=4",
    ),
}  # fmt: skip


@dataclass
class Way:
    """One way to train, and what was measured of it.

    Attributes:
      ours: the loop.
      compiled: seconds of the first step.
      off: of its first losses from the CPU's, relative.
      steps: seconds of a step, by round.
      waits: seconds until a batch was there after a step's time.
    """

    ours: Ours
    compiled: float
    off: float
    steps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def measure(self, steps: int) -> None:
        self.steps.append(self.ours.seconds(steps) / steps)
        for _ in range(steps):
            time.sleep(self.steps[-1])
            started = time.perf_counter()
            next(self.ours.batches)
            self.waits.append(time.perf_counter() - started)

    @property
    def seconds(self) -> float:
        return statistics.median(self.steps)


def main(minutes: float = 7.0) -> None:
    """Prints a line for each way, then the JSON.

    Args:
      minutes: after which no further round is begun.
    """
    until = time.monotonic() + 60 * minutes
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kind, name = _device()
    print(f"on {kind} {name}; mixed is {MIXED[kind]}")
    found: dict[str, object] = {"device": f"{kind} {name}", "mixed": MIXED[kind]}
    recipes = [recipe for of, recipe in SIZES if of == kind]
    with tempfile.TemporaryDirectory(prefix="angiopipe-gpu-") as folder:
        studies = studies_in(Path(folder))
        for number, recipe in enumerate(recipes, 1):
            left = until - time.monotonic() - RESERVED_SECONDS * (len(recipes) - number)
            found |= _of_recipe(studies, recipe, kind, time.monotonic() + left / (len(recipes) - number + 1))
    print(json.dumps(found))


def _device() -> tuple[str, str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
        return "CPU", f"{model[0].partition(': ')[2] if model else ''}, {len(os.sched_getaffinity(0))} cores"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return "GPU", tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)


def _of_recipe(studies: Path, recipe: str, kind: str, until: float) -> dict[str, float]:
    import tensorflow as tf

    overrides = (*SIZES[kind, recipe], "training.epochs=1000")
    examples = examples_of(studies, recipe, overrides)
    print(f"{recipe}, {' '.join(SIZES[kind, recipe])}")
    cpu = Ours(examples, overrides, tf.distribute.OneDeviceStrategy("/cpu:0"), recipe).losses(COMPARED)
    ways: dict[str, Way] = {}
    for way, fields in WAYS.items():
        if ways and time.monotonic() > until:
            print(f"  {way} is left out: no time is left for it")
            continue
        chosen = [one.format(mixed=MIXED[kind]) for one in fields]
        started = time.monotonic()
        ours = Ours(
            examples, [*overrides, *chosen], tf.distribute.OneDeviceStrategy(f"/{kind.lower()}:0"), recipe
        )
        losses = ours.losses(1)
        compiled = time.monotonic() - started
        losses += ours.losses(COMPARED - 1)
        print(f"  {way} compiled in {compiled:.0f} s", flush=True)
        ways[way] = Way(ours, compiled, max(abs(a - b) / abs(b) for a, b in zip(losses, cpu, strict=True)))
    for number in range(MOST_ROUNDS):
        if number >= LEAST_ROUNDS and time.monotonic() > until:
            break
        for one in ways.values():
            one.measure(STEPS[kind])
    return {
        f"{recipe}, {way}, {key}": value
        for way, one in ways.items()
        for key, value in _told(way, one, ways).items()
    }


def _told(name: str, way: Way, ways: dict[str, Way]) -> dict[str, float]:
    """Prints a way's figures, and gives those that are ratios."""
    ratio = ways["float32"].seconds / way.seconds
    wait = statistics.median(way.waits) / way.seconds
    rate = way.ours.training.batch_size / way.seconds
    print(
        f"  {name:13} {rate:8.1f} studies/s, {ratio:5.2f} of plain, input wait {wait:6.2%}, loss off {way.off:.1e}, "
        f"first step {way.compiled:.0f} s, {len(way.steps)} rounds",
        flush=True,
    )
    return {"of plain": round(ratio, 3), "input wait": round(wait, 4), "loss off": float(f"{way.off:.2g}")}


if __name__ == "__main__":
    tyro.cli(main)
