"""TFRecord framing without TensorFlow: length, checksum, payload, checksum.

Source: the format note in TensorFlow's `record_writer.h`. Checksums are masked CRC-32C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

_MASK_DELTA = 0xA282EAD8


class CorruptRecord(ValueError):
    """A TFRecord file whose bytes are not what was written."""


def masked_crc(payload: bytes) -> int:
    """The CRC-32C of `payload`, rotated right by 15 bits and offset, as TFRecord stores it."""
    crc = google_crc32c.value(payload)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def write_record(file: BinaryIO, payload: bytes) -> None:
    length = struct.pack("<Q", len(payload))
    file.write(length)
    file.write(struct.pack("<I", masked_crc(length)))
    file.write(payload)
    file.write(struct.pack("<I", masked_crc(payload)))


def read_records(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file, one at a time.

    Args:
      file: open for reading in binary mode.
      name: what errors call the file.

    Raises:
      CorruptRecord: the file is truncated or a checksum does not fit; names the file and offset.
    """
    offset = 0
    while header := file.read(12):
        length = _checked_length(header, name, offset)
        payload, crc = file.read(length), file.read(4)
        if len(payload) + len(crc) != length + 4:
            raise CorruptRecord(
                f"{name}: record at byte {offset}: expected {length + 4} more bytes, found {len(payload) + len(crc)}"
            )
        if struct.unpack("<I", crc)[0] != masked_crc(payload):
            raise CorruptRecord(f"{name}: record at byte {offset}: its checksum does not fit its content")
        yield payload
        offset += 12 + length + 4


def _checked_length(header: bytes, name: str, offset: int) -> int:
    if len(header) == 12:
        length, crc = struct.unpack("<QI", header)
        if crc == masked_crc(header[:8]):
            return int(length)
    raise CorruptRecord(
        f"{name}: record at byte {offset}: its length is truncated or its checksum does not fit"
    )
