"""The figures: what is averaged, what is left out, and that nothing is NaN."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from angiopipe.evaluation.assessment import assess
from angiopipe.evaluation.flat_metrics import flat_metrics
from angiopipe.evaluation.predictions import Predictions, predictions_table, table_csv
from angiopipe.study import LABELS

Predicted = Callable[..., Predictions]


def test_metrics_are_plain_and_finite(predicted: Predicted) -> None:
    metrics = flat_metrics(assess(predicted("validation", 60), predicted("test", 90)))
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    assert {
        "test_auroc", "test_auroc_low", "test_auroc_high", "test_average_precision", "test_brier",
        "validation_auroc", "test_studies", "test_positives", "location_accuracy", "location_accuracy_none",
        "location_auroc_mean", "location_auroc_estimable", "youden_threshold", "youden_sensitivity_low",
        "sensitivity_90_threshold", "sensitivity_90_specificity",
    } <= set(metrics)  # fmt: skip


def test_figures_equal_the_direct_computation(predicted: Predicted) -> None:
    test = predicted("test", 90)
    metrics = flat_metrics(assess(predicted("validation", 60), test))
    assert metrics["test_auroc"] == pytest.approx(roc_auc_score(test.truth, test.scores))
    assert metrics["test_average_precision"] == pytest.approx(
        average_precision_score(test.truth, test.scores)
    )
    assert metrics["test_brier"] == pytest.approx(np.mean((test.truth - test.scores) ** 2))
    assert metrics["test_brier_of_prevalence"] == 0.25
    assert (metrics["test_studies"], metrics["test_positives"]) == (90, 45)
    called = test.probabilities[:, 1:] >= 0.5
    assert metrics["location_accuracy"] == pytest.approx(np.mean(called == test.labels[:, 1:]))
    assert metrics["location_accuracy_none"] == pytest.approx(1 - 45 / (90 * 21))


def test_a_rare_location_is_not_estimable_and_has_no_part_in_the_mean(predicted: Predicted) -> None:
    test = predicted("test", 90)
    counts = test.labels[:, 1:].sum(axis=0)
    test.labels[np.flatnonzero(test.labels[:, 1])[4:], 1] = 0  # leaves four studies with the first location
    found = assess(predicted("validation", 60), test)
    assert found.locations[0].auroc is None
    enough = [place for place in range(1, 21) if counts[place] >= 5]
    aurocs = [roc_auc_score(test.labels[:, 1 + place], test.probabilities[:, 1 + place]) for place in enough]
    assert found.location_auroc_mean == pytest.approx(np.mean(aurocs))
    assert len(found.estimable) == len(enough)


def test_a_location_almost_all_studies_have_is_not_estimable(predicted: Predicted) -> None:
    test = predicted("test", 90)
    test.labels[4:, 3] = 1
    assert assess(predicted("validation", 60), test).locations[2].auroc is None


def test_one_logit_has_no_location_figures(predicted: Predicted) -> None:
    found = assess(predicted("validation", 60, locations=False), predicted("test", 90, locations=False))
    assert found.locations == ()
    metrics = flat_metrics(found)
    assert not any(name.startswith("location") for name in metrics)
    assert all(math.isfinite(value) for value in metrics.values())


def test_no_estimable_location_leaves_the_mean_out(predicted: Predicted) -> None:
    metrics = flat_metrics(assess(predicted("validation", 8), predicted("test", 8)))
    assert metrics["location_auroc_estimable"] == 0
    assert "location_auroc_mean" not in metrics


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_of_one_class_is_named_with_the_remedy(predicted: Predicted, split: str) -> None:
    parts = {name: predicted(name, 8) for name in ("validation", "test")}
    parts[split].labels[:] = 0
    with pytest.raises(
        ValueError, match=f"split {split}: expected studies with and without .* found 0 with and 8 without"
    ):
        assess(parts["validation"], parts["test"])


def test_the_table_says_what_the_metrics_say(predicted: Predicted) -> None:
    test = predicted("test", 90)
    table = predictions_table((predicted("validation", 60), test))
    names = [f"{kind}_{label}" for kind in ("true", "probability", "logit") for label in LABELS]
    assert list(table.columns) == ["Index", "split", "missing_views", *names]
    lines = table_csv(table).splitlines()
    assert len(lines) == 151
    written = np.array([line.split(",")[25:47] for line in lines[61:]], np.float32)
    assert np.array_equal(written, test.probabilities)


def test_an_absent_prediction_is_an_empty_cell(predicted: Predicted) -> None:
    line = table_csv(predictions_table([predicted("test", 8, locations=False)])).splitlines()[1]
    assert line.endswith("," * 21)


def test_predictions_must_fit_and_be_probabilities(predicted: Predicted) -> None:
    test = predicted("test", 4)
    with pytest.raises(ValueError, match=r"test labels: expected shape \(4, 22\), got \(3, 22\)"):
        replace(test, labels=test.labels[:3])
    broken = test.logits.copy()
    broken[2, 0] = np.nan
    with pytest.raises(ValueError, match="test study S2: expected a probability of Aneurysm"):
        replace(test, logits=broken)
