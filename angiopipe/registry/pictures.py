"""The pictures a run shows: the test split's ROC curve and its confusion at each operating point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from angiopipe import storage
from angiopipe.evaluation.operating_points import Confusion
from angiopipe.records.manifest import EvaluationManifest, OperatingThreshold
from angiopipe.study import ANEURYSM
from angiopipe.tables import read_own_table

_DOTS_PER_INCH = 120
_BLUE, _GREY = "#2563a8", "#8a8f98"


def draw(evaluated: EvaluationManifest, folder: Path) -> None:
    """Writes roc.png and a confusion_<operating point>.png each into `folder`."""
    _save(roc_figure(evaluated), folder / "roc.png")
    labels, scores = _test_scores(evaluated.predictions_uri)
    for point in evaluated.operating_points:
        confusion = Confusion.at(labels, scores, point.threshold)
        _save(confusion_figure(point, confusion), folder / f"confusion_{point.name}.png")


def _test_scores(predictions_uri: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) truth and (n,) probability of an aneurysm of the test studies."""
    columns = [f"true_{ANEURYSM}", f"probability_{ANEURYSM}"]
    table = read_own_table(storage.read_bytes(predictions_uri), predictions_uri, ("split", *columns))
    truth, scores = np.array(table.where("split", "test").numbers(columns)).reshape(-1, 2).T
    return truth, scores


def roc_figure(evaluated: EvaluationManifest) -> Figure:
    """The ROC curve of the test split with its AUROC and interval."""
    metrics = evaluated.metrics
    figure, axes = _square("1 - specificity", "Sensitivity")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    rates = np.array(evaluated.roc)
    axes.plot(rates[:, 0], rates[:, 1], color=_BLUE, linewidth=2)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid(alpha=0.25)
    axes.set_title(
        f"ROC, {metrics['test_studies']:.0f} test studies\nAUROC {metrics['test_auroc']:.3f} "
        f"(95 % interval {metrics['test_auroc_low']:.3f} to {metrics['test_auroc_high']:.3f})",
        fontsize=10,
    )
    return figure


def confusion_figure(point: OperatingThreshold, confusion: Confusion) -> Figure:
    """Counts of the test studies, and each as a share of its row."""
    cells = np.array(
        [
            [confusion.true_positives, confusion.false_negatives],
            [confusion.false_positives, confusion.true_negatives],
        ]
    )
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    figure, axes = _square("Decision", "Truth")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(cells):
        axes.text(
            column, row, f"{count}\n{shares[row, column]:.0%}",
            ha="center", va="center", fontsize=13, color="white" if shares[row, column] > 0.5 else "black",
        )  # fmt: skip
    axes.set_xticks([0, 1], ["aneurysm", "none"])
    axes.set_yticks([0, 1], ["aneurysm", "none"], rotation=90, va="center")
    axes.set_title(
        f"{point.name}: probability >= {point.threshold:.3f}\n{cells.sum()} test studies", fontsize=10
    )
    return figure


def _square(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """A figure that needs no display and is not kept by pyplot."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DOTS_PER_INCH)
