"""Cohorts of which only the labels and the inventory exist."""

from __future__ import annotations

import numpy as np
import pandas as pd

from angiopipe.cohort.statistics import Statistics, statistics_of
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES

SPELLINGS = (
    "NA",
    "null",
    "nan",
    "None",
    "NaN",
    "007",
    "1e5",
    "TRUE",
    "1.0",
    "inf",
    "0x1A",
    "1_000",
    "NULL",
    "n.a.",
)
"""What a spreadsheet or pandas takes for something else than text."""


def made_up_labels(studies: int, seed: int = 0, prevalence: float = 0.05) -> pd.DataFrame:
    """Labels and splits; each location is positive with probability `prevalence`."""
    rng = np.random.default_rng(seed)
    locations = rng.random((studies, 21)) < prevalence
    flags = np.column_stack([locations.any(axis=1), locations]).astype(np.uint8)
    labels = pd.DataFrame(flags, columns=list(LABELS))
    labels[INDEX] = [f"{seed}-{number}" for number in range(studies)]
    labels["split"] = rng.choice(SPLITS, studies, p=(0.65, 0.15, 0.2))
    return labels


def made_up_views(labels: pd.DataFrame, seed: int = 0, darker: float = 0.0) -> pd.DataFrame:
    """The inventory of eight grey JPEGs a study, each with a mean grey level of 160 +- 15."""
    rng = np.random.default_rng(seed + 1000)
    rows = []
    for index in labels[INDEX]:
        for view in VIEW_NAMES:
            grey = rng.normal(rng.normal(160 - darker, 15), rng.normal(25, 4), 400).clip(0, 255)
            histogram = np.bincount(grey.astype(int) // 8, minlength=32)
            rows.append((index, view, f"{index}{view}.jpg", 30_000, "", 720, 720, "JPEG", "L", histogram))
    columns = [INDEX, "view", "uri", "bytes", "sha256", "height", "width", "format", "mode", "histogram"]
    return pd.DataFrame(rows, columns=columns)


def made_up_statistics(
    studies: int, seed: int = 0, prevalence: float = 0.05, darker: float = 0.0
) -> Statistics:
    labels = made_up_labels(studies, seed, prevalence)
    return statistics_of(labels, made_up_views(labels, seed, darker), f"data-{seed}")
