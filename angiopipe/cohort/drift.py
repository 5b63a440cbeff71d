"""What has shifted between the previous run's cohort and this one, and whether that may go on.

A difference counts when it is both large and beyond chance. By size alone, a few studies would raise
alarms, since chance makes large differences between small samples; by significance alone, many would,
since no difference is too small for a large sample. All tests of a comparison share one error rate.

The tests take the cohorts for independent. One that has grown holds the previous one, which dilutes
what is new about the added studies: shifts are called later then, but no oftener by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from angiopipe.cohort.statistics import BINS, LARGEST_CONTRAST, LARGEST_MEAN, Kinds, Statistics
from angiopipe.cohort.two_samples import (
    holm,
    kolmogorov_smirnov,
    more_often,
    odds_ratio,
    population_stability,
)
from angiopipe.faults import FaultyStudies
from angiopipe.recipe import Fields
from angiopipe.study import LABELS, VIEW_NAMES

ALPHA = 0.01
"""The probability of calling anything shifted between two cohorts that are alike, at most."""

PSI_MODERATE, PSI_SHIFTED = 0.1, 0.25
"""The customary limits. Source: Siddiqi (2006, Credit Risk Scorecards, Wiley)."""

ODDS_MODERATE, ODDS_SHIFTED = 1.5, 2.0
"""Factors on a label's odds, up or down; a calibrated model's answers are off by the same factor."""

NEW_MODERATE, NEW_SHIFTED = 0.01, 0.1
"""Shares of images of a size, format or mode that the previous run had none of."""

NAMED = 3
"""How many sizes, formats or modes are named in a sentence."""

Verdict = Literal["none", "moderate", "shifted"]


class Shift(Fields):
    """How far one figure of the cohort has moved.

    Attributes:
      what: "mean grey level", "contrast", "prevalence", "image sizes", "file formats", "pixel modes".
      subject: the view or label it is about, or "all images".
      statistic: "PSI" (less what chance contributes), "odds ratio" (now over before) or "share new".
      value: of the statistic.
      threshold: from where on a value is "shifted"; an odds ratio also from its inverse down.
      p_value: of such a difference by chance, adjusted for all that is compared (Holm).
      before, now: what was compared, in words.
      verdict: "none", "moderate" or "shifted".
    """

    what: str
    subject: str
    statistic: Literal["PSI", "odds ratio", "share new"]
    value: float
    threshold: float
    p_value: float
    before: str
    now: str
    verdict: Verdict = "none"

    def judged(self, p_value: float, moderate: float) -> Shift:
        """This shift with its adjusted p-value and the verdict, which is `moderate` from there on."""
        size = max(self.value, 1 / self.value) if self.statistic == "odds ratio" else self.value
        verdict: Verdict = "none"
        if p_value <= ALPHA and size >= moderate:
            verdict = "shifted" if size >= self.threshold else "moderate"
        return self.model_copy(update={"p_value": p_value, "verdict": verdict})

    def beyond(self, threshold: float) -> bool:
        """Whether it stops a run that tolerates a PSI below `threshold`."""
        if self.statistic == "PSI":
            return self.p_value <= ALPHA and self.value >= threshold
        return self.verdict == "shifted"


def drift(previous: Statistics, current: Statistics) -> tuple[Shift, ...]:
    """Compares a cohort with the previous run's.

    Per view: the PSI of the images' mean grey levels and of their contrasts, tested by Kolmogorov and
    Smirnov. Per label: the odds ratio of its prevalence, tested by Fisher. Over all images: the share of
    sizes, formats and modes that are new, tested likewise.

    Returns:
      41 shifts in that order, whatever their verdict.
    """
    shifts = [
        *(_grey_shift(view, previous, current) for view in VIEW_NAMES),
        *(_contrast_shift(view, previous, current) for view in VIEW_NAMES),
        *(_prevalence_shift(label, previous, current) for label in LABELS),
        _newcomers("image sizes", previous.sizes, current.sizes),
        _newcomers("file formats", previous.formats, current.formats),
        _newcomers("pixel modes", previous.modes, current.modes),
    ]
    moderate = {"PSI": PSI_MODERATE, "odds ratio": ODDS_MODERATE, "share new": NEW_MODERATE}
    adjusted = holm([shift.p_value for shift in shifts])
    return tuple(
        shift.judged(p_value, moderate[shift.statistic])
        for shift, p_value in zip(shifts, adjusted, strict=True)
    )


def refuse_drift(shifts: Sequence[Shift], threshold: float | None) -> None:
    """Stops a run whose cohort is unlike the previous one.

    Args:
      shifts: what `drift` found.
      threshold: the PSI from which on a view's shift stops the run, if it is beyond chance. A prevalence
        and new kinds of images stop it when their verdict is "shifted". None: nothing does.

    Raises:
      FaultyStudies: something has shifted; all that has is named.
    """
    if threshold is None:
        return
    if beyond := [shift for shift in shifts if shift.beyond(threshold)]:
        raise FaultyStudies(
            f"drift: {len(beyond)} of {len(shifts)} figures have shifted since the previous run; look at the "
            "statistics page, then correct the data or, if it is right, run once without a drift threshold, "
            "and compare the next run with this one:",
            [_fault(shift, threshold) for shift in beyond],
        )


def _fault(shift: Shift, threshold: float) -> str:
    expected = {
        "PSI": f"below {threshold:g}",
        "odds ratio": f"between {1 / shift.threshold:g} and {shift.threshold:g}",
        "share new": f"below {shift.threshold:g}",
    }
    return (
        f"{shift.subject}, {shift.what}: expected {shift.statistic} {expected[shift.statistic]}, "
        f"found {shift.value:.2f} (before {shift.before}, now {shift.now})"
    )


def _grey_shift(view: str, previous: Statistics, current: Statistics) -> Shift:
    before, now = previous.views[view].mean_grey, current.views[view].mean_grey
    return _distribution_shift("mean grey level", view, before, now, LARGEST_MEAN)


def _contrast_shift(view: str, previous: Statistics, current: Statistics) -> Shift:
    before, now = previous.views[view].contrast, current.views[view].contrast
    return _distribution_shift("contrast", view, before, now, LARGEST_CONTRAST)


def _distribution_shift(
    what: str, view: str, before: Sequence[int], now: Sequence[int], largest: float
) -> Shift:
    return Shift(
        what=what, subject=view, statistic="PSI", value=population_stability(before, now),
        threshold=PSI_SHIFTED, p_value=kolmogorov_smirnov(before, now),
        before=_average(before, largest), now=_average(now, largest),
    )  # fmt: skip


def _average(counts: Sequence[int], largest: float) -> str:
    middles = (np.arange(BINS) + 0.5) * largest / BINS
    return f"{np.average(middles, weights=counts):.0f}" if sum(counts) else "no images"


def _prevalence_shift(label: str, previous: Statistics, current: Statistics) -> Shift:
    studies = np.array([previous.studies, current.studies])
    positives = np.array([previous.positives(label), current.positives(label)])
    ratio, p_value = odds_ratio(positives, studies - positives)
    before, now = (f"{some} of {all_} studies" for some, all_ in zip(positives, studies, strict=True))
    return Shift(
        what="prevalence", subject=label, statistic="odds ratio", value=ratio, threshold=ODDS_SHIFTED,
        p_value=p_value, before=before, now=now,
    )  # fmt: skip


def _newcomers(what: str, previous: Kinds, current: Kinds) -> Shift:
    """Images of kinds that the previous run had none of, less those that chance brings.

    Where sizes are many, every cohort has some of its own: about as many images as were of a kind that
    only one study had before. Source: Good (1953, Biometrika 40:237).
    """
    new = {kind: count for kind, count in current.counts.items() if kind not in previous.counts}
    # A kind that was too rare to be named may have been among the others.
    unseen = np.array([max(previous.seen_once, previous.others), sum(new.values())])
    images = np.array([previous.images, current.images])
    shares = unseen / np.maximum(images, 1)
    # A study's images are alike, so that studies are what is independent.
    studies = np.rint(np.array([unseen, images - unseen]) / len(VIEW_NAMES)).astype(int)
    return Shift(
        what=what, subject="all images", statistic="share new", value=max(float(shares[1] - shares[0]), 0.0),
        threshold=NEW_SHIFTED, p_value=more_often(*studies),
        before=_listed(previous.counts), now=_listed(new) if new else "nothing new",
    )  # fmt: skip


def _listed(counts: dict[str, int]) -> str:
    named = ", ".join(f"{kind} ({count:,})" for kind, count in list(counts.items())[:NAMED])
    return named + (" and more" if len(counts) > NAMED else "")
