"""What a cohort is like, in numbers small enough to keep with every run and to compare the next with."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from angiopipe.recipe import Fields
from angiopipe.records.manifest import Manifest
from angiopipe.study import ANEURYSM, INDEX, LABELS, SPLITS, VIEW_NAMES

GREY_RANGES = 32
"""Entries of an image's grey-level histogram: pixels per range of 8 grey levels."""

BINS = 64
"""Of the distributions over images; fine, because a comparison joins neighbours until they hold enough."""

LARGEST_MEAN, LARGEST_CONTRAST = 256.0, 128.0
"""Upper ends of the distributions; no 8-bit image has a standard deviation above 127.5."""

MOST_KINDS = 24
"""How many sizes, formats or modes are counted by name; the rarer ones are summed."""


class SplitCounts(Fields):
    """Studies of one split.

    Attributes:
      studies: all of them.
      positives: studies by label that have it.
    """

    studies: int
    positives: dict[str, int]


class Kinds(Fields):
    """How images are spread over kinds, such as sizes.

    Attributes:
      counts: images by kind, the most frequent first, `MOST_KINDS` at most.
      others: images of the kinds that are not in `counts`.
      distinct: how many kinds there are.
      seen_once: images of kinds that a single study has.
    """

    counts: dict[str, int]
    others: int
    distinct: int
    seen_once: int

    @property
    def images(self) -> int:
        return sum(self.counts.values()) + self.others


class ViewStatistics(Fields):
    """All images of one view.

    Attributes:
      images: how many.
      bytes: their files together.
      histogram: (32,) share of pixels per range of 8 grey levels, mean over images.
      mean_grey: (64,) images by mean grey level, bins of 4 levels from 0 to 256.
      contrast: (64,) images by standard deviation of grey levels, bins of 2 from 0 to 128.
    """

    images: int
    bytes: int
    histogram: tuple[float, ...]
    mean_grey: tuple[int, ...]
    contrast: tuple[int, ...]


class Statistics(Manifest):
    """A cohort's statistics.

    Attributes:
      data_fingerprint: of the raw data set they describe.
      splits: by split.
      views: by view, in the order of `study.VIEWS`.
      sizes: "rows x columns".
      formats: of the files, such as "JPEG".
      modes: of the pixels, such as "L" (grey) or "RGB".
    """

    kind: Literal["statistics"] = "statistics"
    data_fingerprint: str
    splits: dict[str, SplitCounts]
    views: dict[str, ViewStatistics]
    sizes: Kinds
    formats: Kinds
    modes: Kinds

    @property
    def studies(self) -> int:
        return sum(split.studies for split in self.splits.values())

    @property
    def images(self) -> int:
        return sum(view.images for view in self.views.values())

    @property
    def bytes(self) -> int:
        return sum(view.bytes for view in self.views.values())

    def positives(self, label: str = ANEURYSM) -> int:
        """Studies of all splits that have `label`."""
        return sum(split.positives[label] for split in self.splits.values())


def statistics_of(labels: pd.DataFrame, views: pd.DataFrame, data_fingerprint: str) -> Statistics:
    """Sums up a cohort.

    Args:
      labels: `Index`, the 22 labels (0 or 1) and `split`, one row a study.
      views: `Index`, `view`, `bytes`, `height`, `width`, `format`, `mode` and `histogram` ((32,)
        integers: pixels per range of 8 grey levels), one row an image.
      data_fingerprint: names the data set.

    Raises:
      ValueError: a split is unknown, or a histogram has not 32 entries.
    """
    if unknown := sorted(set(labels["split"]) - set(SPLITS)):
        raise ValueError(f"labels: expected the splits {', '.join(SPLITS)}, found {', '.join(unknown)}")
    sizes = views["height"].astype(str) + " x " + views["width"].astype(str)
    return Statistics(
        data_fingerprint=data_fingerprint,
        splits={split: _split_counts(labels[labels["split"] == split]) for split in SPLITS},
        views={name: _view_statistics(views[views["view"] == name], name) for name in VIEW_NAMES},
        sizes=_kinds(sizes, views[INDEX]),
        formats=_kinds(views["format"], views[INDEX]),
        modes=_kinds(views["mode"], views[INDEX]),
    )


def _split_counts(labels: pd.DataFrame) -> SplitCounts:
    return SplitCounts(studies=len(labels), positives={name: int(labels[name].sum()) for name in LABELS})


def _kinds(kinds: pd.Series, indices: pd.Series) -> Kinds:
    """Counts the kind of each image; equal counts in the order of their names."""
    counts = kinds.value_counts().rename_axis("kind").reset_index(name="images")
    counts = counts.sort_values(["images", "kind"], ascending=[False, True])
    named = counts.head(MOST_KINDS)
    lonely = indices.groupby(kinds).nunique().loc[lambda studies: studies == 1].index
    return Kinds(
        counts={str(kind): int(images) for kind, images in zip(named["kind"], named["images"], strict=True)},
        others=int(counts["images"].sum() - named["images"].sum()),
        distinct=len(counts),
        seen_once=int(kinds.isin(lonely).sum()),
    )


def _view_statistics(images: pd.DataFrame, name: str) -> ViewStatistics:
    if not len(images):
        nothing = (0,) * BINS
        return ViewStatistics(
            images=0, bytes=0, histogram=(0.0,) * GREY_RANGES, mean_grey=nothing, contrast=nothing
        )
    shares = _shares(images, name)
    # Grey levels 0 to 7 lie around 3.5, and so on; a contrast within a range is not seen.
    levels = np.arange(GREY_RANGES) * 8 + 3.5
    means = shares @ levels
    contrasts = np.sqrt(np.maximum(shares @ levels**2 - means**2, 0))
    return ViewStatistics(
        images=len(images),
        bytes=int(images["bytes"].sum()),
        histogram=tuple(round(float(share), 6) for share in shares.mean(axis=0)),
        mean_grey=_distribution(means, LARGEST_MEAN),
        contrast=_distribution(contrasts, LARGEST_CONTRAST),
    )


def _shares(images: pd.DataFrame, name: str) -> np.ndarray:
    """(images, 32) float64: each image's share of pixels per grey range."""
    wrong = images[images["histogram"].map(len) != GREY_RANGES]
    if len(wrong):
        raise ValueError(
            f"view {name}: expected histograms of {GREY_RANGES} entries, found "
            f"{len(wrong['histogram'].iloc[0])} in study {wrong[INDEX].iloc[0]} and {len(wrong) - 1} others"
        )
    pixels = np.stack(images["histogram"].to_list()).astype(np.float64)
    return pixels / pixels.sum(axis=1, keepdims=True)


def _distribution(values: np.ndarray, largest: float) -> tuple[int, ...]:
    return tuple(int(count) for count in np.histogram(values, BINS, (0, largest))[0])
