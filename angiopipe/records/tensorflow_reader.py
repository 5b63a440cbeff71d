"""TensorFlow's own readers, for the audit: its C++ checks, parses and decodes what our code wrote.

Nothing here uses the writer's code: the features are spelled out once more, so that a mistake in
`schema` cannot hide behind itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from angiopipe import storage

BUFFER_BYTES = 8 << 20
"""What is fetched at a time; an object store answers few large requests sooner than many small ones."""

# Length and its checksum before a record's content, the content's checksum after it.
_HEADER_BYTES, _FRAME_BYTES = 12, 16

_BYTES, _NUMBER = tf.string, tf.int64
STUDY = {
    "index": tf.io.FixedLenFeature([], _BYTES),
    "split": tf.io.FixedLenFeature([], _BYTES),
    "labels": tf.io.FixedLenFeature([], _BYTES),
    "views": tf.io.FixedLenFeature([8], _BYTES),
    "sha256": tf.io.FixedLenFeature([8], _BYTES),
    "height": tf.io.FixedLenFeature([8], _NUMBER),
    "width": tf.io.FixedLenFeature([8], _NUMBER),
    # Only where the cohort has clinical data.
    "clinical": tf.io.FixedLenSequenceFeature([], _NUMBER, allow_missing=True),
}
EXAMPLE = {
    **{name: tf.io.FixedLenFeature([], _BYTES) for name in ("index", "labels", "present", "views")},
    "clinical": tf.io.FixedLenFeature([], _BYTES, default_value=b""),
}


class Unreadable(ValueError):
    """What TensorFlow cannot read."""


class DamagedRecord(Unreadable):
    """A record that breaks off or whose checksum does not fit; those after it are out of reach.

    Attributes:
      offset: its first byte in the file.
    """

    def __init__(self, offset: int, message: str):
        super().__init__(message)
        self.offset = offset


def reader_name(location: str) -> str:
    """What reads the shards of a location, with its version."""
    if _through_tensorflow_io(location):
        return f"tensorflow-io {importlib.metadata.version('tensorflow-io')}"
    return f"tensorflow {tf.__version__}"


@contextmanager
def opened(uri: str) -> Iterator[str]:
    """The name by which TensorFlow opens `uri`: itself through tensorflow-io, else a local copy."""
    if _through_tensorflow_io(uri):
        _load_tensorflow_io()
        yield uri
    else:
        with storage.staged(uri) as path:
            yield str(path)


def size_and_sha256(name: str) -> tuple[int, str]:
    """Bytes and SHA-256 of a file, read through TensorFlow's file systems.

    Raises:
      Unreadable: there is no such file, or it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with tf.io.gfile.GFile(name, "rb") as file:
            while content := file.read(BUFFER_BYTES):
                digest.update(content)
                size += len(content)
    except tf.errors.OpError as error:
        raise Unreadable(_told(error)) from None
    return size, digest.hexdigest()


def read_records(name: str, size: int) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, one at a time.

    Args:
      name: from `opened`.
      size: of the file, bytes.

    Raises:
      DamagedRecord: a record breaks off or a checksum does not fit.
    """
    offset = 0
    try:
        for record in tf.data.TFRecordDataset(name, buffer_size=BUFFER_BYTES):
            payload = record.numpy()
            yield payload
            offset += len(payload) + _FRAME_BYTES
    except tf.errors.OpError as error:
        raise DamagedRecord(offset, _damage(_told(error), offset)) from None
    if offset != size:  # TensorFlow takes fewer bytes than a header for the end of the file.
        raise DamagedRecord(offset, f"the file ends inside it, after {size - offset} bytes")


def parse(payload: bytes, features: dict[str, Any]) -> dict[str, Any]:
    """A record's features as NumPy values: bytes, or object and int64 arrays of eight.

    Args:
      payload: a record.
      features: `STUDY` or `EXAMPLE`.

    Raises:
      Unreadable: a feature is missing, of another type or of another length.
    """
    try:
        parsed = tf.io.parse_single_example(payload, features)
    except tf.errors.OpError as error:
        raise Unreadable(_told(error)) from None
    return {name: value.numpy() for name, value in parsed.items()}


def decode_size(content: bytes) -> tuple[int, int]:
    """Rows and columns of an encoded image, all of whose pixels are decoded.

    Raises:
      Unreadable: it cannot be decoded.
    """
    try:
        image = tf.io.decode_image(content, expand_animations=False)
    except tf.errors.OpError as error:
        raise Unreadable(_told(error)) from None
    return int(image.shape[0]), int(image.shape[1])


def _damage(message: str, offset: int) -> str:
    if "truncated record" in message:
        return "the file ends inside it"
    at = re.search(r"corrupted record at (\d+)", message)
    if at and int(at[1]) == offset + _HEADER_BYTES:
        return "its checksum does not fit its content"
    return "the checksum of its length does not fit" if at else message


def _told(error: Exception) -> str:
    """TensorFlow's message without the names of its operations."""
    return re.sub(r"\{\{.*?\}\} | \[Op:.*", "", str(getattr(error, "message", error))).strip()


def _has_tensorflow_io() -> bool:
    return importlib.util.find_spec("tensorflow_io") is not None


def _through_tensorflow_io(uri: str) -> bool:
    return uri.startswith("s3://") and _has_tensorflow_io()


def _load_tensorflow_io() -> None:
    """Imports tensorflow-io, which brings s3://, with the endpoint that the rest of the library uses."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        os.environ.setdefault("S3_ENDPOINT", endpoint)
        if endpoint.startswith("http://"):
            os.environ.setdefault("S3_USE_HTTPS", "0")
            os.environ.setdefault("S3_VERIFY_SSL", "0")
    import tensorflow_io  # noqa: F401
