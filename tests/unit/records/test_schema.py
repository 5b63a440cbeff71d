import numpy as np

from angiopipe.records.example import decode_example, encode_example
from angiopipe.records.schema import ExampleRecord, StudyRecord


def test_the_protocol_buffer_is_tensorflows():
    import tensorflow as tf

    ours = encode_example({"b": [b"x", b"y"], "a": [1, -2, 1 << 40]})
    theirs = tf.train.Example(
        features=tf.train.Features(
            feature={
                "a": tf.train.Feature(int64_list=tf.train.Int64List(value=[1, -2, 1 << 40])),
                "b": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x", b"y"])),
            }
        )
    )
    assert ours == theirs.SerializeToString(deterministic=True)
    assert decode_example(theirs.SerializeToString()) == {"a": [1, -2, 1 << 40], "b": [b"x", b"y"]}


def test_a_study_survives_its_record():
    study = StudyRecord(
        index="A-1",
        split="test",
        labels=np.eye(22, dtype=np.uint8)[3],
        views=(b"1", b"", b"3", b"4", b"5", b"6", b"7", b"8"),
        sha256=("ab",) * 8,
        original_sha256=("cd",) * 8,
        sizes=((720, 700),) * 8,
    )
    read = StudyRecord.decode(study.encode())
    np.testing.assert_array_equal(read.labels, study.labels)
    for field in ("index", "split", "views", "sha256", "original_sha256", "sizes"):
        assert getattr(read, field) == getattr(study, field)


def test_an_example_is_decoded_by_a_reshape():
    rng = np.random.default_rng(0)
    example = ExampleRecord(
        "7",
        np.ones(22, np.uint8),
        np.ones(8, np.uint8),
        rng.integers(0, 256, (8, 5, 5, 3), np.uint8),
        sha256=(*("ab",) * 7, ""),
        sizes=(*((720, 700),) * 7, (0, 0)),
    )
    read = ExampleRecord.decode(example.encode(), (8, 5, 5, 3))
    np.testing.assert_array_equal(read.views, example.views)
    assert (read.index, read.sha256, read.sizes) == ("7", example.sha256, example.sizes)
    assert example.encode() == example.encode()
