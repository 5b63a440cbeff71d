import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from angiopipe.imaging import lossless_jpeg
from tests.unit.imaging import encoders

NOISE = np.random.default_rng(0)


@pytest.mark.parametrize("bits", [2, 8, 9, 12, 16])
@pytest.mark.parametrize("predictor", [1, 2, 4])
def test_every_value_comes_back(bits, predictor):
    view = NOISE.integers(0, 1 << bits, (17, 23)).astype(np.uint8 if bits <= 8 else np.uint16)
    found = lossless_jpeg.decode(encoders.lossless_jpeg(view, bits, predictor=predictor))
    assert found.dtype == view.dtype
    assert np.array_equal(found, view)


@pytest.mark.parametrize("bits", [8, 12, 15])
@pytest.mark.parametrize("predictor", [1, 2, 4])
def test_differences_that_wrap_give_the_same_values(bits, predictor):
    """Black beside white is one step down for an encoder that stores differences modulo the precision."""
    view = NOISE.integers(0, 1 << bits, (17, 23)).astype(np.uint8 if bits <= 8 else np.uint16)
    view[::2, ::2], view[::2, 1::2] = 0, (1 << bits) - 1
    wrapped = encoders.lossless_jpeg(view, bits, wrapped=True, predictor=predictor)
    assert wrapped != encoders.lossless_jpeg(view, bits, predictor=predictor)
    assert np.array_equal(lossless_jpeg.decode(wrapped), view)


@pytest.mark.parametrize("wrapped", [False, True])
def test_another_decoder_sees_the_same(wrapped):
    encoded = encoders.lossless_jpeg(encoders.view(1), 8, wrapped)
    other = simplejpeg.decode_jpeg(encoded, "GRAY", strict=True)[..., 0]
    assert np.array_equal(lossless_jpeg.decode(encoded), other)


def restarted(view: np.ndarray, rows: int) -> bytes:
    """A stream that begins anew after so many rows, put together from one stream for each."""
    parts = [encoders.lossless_jpeg(view[at : at + rows], 8) for at in range(0, len(view), rows)]
    scan = parts[0].index(b"\xff\xda")
    head = parts[0][:scan].replace(len(view[:rows]).to_bytes(2, "big") + view.shape[1].to_bytes(2, "big"),
                                   len(view).to_bytes(2, "big") + view.shape[1].to_bytes(2, "big"))  # fmt: skip
    interval = b"\xff\xdd\0\4" + (rows * view.shape[1]).to_bytes(2, "big")
    coded = parts[0][scan : scan + 10]
    for number, part in enumerate(parts):
        coded += (bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b"") + part[
            part.index(b"\xff\xda") + 10 : -2
        ]
    return head + interval + coded + b"\xff\xd9"


def test_restarts_begin_anew():
    view = encoders.view(2, size=30)
    assert np.array_equal(lossless_jpeg.decode(restarted(view, 3)), view)
    assert np.array_equal(lossless_jpeg.decode(restarted(view, 7)), view)


@pytest.mark.parametrize(
    ("found", "put", "message"),
    [
        (b"\xff\xd1", b"\xff\xd2", "expected nothing but restarts, in their order"),
        (b"\xff\xd9", b"", "expected a scan with its end marker"),
        (b"\xff\xc4", b"\xff\xee", "expected the scan's Huffman tables"),
        (b"\xff\xda\0\x08\1\1\0\1", b"\xff\xda\0\x08\1\1\0\x08", "expected a predictor"),
        (b"\x11\0\xff", b"\x11\0\0", "expected a scan in a JPEG, found none"),
    ],
)
def test_what_cannot_be_is_told(found, put, message):
    encoded = restarted(encoders.view(2, size=30), 3)
    assert found in encoded
    with pytest.raises(ValueError, match=message):
        lossless_jpeg.decode(encoded.replace(found, put, 1))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_decoded_or_refused(content, at):
    encoded = encoders.lossless_jpeg(encoders.view(0, size=16), 8)
    told = "expected "
    try:
        lossless_jpeg.decode(encoded[:at] + content + encoded[at + len(content) :])
    except ValueError as error:
        told = str(error)
    assert told.startswith("expected ")
