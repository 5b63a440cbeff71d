"""Where a figure's lines, dots and bars lie; the templates draw them as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from angiopipe.evaluation.assessment import Assessment
from angiopipe.evaluation.curves import Curve
from angiopipe.evaluation.predictions import Predictions

WIDTH, HEIGHT = 300, 300
"""Of the plot area, in the drawing's own units."""

BINS = 20


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
      kind: how it is drawn: "test", "validation" or "reference".
      points: "x,y x,y ..." in drawing units.
    """

    kind: str
    points: str


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram, in drawing units; `y` counts from the top."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """A square figure whose two axes run from 0 to 1.

    Attributes:
      title: what a screen reader says.
      x_label, y_label: of the axes.
      lines: drawn in this order.
      dots: (x, y, label) in drawing units.
      bars: (x, y of one end, y of the other) in drawing units, the intervals of dots.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    dots: tuple[tuple[float, float, str], ...] = ()
    bars: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Histogram:
    """Probabilities of the studies with an aneurysm (upwards) and without one (downwards).

    Attributes:
      title: what a screen reader says.
      positives, negatives: a bar each bin.
      most: the studies in the fullest bin, as the axis shows.
      thresholds: x in drawing units.
    """

    title: str
    positives: tuple[Bar, ...]
    negatives: tuple[Bar, ...]
    most: int
    thresholds: tuple[float, ...]


def roc_plot(found: Assessment) -> Plot:
    """The ROC of both splits, with the operating points as they fall on the test split."""
    dots = []
    for number, point in enumerate(found.operating_points, start=1):
        sensitivity, specificity = point.test.sensitivity, point.test.specificity
        if sensitivity and specificity:
            dots.append((*_place(1 - specificity.value, sensitivity.value), str(number)))
    lines = (
        Line("reference", _path(((0.0, 0.0), (1.0, 1.0)))),
        Line("validation", _path([(x, y) for x, y, _ in found.validation.roc])),
        Line("test", _path([(x, y) for x, y, _ in found.test.roc])),
    )
    return Plot("ROC curve", "1 - specificity", "Sensitivity", lines, tuple(dots))


def precision_recall_plot(found: Assessment) -> Plot:
    """Precision over recall of both splits; the reference is the prevalence in test."""
    prevalence = found.test.prevalence
    lines = (
        Line("reference", _path(((0.0, prevalence), (1.0, prevalence)))),
        Line("validation", _path(_steps(found.validation.precision_recall))),
        Line("test", _path(_steps(found.test.precision_recall))),
    )
    return Plot("Precision-recall curve", "Recall (sensitivity)", "Precision", lines)


def reliability_plot(found: Assessment) -> Plot:
    """Observed over predicted shares in test; the reference is where both are equal."""
    calibrated, uncalibrated = found.test.reliability.bins, found.test.uncalibrated.bins
    lines = (
        Line("reference", _path(((0.0, 0.0), (1.0, 1.0)))),
        Line("validation", _path([(part.predicted, part.observed.value) for part in uncalibrated])),
        Line("test", _path([(part.predicted, part.observed.value) for part in calibrated])),
    )
    dots = tuple((*_place(part.predicted, part.observed.value), "") for part in calibrated)
    bars = tuple(
        (_place(part.predicted, 0)[0], _place(0, part.observed.low)[1], _place(0, part.observed.high)[1])
        for part in calibrated
    )
    return Plot("Reliability curve", "Predicted probability", "Observed share", lines, dots, bars)


def histogram(found: Assessment, test: Predictions) -> Histogram:
    """How the test studies' probabilities are spread, by class."""
    counts = [np.histogram(test.scores[test.truth == label], BINS, (0, 1))[0] for label in (1, 0)]
    most = max(int(part.max()) for part in counts)
    return Histogram(
        "Probabilities of studies with and without an aneurysm",
        _bars(counts[0], most, upwards=True),
        _bars(counts[1], most, upwards=False),
        most,
        tuple(round(min(point.threshold, 1) * WIDTH, 1) for point in found.operating_points),
    )


def _bars(counts: np.ndarray, most: int, upwards: bool) -> tuple[Bar, ...]:
    width, middle = WIDTH / BINS, HEIGHT / 2
    bars = []
    for position, count in enumerate(counts):
        height = round(float(count) / most * middle, 1)
        top = middle - height if upwards else middle
        bars.append(Bar(round(position * width, 1), top, width - 1, height))
    return tuple(bars)


def _steps(curve: Curve) -> list[tuple[float, float]]:
    """Precision between two points is not on the line between them, so the curve goes in steps."""
    steps = [curve[0]]
    for x, y in curve[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps


def _place(x: float, y: float) -> tuple[float, float]:
    return round(x * WIDTH, 1), round((1 - y) * HEIGHT, 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in (_place(*point) for point in points))
