"""What a caller sends of one view, and the error that names all that is wrong with a request."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from PIL import Image

from angiopipe import storage
from angiopipe.cohort.deidentify import clean
from angiopipe.cohort.examine import refuse_unsafe
from angiopipe.imaging import dicom

MOST_LINES = 20
"""Of an error; what is wrong beyond them is counted, and its rows are named."""

LONGEST_SHOWN = 200
"""Characters of what was sent that an error repeats: enough to find it, too few to give an image away."""

LONGEST_PATH = 4096
"""Characters; what is longer is base64, as MLflow stores the bytes of an input example. Source: Linux's PATH_MAX."""


class FaultyRequest(MlflowException, ValueError):
    """A request that cannot be scored; MLflow's server answers it with status 400 and these words.

    Attributes:
      faults: one line each: row, view, what was expected, what was found, the remedy.
    """

    def __init__(self, summary: str, faults: Sequence[str] = (), told: Sequence[str] | None = None):
        """An error of so many faults.

        Args:
          summary: its first line.
          faults: all of them.
          told: the lines that follow the first one where the faults themselves are too many.
        """
        lines = [summary, *(faults if told is None else told)]
        MlflowException.__init__(self, "\n  ".join(lines), error_code=INVALID_PARAMETER_VALUE)
        self.faults = list(faults)


def refuse_rows(faults: Sequence[tuple[int, str]], index: pd.Index) -> None:
    """Raises FaultyRequest if there are faults; it names every faulty row, and stays short.

    Args:
      faults: position of the row, and what is wrong with it.
      index: names the rows.
    """
    if not faults:
        return
    lines = [f"{row_of([row], index)}{fault}" for row, fault in faults]
    raise FaultyRequest(
        f"{len(faults)} faults in {len(index)} studies; nothing was scored:",
        lines, lines if len(lines) <= MOST_LINES else _in_short(faults, index),
    )  # fmt: skip


def _in_short(faults: Sequence[tuple[int, str]], index: pd.Index) -> list[str]:
    """The first kinds of faults, a row of each, and all faulty rows by position."""
    rows: dict[str, list[int]] = {}
    for row, fault in faults:
        rows.setdefault(fault, []).append(row)
    lines = [f"{row_of(where, index)}{fault}" for fault, where in rows.items()]
    more = [f"and {len(lines) - MOST_LINES} other kinds of faults"] if len(lines) > MOST_LINES else []
    return [*lines[:MOST_LINES], *more, f"faulty rows, counted from 0: {runs([row for row, _ in faults])}"]


def runs(places: Sequence[int]) -> str:
    """As few words as name each of the places."""
    numbers = np.unique(places)
    apart = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in apart)


def row_of(where: Sequence[int] | np.ndarray, index: pd.Index) -> str:
    """The first of the rows at these positions, and how many others, to begin a fault with."""
    others = f" and {len(where) - 1} others" if len(where) > 1 else ""
    return f"row {cut(str(index[where[0]]))}{others}, "


def is_served() -> bool:
    """Whether the caller is at the other end of `mlflow models serve`."""
    return bool(_MLFLOW_IS_IN_SERVING_ENVIRONMENT.get())


def cut(text: str) -> str:
    """The beginning of what was sent, for an error."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


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
    if pd.api.types.is_scalar(value) and pd.isna(value):
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
            f"expected a file that can be read, found {type(error).__name__} at {cut(uri)}; check the path, "
            "its permissions, and that fsspec has a driver for it"
        ) from None
    if not content:
        raise ValueError(
            f"expected an image, found an empty file at {cut(uri)}; copy it again from its source"
        )
    return content
