"""The registered model: raw images in, probabilities and a decision out. MLflow loads it from this file.

It carries the library with it (`code_paths`), so the preprocessing that scores is the one that
trained, and the reader of the registry installs nothing of ours.
"""

from __future__ import annotations

import logging
import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd

from angiopipe.clinical import ENCODED
from angiopipe.environment import usable_cores
from angiopipe.registry.experimental import Known, read_known, sizes
from angiopipe.registry.experimental import answers as experimental_answers
from angiopipe.registry.request import FaultyRequest, cut, is_served, longer_side, read_view, refuse_rows
from angiopipe.registry.server import take_requests
from angiopipe.registry.table import (
    OPERATING_POINT,
    read_operating_point,
    read_table,
    sent_params,
)
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

DECISION, MISSING_VIEWS = "decision", "missing_views"


class Studies(NamedTuple):
    """Studies as the model takes them.

    Attributes:
      views: (n, 8, size, size, channels) uint8, zeros where one is absent.
      present: (n, 8) uint8.
      sides: (n, 8) int64, the longer of rows and columns of each view as it came, pixels.
      known: what else was told of them.
    """

    views: np.ndarray
    present: np.ndarray
    sides: np.ndarray
    known: Known


class Predictor(mlflow.pyfunc.PythonModel):
    """Scores studies: one row each, eight columns named by view."""

    def load_context(self, context: Any) -> None:
        """Rebuilds the model from what the package holds, and runs it once, so that the first study need not wait."""
        import tensorflow as tf

        from angiopipe import models
        from angiopipe.records.manifest import MANIFEST_NAME, EvaluationManifest, ModelManifest, clinical_of
        from angiopipe.registry.package import EVALUATION_NAME, PREPROCESSING_NAME
        from angiopipe.training.predict import scorer

        take_requests()
        folder = context.artifacts["model"]
        manifest = ModelManifest.read(posixpath.join(folder, MANIFEST_NAME))
        self.evaluation = EvaluationManifest.read(posixpath.join(folder, EVALUATION_NAME))
        self.preprocessing = manifest.recipe.preprocessing
        _warn_of_other_code(self.preprocessing, posixpath.join(folder, PREPROCESSING_NAME))
        network = models.load(manifest.model_copy(update={"location": folder}))
        with_maps = models.with_evidence(network)
        self.forward = scorer(network)
        self.forward_with_maps = scorer(with_maps) if with_maps else None
        self.probabilities = models.probabilities
        self.at_once = BATCH_STUDIES if tf.config.list_physical_devices("GPU") else 1
        self.readers = ThreadPoolExecutor(usable_cores())
        self.told = clinical_of(manifest.recipe)
        views = tf.zeros((1, *self.preprocessing.shape), tf.uint8)
        present = tf.ones((1, len(VIEW_NAMES)), tf.uint8)
        warmed_up = self.forward({"views": views, "present": present, "clinical": tf.zeros((1, ENCODED))})
        self.outputs = warmed_up.shape[1]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores studies.

        Args:
          context: not used; MLflow gives it.
          model_input: a row a study, in any form of `table.read_table` (MLflow knows no hint for all of
            them); columns LI-A ... RV-B hold an encoded image's bytes, or the
            path or URI of one (base64 where a server is asked). Null, empty or no column means that
            the view is absent. Experimental, and likewise optional: `mm_per_pixel` of the pictures
            as they came, at the isocentre, and `age`, `hypertension`, `earlier_bleeding` and
            `population` as `angiopipe.clinical` has them, and whatever else of it enters the model.
          params: `operating_point`, one of those chosen on the validation studies.

        Returns:
          The input's index; columns `Aneurysm` and the 21 locations (calibrated probabilities,
          float32; NaN, or null from a server, where the model predicts none), `decision` (1 where
          `Aneurysm` reaches the operating point's threshold, else 0), `operating_point` (its name)
          and `missing_views` (their names, comma-separated); and `experimental.ANSWERS`, float64,
          NaN (null) where not known.

        Raises:
          FaultyRequest: it cannot be read as studies, a column has another name, an image or a value
            cannot be used, a study has no view, or there is no such operating point or parameter; names
            every faulty row and column.
        """
        point = self._operating_point(read_operating_point(sent_params(self, params)))
        table = read_table(model_input, self.told)
        answers, faults = [], []
        for start in range(0, max(1, len(table)), BATCH_STUDIES):
            rows = table.iloc[start : start + BATCH_STUDIES]
            studies, found = self._prepared(rows)
            faults += [(start + row, fault) for row, fault in found]
            if not faults:
                answers.append(self._table(rows.index, studies, point))
        refuse_rows(faults, table.index)
        return pd.concat(answers)

    def _prepared(self, rows: pd.DataFrame) -> tuple[Studies, list[tuple[int, str]]]:
        """The rows as the model takes them, and what is wrong with which of them."""
        columns = [rows[view] if view in rows else [None] * len(rows) for view in VIEW_NAMES]
        cells = [value for row in zip(*columns, strict=True) for value in row]
        views = np.zeros((len(rows), *self.preprocessing.shape), np.uint8)
        present, sides = (np.zeros((len(rows), len(VIEW_NAMES)), kind) for kind in (np.uint8, np.int64))
        faults: dict[int, list[str]] = {}
        for cell, outcome in enumerate(self.readers.map(self._view, cells)):
            row, view = divmod(cell, len(VIEW_NAMES))
            if isinstance(outcome, ValueError):
                faults.setdefault(row, []).append(f"view {VIEW_NAMES[view]}: {outcome}")
            elif outcome is not None:
                views[row, view], sides[row, view], present[row, view] = *outcome, 1
        for row in np.flatnonzero(~present.any(axis=1)).tolist():
            faults.setdefault(row, [f"expected at least one of {', '.join(VIEW_NAMES)}, found none"])
        known = read_known(rows, self.told)
        for row, found in known.faults.items():
            faults.setdefault(row, []).extend(found)
        told = [(row, fault) for row, found in sorted(faults.items()) for fault in found]
        return Studies(views, present, sides, known), told

    def _view(self, value: object) -> tuple[np.ndarray, int] | ValueError | None:
        """(size, size, channels) uint8 and the longer side that was; what is wrong; None where it is absent."""
        from angiopipe.imaging.preprocess import preprocess_view

        try:
            content = read_view(value)
            if not content:
                return None
            view, side = preprocess_view(content, self.preprocessing), longer_side(content)
        except ValueError as error:
            return error
        if view.min() == view.max():
            return ValueError(
                "expected an angiogram, found the same grey everywhere; export the exposure again"
            )
        return view, side

    def _scored(self, studies: Studies) -> tuple[np.ndarray, np.ndarray]:
        """Logits, and sizes in mm; the maps are asked for only where a spacing is known."""
        # Not every processor's convolutions take a batch of no studies.
        logits = [np.zeros((0, self.outputs), np.float32)]
        sizes_mm = np.full(len(studies.views), np.nan)
        for start in range(0, len(studies.views), self.at_once):
            part = slice(start, start + self.at_once)
            inputs = {
                "views": studies.views[part],
                "present": studies.present[part],
                "clinical": studies.known.encoded[part],
            }
            spacings = studies.known.mm_per_pixel[part]
            if self.forward_with_maps is None or np.isnan(spacings).all():
                logits.append(self.forward(inputs).numpy())
                continue
            found, maps = (output.numpy() for output in self.forward_with_maps(inputs))
            logits.append(found)
            sizes_mm[part] = sizes(maps, studies.present[part], studies.sides[part], spacings)
        return np.concatenate(logits), sizes_mm

    def _table(self, index: pd.Index, studies: Studies, point: OperatingThreshold) -> pd.DataFrame:
        logits, sizes_mm = self._scored(studies)
        probabilities = self.probabilities(logits, self.evaluation.calibration)
        decided = (probabilities[:, 0] >= point.threshold).astype(np.int64)
        table = pd.DataFrame(probabilities, index=index, columns=list(LABELS))
        table[DECISION] = decided
        table[OPERATING_POINT] = point.name
        table[MISSING_VIEWS] = [
            ",".join(name for name, there in zip(VIEW_NAMES, row, strict=True) if not there)
            for row in studies.present
        ]
        more = experimental_answers(probabilities, decided, sizes_mm, studies.known.patients)
        table = table.assign(**more)
        if is_served():  # JSON has no NaN.
            for name in table.columns[table.isna().any()]:
                table[name] = table[name].astype(object).where(table[name].notna(), None)
        return table

    def _operating_point(self, name: str) -> OperatingThreshold:
        try:
            return self.evaluation.operating_point(cut(name))
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
