"""How fast raw images become examples, against a bare OpenCV loop in the same run.

    .venv/bin/python benchmarks/data.py --studies 1127 [--copies 4]

The floor decodes and transforms every image with OpenCV in two processes and writes nothing. Each
figure is the floor's seconds over ours, every start-up and the writing included, so 1 would mean
that validation, TFRecords, checksums and Beam are free. As machines change their pace, floor and steps
alternate, and the median of the rounds' ratios counts. The cohort is made once, under `--folder`;
`--copies` makes it larger without drawing it anew, to see that memory does not grow with it.
The last line is one JSON object: {"raw_to_examples_of_floor", "preprocess_of_floor",
"validate_of_floor", "coding_vessels_of_pillow", "peak_mb", "bytes_out_per_byte_in"}.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tyro
from PIL import Image, ImageEnhance, ImageOps

from angiopipe.cohort.synthetic.synthesize import synthesize
from angiopipe.imaging import coding_vessels
from angiopipe.imaging.decode import decode
from angiopipe.recipe import load_recipe

CORES = 2
RECIPE = "kium_vgg16"
ALTERNATIONS = 5
"""Of the two short loops, a second each: the machine may be busy with something else in any one of them."""

STEPS = ("validate", "ingest", "preprocess")


def main(
    studies: int = 1127,
    size: int = 720,
    copies: int = 1,
    rounds: int = 3,
    folder: Path = Path("data/benchmark"),
) -> None:
    """Measures floor and pipeline by turns and prints the ratios.

    Args:
      studies: of the cohort.
      size: rows and columns of a view, pixels.
      copies: how many times each study is there, under other names and with other bytes.
      rounds: how often floor and steps take turns on two cores.
      folder: where the cohort is kept and the pipeline writes.
    """
    train_set = (
        synthesize(folder / f"cohort-{studies}-{size}", studies=studies, size=size, test_studies=0)
        / "train_set"
    )
    if copies > 1:
        train_set = copied(train_set, copies)
    images = sorted((train_set / "images").iterdir())
    for path in images:
        path.read_bytes()  # The page cache is warm for everybody.
    alone = pipeline(train_set, folder / "root", 1)
    told("1 core", alone)
    measured, ratios, before = [alone], [], floors(images)
    for _ in range(rounds):
        steps, after = pipeline(train_set, folder / "root", CORES), floors(images)
        decode_s, floor_s = np.mean([before, after], axis=0)
        print(f"{CORES} cores, floor: decode {decode_s:.1f} s, decode and transform {floor_s:.1f} s")
        told(f"{CORES} cores", steps)
        raw_to_examples = steps["ingest"]["wall"] + steps["preprocess"]["wall"]
        ratios.append(
            {
                "raw_to_examples_of_floor": floor_s / raw_to_examples,
                "preprocess_of_floor": floor_s / steps["preprocess"]["wall"],
                "validate_of_floor": decode_s / steps["validate"]["wall"],
            }
        )
        measured.append(steps)
        before = after
    data_in = sum(path.stat().st_size for path in images)
    data_out = sum(path.stat().st_size for path in (folder / "root").rglob("*.tfrecord"))
    figures = {
        **pd.DataFrame(ratios).median(),
        "coding_vessels_of_pillow": coding_vessels_of_pillow(images[:64]),
        "peak_mb": max(record["peak_mb"] for steps in measured for record in steps.values()),
        "bytes_out_per_byte_in": data_out / data_in,
    }
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


def told(title: str, steps: Mapping[str, Mapping[str, float]]) -> None:
    print(
        f"{title}: "
        + ", ".join(f"{name} {steps[name]['wall']:.1f} s, {steps[name]['peak_mb']:.0f} MB" for name in STEPS),
        flush=True,
    )


def copied(train_set: Path, copies: int) -> Path:
    """The cohort several times over; a comment in each JPEG keeps the bytes of copies apart."""
    place = train_set.with_name(f"{train_set.name}-{copies}")
    if place.is_dir():
        return place
    unfinished = place.with_name(f".writing-{place.name}")
    (unfinished / "images").mkdir(parents=True, exist_ok=True)
    labels = pd.read_csv(train_set / "train.csv", dtype=str)
    for copy in range(copies):
        comment = f"copy {copy}".encode()
        segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
        for path in (train_set / "images").iterdir():
            content = path.read_bytes()
            (unfinished / "images" / f"c{copy}-{path.name}").write_bytes(content[:2] + segment + content[2:])
    tables = [labels.assign(Index=f"c{copy}-" + labels["Index"]) for copy in range(copies)]
    pd.concat(tables).to_csv(unfinished / "train.csv", index=False)
    return unfinished.rename(place)


def floors(images: Sequence[Path]) -> tuple[float, float]:
    """Seconds to decode all images, and to decode and transform them."""
    return seconds(lambda: floor(images, decoded)), seconds(lambda: floor(images, transformed))


def floor(paths: Sequence[Path], work: Callable[[Path], None]) -> None:
    """A bare loop over the images, in processes that import OpenCV and nothing of ours."""
    with multiprocessing.get_context("fork").Pool(CORES, cv2.setNumThreads, (1,)) as pool:
        pool.map(work, paths, chunksize=64)


def decoded(path: Path) -> None:
    cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)


def transformed(path: Path) -> None:
    view = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    cv2.resize(cv2.equalizeHist(view), (224, 224), interpolation=cv2.INTER_CUBIC)


def pipeline(train_set: Path, root: Path, cores: int) -> dict[str, dict[str, Any]]:
    """Wall seconds and peak memory of each step, each a command of its own on an empty data root."""
    shutil.rmtree(root, ignore_errors=True)
    places = {name: str(root / f"{name}.json") for name in STEPS}
    arguments = {
        "validate": ["--images", str(train_set / "images"), "--labels", str(train_set / "train.csv")],
        "ingest": ["--inventory", places["validate"]],
        "preprocess": ["--studies", places["ingest"], "--recipe", RECIPE],
    }
    return {
        name: run(name, [*arguments[name], "--out", places[name], "--data-root", str(root)], cores)
        for name in STEPS
    }


def run(name: str, arguments: Sequence[str], cores: int) -> dict[str, Any]:
    """Runs one command on so many cores and watches the memory of its every process."""
    import psutil

    mine = sorted(os.sched_getaffinity(0))[:cores]
    # With bytecode, as whoever installs the package has it: without, each step compiles all it imports.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started, peak = time.monotonic(), 0
    process = psutil.Popen(
        [sys.executable, "-m", "angiopipe", name, *arguments],
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, mine),
    )
    while process.poll() is None:
        for member in (process, *children(process)):
            try:
                peak = max(peak, member.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, name)
    return {"wall": time.monotonic() - started, "peak_mb": peak / 1e6}


def children(process: Any) -> list[Any]:
    """A process's descendants; none if it just ended."""
    import psutil

    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def coding_vessels_of_pillow(paths: Sequence[Path]) -> float:
    """How many times faster the OpenCV transform is than Pillow's own calls on the same views."""
    fields = load_recipe("coding_vessels").preprocessing
    views = [decode(path.read_bytes()) for path in paths]
    cv2.setNumThreads(1)
    ratios = []
    for _ in range(ALTERNATIONS):
        pillow_s = seconds(lambda: [with_pillow(view) for view in views])
        ours_s = seconds(lambda: [coding_vessels.transform(view, fields) for view in views])  # type: ignore[arg-type]
        ratios.append(pillow_s / ours_s)
    return float(np.median(ratios))


def with_pillow(view: np.ndarray) -> np.ndarray:
    image = (
        Image.fromarray(coding_vessels.center_crop(view))
        .convert("RGB")
        .resize((720, 720), Image.Resampling.BILINEAR)
    )
    sharp = ImageEnhance.Sharpness(ImageOps.invert(image)).enhance(2.0)
    return np.asarray(ImageEnhance.Contrast(sharp).enhance(1.25))


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


if __name__ == "__main__":
    tyro.cli(main)
