"""The statistics page: a cohort on one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from angiopipe import storage
from angiopipe.cohort.deidentify import clean
from angiopipe.cohort.drift import ALPHA, Shift
from angiopipe.cohort.statistics import GREY_RANGES, Statistics
from angiopipe.html import page
from angiopipe.html.thumbnail import thumbnail
from angiopipe.imaging.decode import decode
from angiopipe.study import ANEURYSM, INDEX, LABELS, SPLITS, VIEW_NAMES

THUMBNAIL_PIXELS = 128

SHEET_READERS = 8
"""Threads that read the contact sheet's images, most of which wait where these are on an object store."""

PLOT_WIDTH, PLOT_HEIGHT = 256, 100
"""Of a histogram's plot area, in the drawing's own units; 256 grey levels wide."""


class SheetRow(NamedTuple):
    """One study of the contact sheet.

    Attributes:
      study: its Index.
      thumbnails: in the order of `study.VIEWS`, data URIs of JPEGs; None where a view is absent.
    """

    study: str
    thumbnails: list[str | None]


@dataclass(frozen=True)
class Histogram:
    """One view's grey levels.

    Attributes:
      view: one of `study.VIEW_NAMES`.
      bars: (x, y, width, height) of each range of grey levels in drawing units; y counts from the top.
      before: "x,y x,y ..." of the previous run's outline; empty where there is none.
      images: how many.
      mean: grey level.
    """

    view: str
    bars: tuple[tuple[float, float, float, float], ...]
    before: str
    images: int
    mean: float


def contact_sheet(views: pd.DataFrame, count: int, seed: int) -> list[SheetRow]:
    """Draws studies at random, and reads the images of those alone.

    Args:
      views: `Index`, `view`, `uri` and, where there are DICOM runs, `frame` (missing: the whole run),
        one row an image, in any order.
      count: studies wanted; all where there are fewer.
      seed: the same seed and studies give the same sheet.

    Raises:
      ValueError: an image cannot be decoded.
    """
    indices = sorted(views[INDEX].unique())
    drawn = np.random.default_rng(seed).choice(len(indices), min(count, len(indices)), replace=False)
    chosen = [indices[position] for position in sorted(drawn)]
    wanted = views[views[INDEX].isin(chosen)]
    given = wanted["frame"] if "frame" in wanted else pd.Series(pd.NA, wanted.index)
    frames = [None if pd.isna(frame) else int(frame) for frame in given]
    with ThreadPoolExecutor(SHEET_READERS) as readers:
        thumbnails = readers.map(_shown, wanted["uri"], frames)
        shown = dict(zip(zip(wanted[INDEX], wanted["view"], strict=True), thumbnails, strict=True))
    return [SheetRow(index, [shown.get((index, view)) for view in VIEW_NAMES]) for index in chosen]


def _shown(uri: str, frame: int | None) -> str:
    """The thumbnail of an image as it is ingested."""
    try:
        return thumbnail(decode(clean(storage.read_bytes(uri), frame).content), THUMBNAIL_PIXELS)
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from None


def render(
    statistics: Statistics,
    contact_sheet: Sequence[SheetRow],
    shifts: Sequence[Shift] = (),
    previous: Statistics | None = None,
) -> str:
    """The page, with every value from outside escaped.

    Args:
      statistics: of the cohort.
      contact_sheet: what the function of that name gave.
      shifts: what `drift` found; nothing where there is no previous run.
      previous: the previous run's statistics, whose histograms are drawn as outlines.
    """
    environment = page.environment("angiopipe.cohort")
    environment.filters |= {"thousands": _thousands, "size": _size, "p_value": _p_value, "times": _times}
    return environment.get_template("statistics.html").render(
        statistics=statistics,
        sheet=contact_sheet,
        views=VIEW_NAMES,
        splits=SPLITS,
        labels=LABELS,
        aneurysm=ANEURYSM,
        histograms=histograms(statistics, previous),
        notices=notices(statistics),
        shifts=shifts,
        called=[shift for shift in shifts if shift.verdict != "none"],
        verdict=verdict(shifts),
        alpha=ALPHA,
        previous=previous,
    )


def verdict(shifts: Sequence[Shift]) -> str:
    """What the comparison with the previous run comes to, in a sentence."""
    if not shifts:
        return "There is no previous run to compare with."
    shifted = sum(shift.verdict == "shifted" for shift in shifts)
    moderate = sum(shift.verdict == "moderate" for shift in shifts)
    if not shifted and not moderate:
        return f"None of {len(shifts)} figures has shifted since the previous run."
    return f"Since the previous run, {shifted} of {len(shifts)} figures have shifted, {moderate} moderately."


def notices(statistics: Statistics) -> list[str]:
    """What a reader must know before training on the cohort."""
    said, train = [], statistics.splits["train"]
    if unseen := [label for label in LABELS if not train.positives[label]]:
        said.append(f"No training study has {', '.join(unseen)}: a model cannot learn it from this data.")
    wanted = statistics.studies * len(VIEW_NAMES)
    if wanted > statistics.images:
        said.append(f"{wanted - statistics.images:,} of {wanted:,} views are absent.")
    return said


def histograms(statistics: Statistics, previous: Statistics | None) -> list[Histogram]:
    """The grey levels of each view, all on the same scale."""
    pairs = {
        view: (statistics.views[view].histogram, previous.views[view].histogram if previous else ())
        for view in VIEW_NAMES
    }
    most = max(max(*now, *before, 1e-9) for now, before in pairs.values())
    levels = np.arange(GREY_RANGES) * 8 + 3.5
    return [
        Histogram(view, _bars(now, most), _outline(before, most), statistics.views[view].images,
                  float(np.dot(now, levels)))
        for view, (now, before) in pairs.items()
    ]  # fmt: skip


def _bars(shares: Sequence[float], most: float) -> tuple[tuple[float, float, float, float], ...]:
    width = PLOT_WIDTH / GREY_RANGES
    heights = [round(share / most * PLOT_HEIGHT, 1) for share in shares]
    return tuple(
        (round(position * width, 1), round(PLOT_HEIGHT - height, 1), width - 1, height)
        for position, height in enumerate(heights)
    )


def _outline(shares: Sequence[float], most: float) -> str:
    """The histogram's upper edge, in steps."""
    width, points = PLOT_WIDTH / GREY_RANGES, list[tuple[float, float]]()
    for position, share in enumerate(shares):
        height = round(PLOT_HEIGHT * (1 - share / most), 1)
        points += [(position * width, height), ((position + 1) * width, height)]
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _thousands(number: int) -> str:
    return f"{number:,}"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g}\N{NO-BREAK SPACE}{unit}"
        count /= 1000
    return f"{count:,.1f}\N{NO-BREAK SPACE}GB"


def _times(words: str) -> str:
    return words.replace(" x ", "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}")


def _p_value(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else "< 0.01" if value >= 0.001 else "< 0.001"
