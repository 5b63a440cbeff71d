"""What `make demo` costs, and how much of its run is not the steps' own work.

    .venv/bin/python benchmarks/demo.py

Runs the demo in an empty folder, its environment being set up, and compares the wall time of the
pipeline's run with the seconds that the steps' library calls took inside the same run. The rest,
`overhead_share`, is Kubeflow's local runner, Python's start and end in every step, and the imports
made before a call begins; TensorFlow's, Beam's and MLflow's imports happen inside the calls.
The last line is one JSON object: {"run_s", "overhead_share", "auroc"}; `run_s` has the cohort in it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Runs the demo once and prints its figures."""
    with tempfile.TemporaryDirectory(prefix="angiopipe-demo-") as folder:
        subprocess.run(["make", "setup"], check=True)
        cohort_s = _seconds("demo-cohort", folder)
        pipeline_s = _seconds("demo", folder)
        steps = [json.loads(path.read_text()) for path in Path(folder).glob("demo/runs/*/steps/*.json")]
        registration = json.loads(next(Path(folder).glob("demo/runs/*/registration.json")).read_text())
    for record in sorted(steps, key=lambda record: -record["seconds"]):
        print(f"{record['step']:12}{record['seconds']:8.1f} s {record['peak_mb']:6} MB")
    work_s = sum(record["seconds"] for record in steps)
    print(
        f"{'overhead':12}{pipeline_s - work_s:8.1f} s\n{'cohort':12}{cohort_s:8.1f} s (before the pipeline)"
    )
    figures = {
        "run_s": cohort_s + pipeline_s,
        "overhead_share": 1 - work_s / pipeline_s,
        "auroc": registration["metrics"]["test_auroc"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _seconds(target: str, data: str) -> float:
    """Wall time of a make target, its data in a folder of its own."""
    started = time.monotonic()
    subprocess.run(["make", "--no-print-directory", target, f"DATA={data}"], check=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
