import hashlib
from dataclasses import replace

import numpy as np

from angiopipe.clinical import encode
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


WITHOUT = StudyRecord(
    "A-1",
    "test",
    np.eye(22, dtype=np.uint8)[3],
    (b"1", b"", *(b"3",) * 6),
    ("ab",) * 8,
    ("cd",) * 8,
    ((7, 9),) * 8,
)
EXAMPLE = ExampleRecord(
    "7",
    np.ones(22, np.uint8),
    np.ones(8, np.uint8),
    np.zeros((8, 1, 1, 1), np.uint8),
    ("ab",) * 8,
    ((2, 3),) * 8,
)


def test_records_without_clinical_data_are_the_bytes_they_were_before_there_was_any():
    assert hashlib.sha256(WITHOUT.encode()).hexdigest()[:16] == "d65c562ff1867700"
    assert hashlib.sha256(EXAMPLE.encode()).hexdigest()[:16] == "6f6733dc785c9741"
    assert StudyRecord.decode(WITHOUT.encode()).clinical == ()
    assert ExampleRecord.decode(EXAMPLE.encode(), (8, 1, 1, 1)).clinical is None


def test_clinical_values_survive_their_record():
    values = (63, -1, 0, 1, -1, 1)
    study = replace(WITHOUT, clinical=values)
    assert StudyRecord.decode(study.encode()).clinical == values
    example = replace(EXAMPLE, clinical=encode(values))
    np.testing.assert_array_equal(
        ExampleRecord.decode(example.encode(), (8, 1, 1, 1)).clinical, encode(values)
    )


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
