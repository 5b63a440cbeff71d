"""The files of a synthetic cohort: the 2023 K-IUM layout, and the truth beside it.

```
train_set/images/<Index><view>.jpg   train_set/train.csv   Index, Aneurysm, 21 locations
test_set/images/<Index><view>.jpg    test_set/test.csv     Index alone
train_set/clinical.csv               test_set/clinical.csv Index, clinical variables
truth/test.csv                       as train.csv, for the test set
truth/lesions.csv                    one row per sac and view that shows it, both sets
cohort.json                          what made it
```
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from angiopipe.clinical import NAMES
from angiopipe.cohort.synthetic.generate import SyntheticStudy, make_study
from angiopipe.cohort.synthetic.patients import draw_patient
from angiopipe.cohort.synthetic.settings import Settings
from angiopipe.study import INDEX, LABELS, VIEW_NAMES

LESION_COLUMNS = (
    INDEX, "location", "view", "row", "column", "radius_pixels", "sac_radius_mm", "mm_per_pixel",
)  # fmt: skip
"""`row`, `column`: the sac's centre, fractions of a pixel count; `mm_per_pixel`: at the sac's depth."""


class Plan(NamedTuple):
    """One study to make.

    Attributes:
      folder: the cohort's folder.
      test: whether it belongs to the test set.
      number: the study's `Index`, also its number for the generator.
      settings: how it is drawn.
      size: rows and columns of an ordinary view, in pixels.
      seed: of the cohort.
    """

    folder: Path
    test: bool
    number: int
    settings: Settings
    size: int
    seed: int


class Truth(NamedTuple):
    """What is known about one written study.

    Attributes:
      number: its `Index`.
      test: whether it belongs to the test set.
      labels: 22 zeros and ones in `study.LABELS` order.
      lesions: rows of lesions.csv.
      patient: the row of clinical.csv.
    """

    number: int
    test: bool
    labels: tuple[int, ...]
    lesions: tuple[tuple[Any, ...], ...]
    patient: tuple[Any, ...]


def make_folders(folder: Path) -> None:
    """Makes the empty folders of a cohort."""
    for name in ("train_set/images", "test_set/images", "truth"):
        (folder / name).mkdir(parents=True)


def write_study(plan: Plan) -> Truth:
    """Makes one study and writes its pictures.

    Raises:
      OSError: a picture could not be written.
    """
    study = make_study(plan.settings, plan.size, plan.seed, plan.number)
    images = plan.folder / ("test_set" if plan.test else "train_set") / "images"
    for name, picture in zip(VIEW_NAMES, study.views, strict=True):
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, plan.settings.jpeg_quality])
        (images / f"{plan.number}{name}.jpg").write_bytes(encoded.tobytes())
    patient = draw_patient(bool(study.labels[0]), plan.seed, plan.number)
    return Truth(
        plan.number,
        plan.test,
        tuple(study.labels.tolist()),
        tuple(_lesion_rows(plan.number, study)),
        (plan.number, *patient.values()),
    )


def _lesion_rows(number: int, study: SyntheticStudy) -> Iterable[tuple[Any, ...]]:
    for lesion in study.lesions:
        for view, footprint in zip(VIEW_NAMES, lesion.footprints, strict=True):
            if footprint:
                centre = (round(part, 2) for part in footprint.centre)
                sizes = (footprint.radius_pixels, lesion.radius_mm, footprint.mm_per_pixel)
                yield (number, lesion.location, view, *centre, *(round(part, 4) for part in sizes))


def write_tables(folder: Path, truths: Iterable[Truth]) -> None:
    """Writes the label tables, the clinical tables and the lesions of a whole cohort, by `Index`."""
    truths = sorted(truths)
    labels = pd.DataFrame([(truth.number, *truth.labels) for truth in truths], columns=[INDEX, *LABELS])
    test = np.array([truth.test for truth in truths], bool)
    labels[~test].to_csv(folder / "train_set" / "train.csv", index=False)
    labels.loc[test, [INDEX]].to_csv(folder / "test_set" / "test.csv", index=False)
    labels[test].to_csv(folder / "truth" / "test.csv", index=False)
    patients = pd.DataFrame([truth.patient for truth in truths], columns=[INDEX, *NAMES], dtype=object)
    patients[~test].to_csv(folder / "train_set" / "clinical.csv", index=False)
    patients[test].to_csv(folder / "test_set" / "clinical.csv", index=False)
    lesions = pd.DataFrame([row for truth in truths for row in truth.lesions], columns=list(LESION_COLUMNS))
    lesions.to_csv(folder / "truth" / "lesions.csv", index=False)
