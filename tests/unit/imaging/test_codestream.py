import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from angiopipe.imaging.codestream import JpegFrame, frame_of, jpeg_frame

VIEW = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)


def encoded(mode: str = "L", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(VIEW).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(200)}])
def test_a_frame_is_what_pillow_reads(mode, options):
    content = encoded(mode, **options)
    with Image.open(io.BytesIO(content)) as image:
        expected = JpegFrame(
            8, image.height, image.width, len(image.getbands()), 0xC2 if "progressive" in options else 0xC0
        )
    assert jpeg_frame(content) == expected
    assert frame_of(content) == expected


# A frame header of 16 x 16 hides behind each: whoever jumps over a length that is not there sees it.
HIDDEN = b"\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0"
BEFORE_A_FRAME = {
    "fill bytes": b"\xff\xff\xff",
    "TEM": b"\xff\x01",
    "a restart": b"\xff\xd0",
    "a comment": b"\xff\xfe" + (2 + len(HIDDEN)).to_bytes(2) + HIDDEN,
    "a restart before a comment": b"\xff\xd3\xff\xfe" + (2 + len(HIDDEN)).to_bytes(2) + HIDDEN,
}


@pytest.mark.parametrize("name", BEFORE_A_FRAME)
def test_markers_are_followed_as_the_decoder_follows_them(name):
    content = encoded()
    content = content[:2] + BEFORE_A_FRAME[name] + content[2:]
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded.shape == (90, 70)
    assert jpeg_frame(content)[1:3] == decoded.shape


@given(st.binary(max_size=300))
def test_no_bytes_keep_the_reader_or_break_it(content):
    frame = jpeg_frame(b"\xff\xd8" + content)
    assert frame is None or 0 <= frame.precision < 256


@pytest.mark.parametrize("end", [2, 20, 95])
def test_a_file_that_ends_before_its_frame_has_none(end):
    assert jpeg_frame(encoded()[:end]) is None
