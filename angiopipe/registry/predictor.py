"""The registered model: raw images in, probabilities and a decision out. MLflow loads it from this file.

It carries the library with it (`code_paths`), so the preprocessing that scores is the one that
trained, and the reader of the registry installs nothing of ours.
"""

from __future__ import annotations

import logging
import os
import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd

from angiopipe import defaults
from angiopipe.registry.request import FaultyRequest, is_served, read_view, refuse_unknown_columns
from angiopipe.study import LABELS, VIEW_NAMES

if TYPE_CHECKING:
    from angiopipe.recipe import Preprocessing
    from angiopipe.records.manifest import OperatingThreshold

log = logging.getLogger("angiopipe.registry.predictor")  # MLflow runs this file under a name of its own.

BATCH_STUDIES = 8
"""Studies read together, and on a GPU scored together; bounds the memory of a call with many rows.

A CPU scores one at a time: octoview's layers for one study fit its caches, and eight took 6.4 s one by
one, 12.2 s together (two busy cores).
"""

DECISION, OPERATING_POINT, MISSING_VIEWS = "decision", "operating_point", "missing_views"


class Predictor(mlflow.pyfunc.PythonModel):
    """Scores studies: one row each, eight columns named by view."""

    def load_context(self, context: Any) -> None:
        """Rebuilds the model from what the package holds, and runs it once, so that the first study need not wait."""
        import tensorflow as tf

        from angiopipe import models
        from angiopipe.records.manifest import MANIFEST_NAME, EvaluationManifest, ModelManifest
        from angiopipe.registry.package import EVALUATION_NAME, PREPROCESSING_NAME
        from angiopipe.training.predict import scorer

        folder = context.artifacts["model"]
        manifest = ModelManifest.read(posixpath.join(folder, MANIFEST_NAME))
        self.evaluation = EvaluationManifest.read(posixpath.join(folder, EVALUATION_NAME))
        self.preprocessing = manifest.recipe.preprocessing
        _warn_of_other_code(self.preprocessing, posixpath.join(folder, PREPROCESSING_NAME))
        self.forward = scorer(models.load(manifest.model_copy(update={"location": folder})))
        self.probabilities = models.probabilities
        self.at_once = BATCH_STUDIES if tf.config.list_physical_devices("GPU") else 1
        self.readers = ThreadPoolExecutor(os.cpu_count())
        self._logits(
            np.zeros((1, *self.preprocessing.shape), np.uint8), np.ones((1, len(VIEW_NAMES)), np.uint8)
        )

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores studies.

        Args:
          context: not used; MLflow gives it.
          model_input: a row a study; columns LI-A ... RV-B hold an encoded image's bytes, or the
            path or URI of one (base64 where a server is asked). Null, empty or no column means that
            the view is absent.
          params: `operating_point`, one of those chosen on the validation studies.

        Returns:
          The input's index; columns `Aneurysm` and the 21 locations (calibrated probabilities,
          float32; NaN, or null from a server, where the model predicts none), `decision` (1 where
          `Aneurysm` reaches the operating point's threshold, else 0), `operating_point` (its name)
          and `missing_views` (their names, comma-separated).

        Raises:
          FaultyRequest: a column is no view's, an image cannot be used, a study has no view, or
            there is no such operating point; names every faulty row and view.
        """
        refuse_unknown_columns(model_input)
        point = self._operating_point((params or {}).get(OPERATING_POINT) or defaults.OPERATING_POINT)
        tables, faults = [], []
        for start in range(0, max(1, len(model_input)), BATCH_STUDIES):
            rows = model_input.iloc[start : start + BATCH_STUDIES]
            views, present, found = self._prepared(rows)
            faults += found
            if not faults:
                tables.append(self._table(rows.index, self._logits(views, present), present, point))
        if faults:
            raise FaultyRequest(
                f"{len(faults)} faults in {len(model_input)} studies; nothing was scored:", faults
            )
        return pd.concat(tables)

    def _prepared(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Views and presence as the model takes them, and what is wrong with the rows."""
        columns = [rows[view] if view in rows else [None] * len(rows) for view in VIEW_NAMES]
        cells = [value for row in zip(*columns, strict=True) for value in row]
        views = np.zeros((len(rows), *self.preprocessing.shape), np.uint8)
        present = np.zeros((len(rows), len(VIEW_NAMES)), np.uint8)
        faults: dict[int, list[str]] = {}
        for cell, outcome in enumerate(self.readers.map(self._view, cells)):
            row, view = divmod(cell, len(VIEW_NAMES))
            if isinstance(outcome, ValueError):
                faults.setdefault(row, []).append(f"view {VIEW_NAMES[view]}: {outcome}")
            elif outcome is not None:
                views[row, view], present[row, view] = outcome, 1
        for row in np.flatnonzero(~present.any(axis=1)).tolist():
            faults.setdefault(row, [f"expected at least one of {', '.join(VIEW_NAMES)}, found none"])
        told = [f"row {rows.index[row]}, {fault}" for row, found in sorted(faults.items()) for fault in found]
        return views, present, told

    def _view(self, value: object) -> np.ndarray | ValueError | None:
        """(rows, columns, channels) uint8; what is wrong with the view; None where it is absent."""
        from angiopipe.imaging.preprocess import preprocess_view

        try:
            content = read_view(value)
            if not content:
                return None
            view = preprocess_view(content, self.preprocessing)
        except ValueError as error:
            return error
        if view.min() == view.max():
            return ValueError(
                "expected an angiogram, found the same grey everywhere; export the exposure again"
            )
        return view

    def _logits(self, views: np.ndarray, present: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        starts = range(0, max(1, len(views)), self.at_once)
        parts = [slice(start, start + self.at_once) for start in starts]
        return np.concatenate(
            [self.forward(tf.constant(views[part]), tf.constant(present[part])).numpy() for part in parts]
        )

    def _table(
        self, index: pd.Index, logits: np.ndarray, present: np.ndarray, point: OperatingThreshold
    ) -> pd.DataFrame:
        probabilities = self.probabilities(logits, self.evaluation.calibration)
        table = pd.DataFrame(probabilities, index=index, columns=list(LABELS))
        if is_served():  # JSON has no NaN.
            table = table.astype(object).where(table.notna(), None)
        table[DECISION] = (probabilities[:, 0] >= point.threshold).astype(np.int64)
        table[OPERATING_POINT] = point.name
        table[MISSING_VIEWS] = [
            ",".join(name for name, there in zip(VIEW_NAMES, row, strict=True) if not there)
            for row in present
        ]
        return table

    def _operating_point(self, name: str) -> OperatingThreshold:
        try:
            return self.evaluation.operating_point(name)
        except ValueError as error:
            raise FaultyRequest(str(error)) from None


def _warn_of_other_code(settings: Preprocessing, uri: str) -> None:
    """Tells if this process has an angiopipe of its own, which Python then takes for the package's."""
    from angiopipe import storage
    from angiopipe.imaging.preprocess import preprocessing_version

    packaged, here = storage.read_text(uri), preprocessing_version(settings)
    if packaged != here:
        log.warning(
            "expected the preprocessing %s that the model was packaged with, found %s in this process; its "
            "answers may differ: load it with its own OpenCV, where no other angiopipe is imported",
            packaged, here,
        )  # fmt: skip


mlflow.models.set_model(Predictor())
