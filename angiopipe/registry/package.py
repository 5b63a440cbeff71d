"""What goes into the registry with a model: its files, code, requirements, signature and example."""

from __future__ import annotations

import importlib.metadata
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

import angiopipe
from angiopipe import defaults, storage
from angiopipe.records.manifest import MANIFEST_NAME, EvaluationManifest, ModelManifest, clinical_of
from angiopipe.registry.experimental import ANSWERS, columns
from angiopipe.study import ANEURYSM, LABELS, VIEW_NAMES

PREDICTOR_FILE = Path(__file__).with_name("predictor.py")
CODE_FOLDER = Path(angiopipe.__file__).parent

EVALUATION_NAME = "evaluation.json"
"""The evaluation's manifest in the package: its calibration and operating points decide."""

PREPROCESSING_NAME = "preprocessing_version"
"""What the model's preprocessing was when it was packaged: its fields, the version of its pixels, OpenCV."""

_REQUIRED = (
    "fsspec", "keras", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic", "pydicom",
    "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "simplejpeg",
)  # fmt: skip
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu")

TOLD = "clinical"
"""Of the metadata that MLflow keeps with a model: the clinical variables that enter it. The signature's
columns do not say it, since every model takes those of PHASES."""


def signature(told: Sequence[str] = ()) -> ModelSignature:
    """Eight optional views and what is known besides in; 22 probabilities and what follows from them out.

    A view's column holds bytes, a path or a URI, or nothing, which of MLflow's types only `any` says.

    Args:
      told: the clinical variables that enter the model.
    """
    inputs = Schema([ColSpec(AnyType(), view, required=False) for view in (*VIEW_NAMES, *columns(told))])
    outputs = Schema(
        [
            *(ColSpec("float", label, required=label == ANEURYSM) for label in LABELS),
            ColSpec("long", "decision"),
            ColSpec("string", "operating_point"),
            ColSpec("string", "missing_views"),
            *(ColSpec("double", name, required=False) for name in ANSWERS),
        ]
    )
    params = ParamSchema([ParamSpec("operating_point", DataType.string, defaults.OPERATING_POINT)])
    described = ModelSignature(inputs=inputs, outputs=outputs, params=params)
    # MLflow's mark of a model that checks its input itself. Else it drops columns that are not above (a misspelt
    # view would pass for an absent one) and sends images back in its errors.
    described._is_signature_from_type_hint = True
    return described


@contextmanager
def contents(model: ModelManifest, evaluation: EvaluationManifest) -> Iterator[dict[str, Any]]:
    """The arguments of MLflow's `log_model` and `save_model`; the files they name stay for the block."""
    with model_files(model, evaluation) as folder:
        yield {
            "python_model": str(PREDICTOR_FILE),
            "artifacts": {"model": str(folder)},
            "code_paths": [str(CODE_FOLDER)],
            "signature": signature(clinical_of(model.recipe)),
            "input_example": input_example(),
            "metadata": {TOLD: list(clinical_of(model.recipe))},
            "pip_requirements": requirements(),
        }


def requirements() -> list[str]:
    """The packages the predictor imports, pinned to the versions it was tested with here."""
    return sorted([*(f"{name}=={importlib.metadata.version(name)}" for name in _REQUIRED), _tensorflow_pin()])


def input_example() -> pd.DataFrame:
    """A made-up study, never a patient's: examples are shown to everyone who opens the registry."""
    import cv2

    from angiopipe.cohort.synthetic import REALISTIC, make_study

    study = make_study(REALISTIC, size=360, seed=0, number=0)
    views = [cv2.imencode(".jpg", view)[1].tobytes() for view in study.views]
    return pd.DataFrame([dict(zip(VIEW_NAMES, views, strict=True))])


@contextmanager
def model_files(model: ModelManifest, evaluation: EvaluationManifest) -> Iterator[Path]:
    """A folder with the model's manifest and weights, and what is known of it, as the predictor finds them."""
    from angiopipe.imaging.preprocess import preprocessing_version

    with tempfile.TemporaryDirectory(prefix="angiopipe-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        for uri in model.weights_files:
            with storage.staged(uri) as path:
                shutil.copyfile(path, folder / posixpath.basename(uri))
        model.write(str(folder / MANIFEST_NAME))
        evaluation.write(str(folder / EVALUATION_NAME))
        (folder / PREPROCESSING_NAME).write_text(preprocessing_version(model.recipe.preprocessing))
        yield folder


def _tensorflow_pin() -> str:
    for name in _TENSORFLOWS:
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise ImportError("expected TensorFlow to be installed: pip install angiopipe[train]")
