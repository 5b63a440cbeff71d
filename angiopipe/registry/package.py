"""What goes into the registry with a model: its files, code, requirements, signature and example."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

import angiopipe
from angiopipe import storage
from angiopipe.records.manifest import MANIFEST_NAME, ModelManifest
from angiopipe.study import LABELS, VIEW_NAMES

PREDICTOR_FILE = Path(__file__).with_name("predictor.py")
CODE_FOLDER = Path(angiopipe.__file__).parent

_REQUIRED = (
    "fsspec", "google-crc32c", "keras", "mlflow", "numpy", "opencv-python-headless", "pandas", "protobuf",
    "pydantic", "scikit-learn", "tqdm",
)  # fmt: skip
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu")


def signature() -> ModelSignature:
    """Eight optional binary columns in, 22 probabilities and the names of absent views out.

    A path or URI passes as a string in a binary column.
    """
    inputs = Schema([ColSpec("binary", view, required=False) for view in VIEW_NAMES])
    outputs = Schema([*(ColSpec("float", label) for label in LABELS), ColSpec("string", "missing_views")])
    return ModelSignature(inputs=inputs, outputs=outputs)


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
def model_files(model: ModelManifest) -> Iterator[Path]:
    """A folder with the model's manifest and weights, as the predictor finds them."""
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        (folder / Path(model.weights_uri).name).write_bytes(storage.read_bytes(model.weights_uri))
        model.write(str(folder / MANIFEST_NAME))
        yield folder


def _tensorflow_pin() -> str:
    for name in _TENSORFLOWS:
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise ImportError("expected TensorFlow to be installed: pip install angiopipe[train]")
