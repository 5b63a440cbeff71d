"""What a model answered for each study of the frozen test set, and who those studies are."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from angiopipe import storage
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import InventoryManifest, StudiesManifest
from angiopipe.records.schema import StudyRecord
from angiopipe.study import INDEX, LABELS, SPLITS
from angiopipe.tables import read_own_table

TEST = SPLITS[-1]


@dataclass(frozen=True)
class Answers:
    """A model's probabilities for the test studies.

    Attributes:
      indices: study ids.
      labels: (n, 22) uint8, in the order of `study.LABELS`.
      probabilities: (n, 22) float; the locations are NaN for a model that predicts none.
    """

    indices: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def positives(self) -> int:
        return int(self.labels[:, 0].sum())

    @property
    def predicts_locations(self) -> bool:
        return not np.isnan(self.probabilities[:, 1:]).any()

    def of(self, indices: tuple[str, ...]) -> Answers:
        """The same answers in another order of studies.

        Raises:
          ValueError: the studies are others.
        """
        if set(indices) != set(self.indices):
            strange = sorted(set(indices) ^ set(self.indices))
            raise ValueError(
                f"expected answers for the same {len(indices)} test studies, found {len(self.indices)}; "
                f"only one side has {', '.join(strange[:5])}{' ...' if len(strange) > 5 else ''}"
            )
        position = {index: row for row, index in enumerate(self.indices)}
        rows = [position[index] for index in indices]
        return Answers(indices, self.labels[rows], self.probabilities[rows])


def read_answers(predictions: bytes) -> Answers:
    """The test studies of an evaluation's `predictions.csv`.

    Raises:
      ValueError: it is not as the evaluation wrote it.
    """
    truth, probability = ([f"{kind}_{label}" for label in LABELS] for kind in ("true", "probability"))
    table = read_own_table(predictions, "predictions.csv", (INDEX, "split", *truth, *probability))
    test = table.where("split", TEST)
    indices = tuple(row.cells[0] for row in test.rows)
    labels, probabilities = (
        np.array(test.numbers(columns)).reshape(-1, len(LABELS)) for columns in (truth, probability)
    )
    return Answers(indices, labels.astype(np.uint8), probabilities)


def frozen_test(studies: StudiesManifest) -> Iterator[StudyRecord]:
    """Yields the test studies as ingest wrote them, one in memory at a time.

    Raises:
      CorruptRecord: a shard is not what was written.
    """
    for uri in studies.shard_uris(TEST):
        with storage.staged(uri) as path, path.open("rb") as file:
            for payload in read_records(file, uri):
                yield StudyRecord.decode(payload)


def studies_by_content(inventory: InventoryManifest) -> pd.DataFrame:
    """Which studies a model was made from, without saying who they are.

    Returns:
      `digest` (of the study's image files, whatever its Index) and `split`, one row a study.
    """
    labels = pd.read_parquet(io.BytesIO(storage.read_bytes(inventory.labels_uri)), columns=[INDEX, "split"])
    views = pd.read_parquet(
        io.BytesIO(storage.read_bytes(inventory.views_uri)), columns=[INDEX, "view", "sha256"]
    )
    ordered = views.sort_values([INDEX, "view"])
    lines = ordered["view"] + "=" + ordered["sha256"]
    digests = lines.groupby(ordered[INDEX]).agg(
        lambda parts: hashlib.sha256("\n".join(parts).encode()).hexdigest()
    )
    table = labels.assign(digest=labels[INDEX].map(digests))[["digest", "split"]]
    return table.sort_values("digest", ignore_index=True)
