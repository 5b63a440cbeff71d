"""A model's answer for every study of a split, and the table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from angiopipe.records.calibration import probabilities
from angiopipe.records.manifest import Calibration
from angiopipe.study import ANEURYSM, INDEX, LABELS, VIEW_NAMES


@dataclass(frozen=True)
class Predictions:
    """What is true and what the model says of the studies of one split.

    Attributes:
      split: train, validation or test.
      indices: study ids.
      labels: (n, 22) uint8, in the order of `study.LABELS`.
      logits: (n, 22) float32 as the model gives them; the locations are NaN for a model that predicts none.
      present: (n, 8) uint8, 1 where the study has the view.
      sizes: (n, 8, 2) rows and columns of each view before preprocessing, pixels; 0 where absent.
      calibration: what turns logits into probabilities.
    """

    split: str
    indices: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    present: np.ndarray
    sizes: np.ndarray
    calibration: Calibration = Calibration()  # noqa: RUF009 (immutable)

    def __post_init__(self) -> None:
        widths = {"labels": len(LABELS), "logits": len(LABELS), "present": len(VIEW_NAMES)}
        for name, width in widths.items():
            expected, got = (len(self.indices), width), getattr(self, name).shape
            if got != expected:
                raise ValueError(f"{self.split} {name}: expected shape {expected}, got {got}")
        faulty = [index for index, p in zip(self.indices, self.scores, strict=True) if not 0 <= p <= 1]
        if faulty:
            raise ValueError(
                f"{self.split} study {', '.join(faulty)}: expected a probability of {ANEURYSM}, got none; "
                "the model's weights are not finite: train again"
            )

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(n, 22) float32, calibrated; the locations are NaN for a model that predicts none."""
        return probabilities(self.logits, self.calibration)

    @property
    def truth(self) -> np.ndarray:
        """(n,) whether the study has an aneurysm."""
        return self.labels[:, 0]

    @property
    def scores(self) -> np.ndarray:
        """(n,) the probability of an aneurysm."""
        return self.probabilities[:, 0]

    @property
    def predicts_locations(self) -> bool:
        return not np.isnan(self.logits[:, 1:]).any()

    @property
    def positives(self) -> int:
        return int(self.truth.sum())


def predictions_table(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row a study, with the columns that `EvaluationManifest` names."""
    tables = []
    for part in predictions:
        kinds = {"true": part.labels, "probability": part.probabilities, "logit": part.logits}
        columns = [
            pd.DataFrame(values, columns=[f"{kind}_{label}" for label in LABELS])
            for kind, values in kinds.items()
        ]
        missing = [
            ",".join(name for name, there in zip(VIEW_NAMES, row, strict=True) if not there)
            for row in part.present
        ]
        names = pd.DataFrame({INDEX: part.indices, "split": part.split, "missing_views": missing})
        tables.append(pd.concat([names, *columns], axis=1))
    return pd.concat(tables, ignore_index=True)


def table_csv(table: pd.DataFrame) -> str:
    """The table as CSV; nine digits keep every float32 apart, and an absent prediction is empty."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
