import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angiopipe.imaging import scale
from angiopipe.imaging.decode import decode
from tests.unit.imaging.encoders import by_opencv, view


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("block", ["a block", "text with soft edges", "one dead pixel"])
def test_what_is_burned_in_does_not_make_the_picture_dark(bits, block):
    clean = view(3, bits=bits)
    hot = clean.copy()
    if block == "a block":
        hot[:12, :30] = 65535
    elif block == "one dead pixel":
        hot[5, 5] = 65535
    else:
        hot[:6, :40] = np.linspace(1 << bits, 65535, 240).astype(np.uint16).reshape(6, 40)
    expected, found = decode(by_opencv(".png", clean)), decode(by_opencv(".png", hot))
    untouched = hot == clean
    assert np.array_equal(found[untouched], expected[untouched])
    assert (found[~untouched] == 255).all()


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_a_picture_without_strays_keeps_its_scale(bits):
    assert scale.used_bits(view(4, bits=bits)) == bits


def test_light_that_is_much_of_a_picture_is_no_stray():
    picture = view(5, bits=10)
    picture[:20] = 65000
    assert scale.used_bits(picture) == 16


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_at_most_a_twentieth_is_ever_cut(levels):
    picture = np.array([levels], np.uint16)
    bits = scale.used_bits(picture)
    assert np.count_nonzero(picture >= 1 << bits) <= scale.STRAY_SHARE * picture.size


def test_dark_vessels_are_never_cut():
    """A subtracted view: a flat field, and few, far darker pixels, which are what is looked for."""
    levels = np.concatenate([np.full(9800, 1000.0), np.linspace(0, 990, 200)]).astype(np.float32)
    assert scale.span(levels) == (0, 1000)


def test_stray_levels_at_either_end_are_left_out():
    field = np.linspace(1000, 1400, 5000).astype(np.float32)
    assert scale.span(np.concatenate([field, np.full(60, 9000, np.float32)])) == (1000, 1400)
    assert scale.span(np.concatenate([field, np.full(60, -9000, np.float32)])) == (1000, 1400)
