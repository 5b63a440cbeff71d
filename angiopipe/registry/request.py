"""What a caller sends: a study a row, a view a column; all that is wrong with it, in one error."""

from __future__ import annotations

import base64
import binascii
import inspect
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PyFuncModel
from PIL import Image

from angiopipe import storage
from angiopipe.cohort.deidentify import clean
from angiopipe.cohort.examine import refuse_unsafe
from angiopipe.imaging import dicom
from angiopipe.registry.experimental import columns
from angiopipe.study import VIEW_NAMES

LONGEST_PATH = 4096
"""Characters; what is longer is base64, as MLflow stores the bytes of an input example. Source: Linux's PATH_MAX."""


class FaultyRequest(MlflowException, ValueError):
    """A request that cannot be scored; MLflow's server answers it with status 400 and these words.

    Attributes:
      faults: one line each: row, view, what was expected, what was found, the remedy.
    """

    def __init__(self, summary: str, faults: Sequence[str] = ()):
        MlflowException.__init__(self, "\n  ".join([summary, *faults]), error_code=INVALID_PARAMETER_VALUE)
        self.faults = list(faults)


def is_served() -> bool:
    """Whether the caller is at the other end of `mlflow models serve`."""
    return bool(_MLFLOW_IS_IN_SERVING_ENVIRONMENT.get())


def refuse_unknown_columns(model_input: pd.DataFrame, told: Sequence[str] = ()) -> None:
    """Raises FaultyRequest if a column is none of ours: a misspelt view must not pass for an absent one.

    Args:
      model_input: what was sent.
      told: the clinical variables that enter the model.
    """
    sent, known = [str(column) for column in _sent_columns(model_input)], (*VIEW_NAMES, *columns(told))
    wrong = [
        f"column {name!r} is no view, and none of {', '.join(columns(told))}"
        for name in dict.fromkeys(sent)
        if name not in known
    ]
    wrong += [f"column {name} is there {sent.count(name)} times" for name in known if sent.count(name) > 1]
    if wrong:
        raise FaultyRequest(f"expected columns named {', '.join(VIEW_NAMES)}; nothing was scored:", wrong)


def _sent_columns(model_input: pd.DataFrame) -> Sequence[Any]:
    """The columns as the caller gave them.

    MLflow takes out of a table what the signature does not name, and tells it to a log alone. What
    the caller gave is still at hand in `PyFuncModel.predict`, which called us.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not PyFuncModel.predict.__code__:
        frame = frame.f_back
    sent = frame.f_locals.get("data") if frame else None
    return list(sent) if isinstance(sent, pd.DataFrame | dict) else list(model_input)


def read_view(value: object) -> bytes:
    """One view, safe to decode, as ingest would have stored it.

    Args:
      value: JPEG, PNG, TIFF or DICOM bytes; or a path or URI of such a file; or, from a client of the
        server or longer than any path, the bytes in base64. None, NaN or empty where the view is absent.

    Returns:
      JPEG or PNG bytes without metadata; empty where the view is absent.

    Raises:
      ValueError: it is none of these, is damaged, too small, or would unpack to far too many pixels.
    """
    content = _content(value)
    if not content:
        return b""
    if not dicom.is_dicom(content):
        refuse_unsafe(content)
    return clean(content).content


def longer_side(content: bytes) -> int:
    """The longer of rows and columns of an image from `read_view`, pixels; decodes none."""
    with Image.open(io.BytesIO(content)) as image:
        return max(image.size)


def _content(value: object) -> bytes:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str) and (is_served() or len(value) > LONGEST_PATH):
        return _from_base64(value)
    if isinstance(value, str | Path):
        return _file(str(value)) if str(value) else b""
    raise ValueError(
        f"expected an image's bytes, its path or URI, found {type(value).__name__}; encode pixels as PNG"
    )


def _from_base64(text: str) -> bytes:
    """A server opens no paths: whoever reaches it could read its files, and its network's."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"expected an image's bytes in base64, found {len(text)} characters that are not; "
            "encode the file, as a server reads no paths"
        ) from None


def _file(uri: str) -> bytes:
    try:
        content = storage.read_bytes(uri)
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(
            f"expected a file that can be read, found {type(error).__name__} at {uri}; check the path, "
            "its permissions, and that fsspec has a driver for it"
        ) from None
    if not content:
        raise ValueError(f"expected an image, found an empty file at {uri}; copy it again from its source")
    return content
