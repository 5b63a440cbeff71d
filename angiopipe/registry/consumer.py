"""A registered model used as a stranger would: in a process of its own, with its own code.

This process has our library imported, so a model loaded in it would run our code instead of the code it
was registered with, and a champion of last year's recipe would be read by this year's classes.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from angiopipe.clinical import NAMES
from angiopipe.study import LABELS

if TYPE_CHECKING:
    import pandas as pd

PROCESS = Path(__file__).with_name("consumer_process.py")
LAST_LINES = 12


class UnservableModel(ValueError):
    """A registered model that cannot be loaded or does not answer.

    Attributes:
      faults: what the model found wrong with the studies, one line each; empty if it is something else.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()):
        super().__init__(message)
        self.faults = list(faults)


class Consumer:
    """Loads a model from the registry and asks it; the process starts at once and loads meanwhile."""

    def __init__(self, model_uri: str, tracking_uri: str):
        self.model_uri, self.tracking_uri = model_uri, tracking_uri
        self._asking = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed on exit)
        # -P: our folder must not be where the child looks for modules first.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROCESS), model_uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=tempfile.gettempdir(),
            env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_REGISTRY_URI": tracking_uri},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def answer(self, studies: Sequence[Mapping[str, bytes | int | str | None]]) -> np.ndarray:
        """Scores studies.

        Args:
          studies: encoded images by view name; None where a view is absent. What is known of the patient
            by the name of the clinical variable, which a model is told if it takes it.

        Returns:
          (studies, 22) float64 in the order of `study.LABELS`; NaN where the model predicts none.

        Raises:
          UnservableModel: the model cannot be loaded, or failed on these studies.
        """
        return np.asarray(
            self._ask({"rows": list(studies), "labels": list(LABELS), "optional": NAMES}), np.float64
        )

    def predict(self, data: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        """Scores a table as the registered model itself does, with all of its columns.

        Raises:
          UnservableModel: the model cannot be loaded, or refuses the studies.
        """
        with self._asking:
            return self._ask({"table": data, "params": dict(params)})

    def answer_example(self) -> np.ndarray:
        """(1, 22): what the model answers to the made-up study it was registered with.

        Raises:
          UnservableModel: the model cannot be loaded or has no such example.
        """
        return np.asarray(self._ask({"rows": None, "labels": list(LABELS)}), np.float64)

    def strange_packages(self) -> tuple[str, ...]:
        """Packages that are here in other versions than the model was registered with, in MLflow's words."""
        pattern = r"- (\S+ \(current: [^)]*, required: [^)]*\))"
        return tuple(re.findall(pattern, self._told()))

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            answer, error, faults = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self._process.wait()
            lines = "\n    ".join(self._told().strip().splitlines()[-LAST_LINES:])
            raise UnservableModel(
                f"{self.model_uri} could not be loaded (exit {self._process.returncode}):\n    {lines}"
            ) from None
        if error:
            from angiopipe.registry.login import refusal  # MLflow is slow to import.
            from angiopipe.registry.patience import shown

            denied = refusal(shown(self.tracking_uri), f"loading {self.model_uri}", error)
            raise denied or UnservableModel(f"{self.model_uri} {error}", faults)
        return answer

    def _told(self) -> str:
        # The child writes at the file's shared position, which reading must not move.
        descriptor = self._errors.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")
