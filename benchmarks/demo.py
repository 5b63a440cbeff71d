"""What the demo's run costs, and how much of that is not the steps' own work.

    .venv/bin/python benchmarks/demo.py

Makes the demo's cohort, runs the training pipeline on it as `make demo` does, and compares the wall
time of the run with the seconds that the steps' library calls took inside the same run. The rest,
`overhead_share`, is Kubeflow's local runner, one start of Python a step, and the imports made
before a call begins; TensorFlow's and Beam's imports happen inside the calls and count as work.
The last line is one JSON object: {"run_s", "overhead_share", "auroc"}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

from angiopipe.cohort.synthetic.synthesize import synthesize


def main(studies: int = 240, size: int = 256, seed: int = 1) -> None:
    """Runs the demo once in an empty folder and prints its figures.

    Args:
      studies: of the training set.
      size: rows and columns of a view, pixels.
      seed: of the cohort.
    """
    with tempfile.TemporaryDirectory(prefix="angiopipe-demo-") as name:
        folder = Path(name)
        cohort, root = folder / "cohort", folder / "root"
        cohort_s = _seconds(
            lambda: synthesize(cohort, studies=studies, size=size, seed=seed, difficulty="easy")
        )
        run_s = _seconds(lambda: _run(cohort / "train_set", root))
        steps = [json.loads(path.read_text()) for path in root.glob("runs/*/steps/*.json")]
        registration = json.loads(next(root.glob("runs/*/registration.json")).read_text())
    for record in sorted(steps, key=lambda record: -record["seconds"]):
        print(f"{record['step']:12}{record['seconds']:8.1f} s {record['peak_mb']:6} MB")
    work_s = sum(record["seconds"] for record in steps)
    print(f"{'overhead':12}{run_s - work_s:8.1f} s\n{'cohort':12}{cohort_s:8.1f} s (before the run)")
    figures = {
        "run_s": run_s,
        "overhead_share": 1 - work_s / run_s,
        "auroc": registration["metrics"]["test_auroc"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _run(train_set: Path, root: Path) -> None:
    places = ["--images", train_set / "images", "--labels", train_set / "train.csv", "--data-root", root]
    subprocess.run([sys.executable, "-m", "pipelines", "run", "training", *map(str, places)], check=True)


def _seconds(call) -> float:  # type: ignore[no-untyped-def]
    started = time.monotonic()
    call()
    return time.monotonic() - started


if __name__ == "__main__":
    tyro.cli(main)
