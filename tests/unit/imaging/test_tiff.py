import io

import cv2
import numpy as np
import pytest
from PIL import Image

from angiopipe.cohort.deidentify import clean
from angiopipe.imaging import tiff
from angiopipe.imaging.decode import decode
from tests.unit.imaging.encoders import by_opencv, by_pillow, view

WHITE_IS_ZERO = {262: 0}


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", None])
def test_white_is_zero_is_turned_the_right_way(bits, compression):
    picture = view(1, bits=bits)
    # Pillow turns 8 bits by itself when it writes them.
    inverted = picture if bits == 8 else ((1 << bits) - 1) - picture
    file = io.BytesIO()
    Image.fromarray(inverted.astype(picture.dtype)).save(
        file, "TIFF", compression=compression, tiffinfo=WHITE_IS_ZERO
    )
    expected = decode(clean(by_pillow("TIFF", picture, compression=compression)).content)
    found = decode(clean(file.getvalue()).content)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_other_samples_than_whole_numbers_are_refused(dtype):
    file = io.BytesIO()
    picture = view(1).astype(dtype)
    if dtype == np.int16:
        made, encoded = cv2.imencode(".tiff", picture)
        assert made
        file.write(encoded.tobytes())
    else:
        Image.fromarray(picture).save(file, "TIFF")
    with pytest.raises(ValueError, match="expected .* in a TIFF, found"):
        clean(file.getvalue())


def test_tiles_and_strips_are_counted():
    content = by_opencv(
        ".tiff", view(1, size=200), cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16
    )
    assert tiff.read(content).shape == (200, 208)
    with pytest.raises(ValueError, match="expected strips( within the file| or tiles that the tags place)"):
        tiff.read(
            content[:-4000] if content[4:8] < (1000).to_bytes(4, "little") else content[: len(content) // 2]
        )
