"""The registered model: raw images in, probabilities out. MLflow loads it from this file's code.

It carries the library with it (`code_paths`), so the preprocessing that scores is the one that
trained, and the reader of the registry installs nothing of ours.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from angiopipe import storage
from angiopipe.study import LABELS, VIEW_NAMES

BATCH_STUDIES = 8
"""Studies scored together; bounds the memory of a call with many rows."""


class Predictor(mlflow.pyfunc.PythonModel):
    """Scores studies: one row each, eight columns named by view, 22 probabilities."""

    def load_context(self, context: Any) -> None:
        """Rebuilds the model from the manifest and weights in the package."""
        from angiopipe import models
        from angiopipe.records.manifest import ModelManifest

        folder = context.artifacts["model"]
        manifest = ModelManifest.read(posixpath.join(folder, "manifest.json"))
        self.preprocessing = manifest.recipe.preprocessing
        self.model = models.load(manifest.model_copy(update={"location": folder}))
        self.probabilities = models.probabilities

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores studies.

        Args:
          context: not used; MLflow gives it.
          model_input: a row a study; columns LI-A ... RV-B hold an encoded image's bytes, or the
            path or URI of one. Null, empty or no column means that the view is absent.
          params: not used.

        Returns:
          The input's index; columns `Aneurysm` and the 21 locations (float, NaN where the model
          predicts none) and `missing_views` (their names, comma-separated).

        Raises:
          ValueError: a view cannot be decoded, or no view of a study is there; names every row.
        """
        chunks = [
            self._score(model_input.iloc[start : start + BATCH_STUDIES])
            for start in range(0, len(model_input), BATCH_STUDIES)
        ]
        return pd.concat(chunks) if chunks else pd.DataFrame(columns=[*LABELS, "missing_views"])

    def _score(self, rows: pd.DataFrame) -> pd.DataFrame:
        views, present = _preprocess(rows, self.preprocessing)
        logits = self.model({"views": views, "present": present}, training=False)
        table = pd.DataFrame(self.probabilities(np.asarray(logits)), index=rows.index, columns=list(LABELS))
        table["missing_views"] = [
            ",".join(name for name, there in zip(VIEW_NAMES, row, strict=True) if not there)
            for row in present
        ]
        return table


def _preprocess(rows: pd.DataFrame, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    from angiopipe.imaging.preprocess import preprocess_study

    studies, faults = [], []
    for name, row in rows.iterrows():
        try:
            encoded = [_encoded(row.get(view)) for view in VIEW_NAMES]
            if not any(encoded):
                raise ValueError(f"expected at least one of {', '.join(VIEW_NAMES)}, found none")
            studies.append(preprocess_study(encoded, settings))
        except (ValueError, OSError) as error:
            faults.append(f"row {name}: {error}")
    if faults:
        raise ValueError("\n  ".join([f"{len(faults)} of {len(rows)} studies cannot be scored:", *faults]))
    views, present = zip(*studies, strict=True)
    return np.stack(views), np.stack(present)


def _encoded(value: object) -> bytes:
    """The image's bytes: as given, or read from the path or URI given."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | Path) and str(value):
        return storage.read_bytes(str(value))
    return b""


mlflow.models.set_model(Predictor())
