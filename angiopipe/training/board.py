"""TensorBoard: scalars of every epoch and a profile of some steps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import tensorflow as tf

from angiopipe import storage

_PROFILED_STEPS = 10


def _scalar_metadata() -> tf.compat.v1.SummaryMetadata:
    """What `tf.summary.scalar` says, which needs TensorBoard installed only to write."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    return metadata


class Board:
    """Writes what TensorBoard shows under a folder.

    TensorFlow cannot write to every store, so a remote folder is filled from a local one at the end.
    """

    def __init__(self, folder: str, profile: bool = False):
        """Shows scalars, and with `profile` a trace of ten steps after the first call."""
        self.folder, self.profile = folder, profile
        self.calls = self.profiled = 0
        self.cleanup = ExitStack()

    def __enter__(self) -> Self:
        if storage.is_local(self.folder):
            self.local = storage.local_path(self.folder)
        else:
            self.local = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="angiopipe-")))
        self.writer = tf.summary.create_file_writer(str(self.local))
        return self

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        with self.writer.as_default():
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), epoch, _scalar_metadata())
        self.writer.flush()

    def before_call(self) -> None:
        """Begins the profile with the second call: the first one traces the graph."""
        self.calls += 1
        if self.profile and self.calls == 2:
            tf.profiler.experimental.start(str(self.local))

    def after_call(self, steps: int) -> None:
        if not self.profile or self.calls < 2:
            return
        self.profiled += steps
        if self.profiled >= _PROFILED_STEPS:
            self._end_profile()

    def _end_profile(self) -> None:
        self.profile = False
        tf.profiler.experimental.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.profile and self.calls >= 2:
            self._end_profile()
        self.writer.close()
        if not storage.is_local(self.folder):
            for path in self.local.rglob("*"):
                if path.is_file():
                    uri = storage.join(self.folder, path.relative_to(self.local).as_posix())
                    storage.write_bytes(uri, path.read_bytes())
        self.cleanup.close()
