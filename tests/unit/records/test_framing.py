import io

import pytest

from angiopipe.records.framing import CorruptRecord, read_records, write_record


def framed(*payloads: bytes) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    return file.getvalue()


def test_records_are_read_back():
    payloads = [b"", b"a", b"b" * 100_000]
    assert list(read_records(io.BytesIO(framed(*payloads)), "x")) == payloads


def test_tensorflow_reads_what_we_write(tmp_path):
    import tensorflow as tf

    path = tmp_path / "a.tfrecord"
    path.write_bytes(framed(b"one", b"two"))
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == [b"one", b"two"]


def test_we_read_what_tensorflow_writes(tmp_path):
    import tensorflow as tf

    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"one")
        writer.write(b"two")
    with open(path, "rb") as file:
        assert list(read_records(file, path)) == [b"one", b"two"]


@pytest.mark.parametrize("position", range(len(framed(b"payload"))))
def test_any_flipped_byte_is_found(position):
    damaged = bytearray(framed(b"payload"))
    damaged[position] ^= 0x10
    with pytest.raises(CorruptRecord, match="shard-3: record at byte 0"):
        list(read_records(io.BytesIO(bytes(damaged)), "shard-3"))


@pytest.mark.parametrize("length", [5, 13, len(framed(b"one")) + 3])
def test_a_truncated_file_is_found(length):
    with pytest.raises(CorruptRecord):
        list(read_records(io.BytesIO(framed(b"one", b"two")[:length]), "x"))
