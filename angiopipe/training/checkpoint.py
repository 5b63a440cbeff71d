"""Checkpoints: the whole state of a training run in one file, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import posixpath
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from angiopipe import storage

if TYPE_CHECKING:  # Who follows a training elsewhere reads how far it is, and needs no TensorFlow.
    import keras
    import tensorflow as tf

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
"""The folder in a run's own, with one for each recipe and member."""

KEPT = 2
"""Checkpoints that stay: the last one, and one before in case it is damaged."""

_PREFIX, _SUFFIX = "checkpoint-", ".npz"


class Checkpoints:
    """The checkpoints of one run: `checkpoint-<step>-<SHA-256>.npz` in a folder of their own.

    A file whose content is not what its name says was truncated or changed, and is passed over.
    """

    def __init__(self, folder: str, variables: Sequence[keras.Variable | tf.Variable], writes: bool):
        """Checkpoints of some variables.

        Args:
          folder: URI; what lies there belongs to this recipe, these examples and this seed.
          variables: of model, optimizer and averages, always in the same order.
          writes: whether this worker is the one that writes.
        """
        self.folder, self.variables, self.writes = folder, list(variables), writes

    def save(self, step: int, progress: dict[str, Any], best: Sequence[np.ndarray]) -> None:
        """Writes a checkpoint and removes those before the last two.

        Args:
          step: of all steps, how many are done.
          progress: what JSON can hold, given back by `restore`.
          best: weights of the best epoch so far.
        """
        if not self.writes:
            return
        arrays: dict[str, Any] = {f"variable-{i}": _value(v) for i, v in enumerate(self.variables)}
        arrays |= {f"best-{i}": weight for i, weight in enumerate(best)}
        arrays["progress"] = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        with tempfile.TemporaryDirectory(prefix="angiopipe-") as folder:
            made = Path(folder) / "checkpoint.npz"
            np.savez(made, **arrays)
            name = f"{_PREFIX}{step:010d}-{storage.file_sha256(made)}{_SUFFIX}"
            with storage.new_file(storage.join(self.folder, name)) as path:
                shutil.move(made, path)
        for uri in self._newest_first()[KEPT:]:
            storage.remove(uri)

    def restore(self) -> tuple[dict[str, Any], list[np.ndarray]] | None:
        """Sets the variables to the newest whole checkpoint; its progress and best weights, or None."""
        for uri in self._newest_first():
            content = storage.read_bytes(uri)
            expected = posixpath.basename(uri).removesuffix(_SUFFIX).rpartition("-")[2]
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                log.warning(
                    "%s: expected SHA-256 %s, found %s; the one before is tried", uri, expected, found
                )
                continue
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                for i, variable in enumerate(self.variables):
                    variable.assign(arrays[f"variable-{i}"])
                best = [arrays[f"best-{i}"] for i in range(sum(name.startswith("best-") for name in arrays))]
                return json.loads(arrays["progress"].tobytes()), best
        return None

    def _newest_first(self) -> list[str]:
        files = storage.list_files(self.folder)
        return [uri for uri in reversed(files) if posixpath.basename(uri).startswith(_PREFIX)]


def steps_done(folder: str) -> int:
    """How many steps the checkpoints in a folder and all folders below it hold: those of each one's newest, added up."""
    names = [posixpath.basename(uri) for uri in storage.list_files(folder)]
    steps = [int(name.split("-")[1]) for name in names if name.startswith(_PREFIX)]
    return max(steps, default=0) + sum(map(steps_done, storage.list_folders(folder)))


def _value(variable: keras.Variable | tf.Variable) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable))
