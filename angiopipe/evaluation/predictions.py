"""A model's answer for every study of a split, and the table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from angiopipe.study import ANEURYSM, INDEX, LABELS


@dataclass(frozen=True)
class Predictions:
    """What is true and what the model says of the studies of one split.

    Attributes:
      split: train, validation or test.
      indices: study ids.
      labels: (n, 22) uint8, in the order of `study.LABELS`.
      probabilities: (n, 22) float; the locations are NaN for a model that predicts none.
    """

    split: str
    indices: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.indices), len(LABELS))
        for name, array in (("labels", self.labels), ("probabilities", self.probabilities)):
            if array.shape != expected:
                raise ValueError(f"{self.split} {name}: expected shape {expected}, got {array.shape}")
        faulty = [index for index, p in zip(self.indices, self.scores, strict=True) if not 0 <= p <= 1]
        if faulty:
            raise ValueError(
                f"{self.split} study {', '.join(faulty)}: expected a probability of {ANEURYSM}, got none; "
                "the model's weights are not finite: train again"
            )

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
        return not np.isnan(self.probabilities[:, 1:]).any()

    @property
    def positives(self) -> int:
        return int(self.truth.sum())


def predictions_table(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row a study: Index, split, true_<label> and probability_<label> for all 22 labels."""
    tables = []
    for part in predictions:
        truth = pd.DataFrame(part.labels, columns=[f"true_{label}" for label in LABELS])
        answers = pd.DataFrame(part.probabilities, columns=[f"probability_{label}" for label in LABELS])
        names = pd.DataFrame({INDEX: part.indices, "split": part.split})
        tables.append(pd.concat([names, truth, answers], axis=1))
    return pd.concat(tables, ignore_index=True)


def table_csv(table: pd.DataFrame) -> str:
    """The table as CSV; nine digits keep every float32 apart, and an absent prediction is empty."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
