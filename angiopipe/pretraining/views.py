"""Synthetic views, preprocessed, with what each position shows: made once, kept as memory maps."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from angiopipe.cohort.synthetic import make_study
from angiopipe.cohort.synthetic.settings import REALISTIC, SiteWeights
from angiopipe.cohort.synthetic.synthesize import GENERATOR
from angiopipe.ending import deaf_children
from angiopipe.imaging import octoview
from angiopipe.imaging.decode import decode
from angiopipe.imaging.preprocess import preprocessing_version
from angiopipe.recipe import OctoviewPreprocessing
from angiopipe.study import LOCATIONS, VIEWS

PRETRAINING = REALISTIC.model_copy(
    update={
        "prevalence": 0.7,
        "second_sac_share": 0.4,
        "site_weights": SiteWeights(
            ICA=0.2, PCOM=0.16, AntChor=0.08, ACA=0.08, ACOM=0.16, MCA=0.16, VA=0.06, PICA=0.05, SCA=0.05,
            BA=0.06, PCA=0.05,
        ),
        "sac_radius_limits_mm": (1.5, 5.5),
        "sac_radius_spread": 0.3,
        "attenuation_per_mm": (0.15, 0.36),
        "background_grey": (180.0, 230.0),
        "noise_grey": (2.5, 8.0),
        "blur_mm": (0.15, 0.45),
        "field_of_view_mm": (148.0, 186.0),
        "angulation_deg": 5.0,
        "roll_deg": 3.0,
        "framing_shift_mm": 5.0,
    }
)  # fmt: skip
"""More sacs, at rare sites too, and pictures of more kinds than any one cohort has."""

LEAST_COVER = 0.25
"""A position shows a sac that covers this share of it; of a smaller sac, the position it covers most."""


@dataclass(frozen=True)
class PretrainingViews:
    """Views of synthetic studies and what is at each position, read from disk as they are used.

    Attributes:
      views: (studies, 8, size, size) uint8, preprocessed.
      sacs: (studies, 8, size / stride, size / stride) uint8: 0 for none, else 1 + the position of
        the sac's location in `study.LOCATIONS`.
    """

    views: np.ndarray
    sacs: np.ndarray


def make_views(
    folder: Path, settings: OctoviewPreprocessing, stride: int, studies: int, seed: int, processes: int
) -> PretrainingViews:
    """Makes the views under `folder`, or finds them there.

    Args:
      folder: holds one folder for each set of arguments.
      settings: the preprocessing; pictures are made at its size.
      stride: pixels per position, down and across.
      studies: how many.
      seed: of the cohort.
      processes: that make them.
    """
    place = folder / _digest(settings, stride, studies, seed)
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        try:
            _write(unfinished, settings, stride, studies, seed, processes)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return PretrainingViews(*(np.load(place / f"{name}.npy", mmap_mode="r") for name in ("views", "sacs")))


def _digest(settings: OctoviewPreprocessing, stride: int, studies: int, seed: int) -> str:
    content = [
        GENERATOR,
        PRETRAINING.model_dump(mode="json"),
        preprocessing_version(settings),
        stride,
        studies,
        seed,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _write(
    folder: Path, settings: OctoviewPreprocessing, stride: int, studies: int, seed: int, processes: int
) -> None:
    positions = -(-settings.size // stride)
    sides = {"views": settings.size, "sacs": positions}
    maps = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.uint8, (studies, len(VIEWS), side, side)
        )
        for name, side in sides.items()
    }
    make = partial(one_study, settings=settings, positions=positions, seed=seed)
    # A forked child inherits the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        with deaf_children():
            made = pool.map(make, range(studies), chunksize=8)
        for number, (views, sacs) in enumerate(tqdm(made, total=studies, unit="study", disable=None)):
            maps["views"][number], maps["sacs"][number] = views, sacs


def one_study(
    number: int, settings: OctoviewPreprocessing, positions: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """One study's views (8, size, size) and sacs (8, positions, positions); see `PretrainingViews`."""
    study = make_study(PRETRAINING, settings.size, seed, number)
    views = np.stack([octoview.transform(_as_stored(view), settings)[..., 0] for view in study.views])
    sacs = np.zeros((len(VIEWS), positions, positions), np.uint8)
    for lesion in study.lesions:
        for view, footprint in enumerate(lesion.footprints):
            if footprint:
                sacs[view][_covered(footprint.mask, positions)] = 1 + LOCATIONS.index(lesion.location)
    return views, sacs


def _as_stored(view: np.ndarray) -> np.ndarray:
    """A view after the JPEG of its cohort."""
    _, encoded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, PRETRAINING.jpeg_quality])
    return decode(encoded.tobytes())


def _covered(mask: np.ndarray, positions: int) -> np.ndarray:
    """(positions, positions) bool: where a sac counts as shown, on the square that the encoder sees."""
    square = np.zeros((max(mask.shape),) * 2, np.float32)
    top, left = ((square.shape[0] - side) // 2 for side in mask.shape)
    square[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    cover = cv2.resize(square, (positions, positions), interpolation=cv2.INTER_AREA)
    return cover > LEAST_COVER if cover.max() > LEAST_COVER else cover == cover.max()
