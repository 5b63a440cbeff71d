"""Makes a whole synthetic cohort on disk, or none; the files themselves are in `layout`."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from angiopipe.cohort.synthetic.layout import Plan, Truth, make_folders, write_study, write_tables
from angiopipe.cohort.synthetic.settings import DIFFICULTIES, Difficulty, Settings
from angiopipe.ending import deaf_children
from angiopipe.environment import usable_cores

FIRST_TRAIN_INDEX = 1001
FIRST_TEST_INDEX = 1_000_001
"""Far from the training studies, so that neither set's studies depend on the other's number."""

GENERATOR = 1
"""Raise it whenever the same settings would give other pictures: older cohorts are then not reused."""

MANIFEST = "cohort.json"


def synthesize(
    out: Path,
    /,
    studies: int = 400,
    size: int = 720,
    seed: int = 0,
    difficulty: Difficulty = "realistic",
    processes: int = usable_cores(),
    test_studies: int | None = None,
) -> Path:
    """Writes a synthetic cohort: pictures, labels, clinical variables, and the truth about every sac.

    The folder appears whole or not at all; one that already holds the same cohort is kept. A study's
    files depend on neither the number of processes nor the number of studies.

    Args:
      out: the folder to make: train_set, test_set, truth and cohort.json.
      studies: number of training studies.
      size: rows and columns of an ordinary view, in pixels.
      seed: which cohort.
      difficulty: easy (large, dark sacs) or realistic.
      processes: worker processes.
      test_studies: number of test studies; a quarter of `studies` unless given.

    Returns:
      `out`.

    Raises:
      FileExistsError: `out` holds anything but this cohort.
      ValueError: an argument is out of range.
    """
    tests = max(1, round(studies / 4)) if test_studies is None else test_studies
    return write_cohort(out, DIFFICULTIES[difficulty], studies, tests, size, seed, processes)


def write_cohort(
    out: Path,
    settings: Settings,
    studies: int,
    test_studies: int,
    size: int = 720,
    seed: int = 0,
    processes: int = 1,
) -> Path:
    """`synthesize` with settings of one's own; arguments and errors are the same."""
    _check(studies=(studies, 1), test_studies=(test_studies, 0), size=(size, 64), seed=(seed, 0),
           processes=(processes, 1))  # fmt: skip
    manifest = {
        "kind": "synthetic cohort", "generator": GENERATOR, "studies": studies, "test_studies": test_studies,
        "size": size, "seed": seed, "settings": settings.model_dump(mode="json"),
    }  # fmt: skip
    if _holds(out, manifest):
        print(f"{out}: already holds this cohort, reused")
        return out
    indices = [(False, FIRST_TRAIN_INDEX + number) for number in range(studies)]
    indices += [(True, FIRST_TEST_INDEX + number) for number in range(test_studies)]
    with _whole_or_nothing(out) as folder:
        make_folders(folder)
        plans = [Plan(folder, test, index, settings, size, seed) for test, index in indices]
        progress = tqdm(
            _written(plans, processes), total=len(plans), desc="synthesize", unit="study", disable=None
        )
        write_tables(folder, list(progress))
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return out


def _check(**arguments: tuple[int, int]) -> None:
    """Raises one ValueError that names every (value, least) out of range."""
    faults = [
        f"{name} must be at least {least}, got {value}"
        for name, (value, least) in arguments.items()
        if value < least
    ]
    studies = arguments["studies"][0]
    if studies > FIRST_TEST_INDEX - FIRST_TRAIN_INDEX:
        faults.append(f"studies must be at most {FIRST_TEST_INDEX - FIRST_TRAIN_INDEX}, got {studies}")
    if faults:
        raise ValueError("; ".join(faults))


def _holds(out: Path, manifest: dict[str, Any]) -> bool:
    """Whether `out` is this very cohort; raises where it is anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = json.loads((out / MANIFEST).read_text()) if (out / MANIFEST).is_file() else None
    if not isinstance(found, dict) or found.get("kind") != manifest["kind"]:
        raise FileExistsError(
            f"{out}: expected a new folder or this synthetic cohort, found other content: "
            "choose another folder"
        )
    # Through JSON and back, as the file went.
    wanted = json.loads(json.dumps(manifest))
    differing = sorted(key for key in wanted | found if found.get(key) != wanted.get(key))
    if differing:
        raise FileExistsError(
            f"{out}: holds another synthetic cohort, which differs in {', '.join(differing)}: "
            "choose another folder or remove this one"
        )
    return True


@contextmanager
def _whole_or_nothing(out: Path) -> Iterator[Path]:
    """A temporary sibling of `out` that takes its place at the end, and vanishes on failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder.chmod(0o755)
        yield folder
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _written(plans: Sequence[Plan], processes: int) -> Iterator[Truth]:
    """Writes all studies, in any order, with few in flight at a time."""
    if processes == 1:
        yield from map(write_study, plans)
        return
    # A forked child inherits the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        waiting = iter(plans)
        with deaf_children():
            running = {pool.submit(write_study, plan) for plan in islice(waiting, 4 * processes)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
                running |= {pool.submit(write_study, plan) for plan in islice(waiting, len(done))}
        finally:
            pool.shutdown(cancel_futures=True)
