"""Fits as one worker, or starts several that do; each leaves its weights and history.

python tests/integration/fit_weights.py EXAMPLES OUT WORKERS [OVERRIDE...]
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import numpy as np

from angiopipe.recipe import load_recipe
from angiopipe.records.manifest import ExamplesManifest
from angiopipe.training.launch import launch


def two_devices():
    """A mirrored strategy over a CPU that poses as two."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def main(examples: str, out: str, workers: str, recipe: str, *overrides: str) -> None:
    """Writes `<out>-<worker>.npz`: weights by number, and the history's columns by name."""
    if workers not in ("1", "devices"):
        launch([sys.executable, __file__, examples, out, "1", recipe, *overrides], int(workers))
        return
    from angiopipe.training.loop import fit, untrained
    from angiopipe.training.strategy import share_of, start_strategy

    strategy = two_devices() if workers == "devices" else start_strategy(60)
    settings = load_recipe(recipe, overrides)
    model = untrained(settings, 5, strategy)
    outcome = fit(model, ExamplesManifest.read(examples), settings.training, 5, strategy)
    columns = {
        name: np.array([asdict(epoch)[name] for epoch in outcome.history])
        for name in ("loss", "validation_loss", "validation_auroc")
    }
    weights = {f"weight-{i}": weight for i, weight in enumerate(model.get_weights())}
    np.savez(f"{out}-{share_of(strategy).worker}.npz", **columns, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
