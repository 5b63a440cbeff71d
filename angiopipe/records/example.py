"""`tf.train.Example` without TensorFlow: the same protocol buffer, from its published schema.

Source of the schema: TensorFlow's `example.proto` and `feature.proto`. It lives in a descriptor
pool of its own, so that it does not clash with TensorFlow's when both are imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Type = descriptor_pb2.FieldDescriptorProto
_PACKAGE = ".tensorflow"
_LENGTH_DELIMITED = 2
_ALL_64_BITS = (1 << 64) - 1  # how protobuf writes a negative integer


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    _add_list(file, "BytesList", _Type.TYPE_BYTES)
    _add_list(file, "Int64List", _Type.TYPE_INT64)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for name, number, kind in (("bytes_list", 1, "BytesList"), ("int64_list", 3, "Int64List")):
        _add_message(feature, name, number, kind).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_Type.TYPE_STRING, label=_Type.LABEL_OPTIONAL)
    _add_message(entry, "value", 2, "Feature")
    _add_message(features, "feature", 1, "Features.FeatureEntry").label = _Type.LABEL_REPEATED
    _add_message(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _add_list(file: descriptor_pb2.FileDescriptorProto, name: str, kind: Any) -> None:
    message = file.message_type.add(name=name)
    message.field.add(name="value", number=1, type=kind, label=_Type.LABEL_REPEATED)


def _add_message(message: Any, name: str, number: int, kind: str) -> Any:
    return message.field.add(
        name=name,
        number=number,
        type=_Type.TYPE_MESSAGE,
        type_name=f"{_PACKAGE}.{kind}",
        label=_Type.LABEL_OPTIONAL,
    )


_Example = _message_class()

Value = Sequence[bytes] | Sequence[int]


def encode_example(features: Mapping[str, Value]) -> bytes:
    """Serialises features as a `tf.train.Example`, the same bytes for the same features.

    Written out here, in the order that protobuf calls deterministic, because protobuf would copy
    every image three times on the way.

    Args:
      features: name to a sequence of bytes or of integers.

    Source: https://protobuf.dev/programming-guides/encoding.
    """
    entries = (_delimited(1, [*_delimited(1, [name.encode()]), *_delimited(2, _feature(values))])
               for name, values in sorted(features.items()))  # fmt: skip
    return b"".join(_delimited(1, [part for entry in entries for part in entry]))


def _feature(values: Value) -> list[bytes]:
    """A `Feature` with a list of bytes (field 1) or of integers (field 3, packed)."""
    if values and isinstance(values[0], bytes):
        return _delimited(1, [part for value in values for part in _delimited(1, [value])])  # type: ignore[list-item]
    packed = b"".join(_varint(value & _ALL_64_BITS) for value in values)  # type: ignore[operator]
    return _delimited(3, _delimited(1, [packed]) if packed else [])


def _delimited(field: int, parts: list[bytes]) -> list[bytes]:
    """The parts behind their field's tag and their length, still apart so that nothing is copied."""
    return [bytes([field << 3 | _LENGTH_DELIMITED]), _varint(sum(map(len, parts))), *parts]


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_example(payload: bytes) -> dict[str, list[Any]]:
    """The features of a serialised `tf.train.Example`: name to list of bytes or integers."""
    example = _Example.FromString(payload)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
    }
