import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageEnhance, ImageOps

from angiopipe.imaging import coding_vessels, kium_vgg16, octoview
from angiopipe.imaging.decode import decode
from angiopipe.imaging.preprocess import preprocess_study, preprocessing_version
from angiopipe.recipe import CodingVesselsPreprocessing, KiumPreprocessing, OctoviewPreprocessing, load_recipe

SETTINGS = [KiumPreprocessing(size=24), CodingVesselsPreprocessing(size=24), OctoviewPreprocessing(size=24)]


def smooth_noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def test_kium_vgg16_is_the_seeds_own_opencv_calls():
    view = smooth_noise((720, 700))
    expected = cv2.resize(cv2.equalizeHist(view), (224, 224), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(kium_vgg16.transform(view, KiumPreprocessing())[..., 0], expected)


@pytest.mark.parametrize("shape", [(720, 720), (720, 720, 3), (97, 113, 3)])
def test_coding_vessels_is_pillows_within_one_grey_level(shape):
    view = smooth_noise(shape)
    square = coding_vessels.center_crop(view)
    fields = CodingVesselsPreprocessing(size=square.shape[0])
    inverted = ImageOps.invert(Image.fromarray(square).convert("RGB"))
    sharp = ImageEnhance.Sharpness(inverted).enhance(fields.sharpness)
    expected = np.asarray(ImageEnhance.Contrast(sharp).enhance(fields.contrast)).astype(int)
    difference = np.abs(coding_vessels.transform(view, fields) - expected)
    assert (difference <= 1).mean() >= 0.999


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.7, 3.0])
def test_sharpness_and_contrast_follow_pillow_at_any_factor(factor):
    view = smooth_noise((64, 80, 3), seed=1)
    image = Image.fromarray(view)
    for ours, theirs in (
        (coding_vessels.sharpen(view, factor), ImageEnhance.Sharpness(image).enhance(factor)),
        (coding_vessels.contrast(view, factor), ImageEnhance.Contrast(image).enhance(factor)),
    ):
        assert (np.abs(ours.astype(int) - np.asarray(theirs)) <= 1).mean() >= 0.999


def test_octoview_removes_shading_and_keeps_a_vessel():
    columns = np.linspace(120, 230, 256, dtype=np.float32)
    shaded = np.repeat(columns[np.newaxis], 256, axis=0)
    shaded[100:104] *= 0.5
    flat = octoview.transform(shaded.astype(np.uint8), OctoviewPreprocessing(size=256))[..., 0].astype(float)
    background, vessel = flat[:80, 20:-20], flat[101:103, 20:-20]
    assert np.ptp(background) < 0.06 * octoview.BACKGROUND_LEVEL
    assert abs(background.mean() - octoview.BACKGROUND_LEVEL) < 4
    assert vessel.max() < 0.65 * octoview.BACKGROUND_LEVEL


def test_octoview_crops_nothing():
    view = np.full((40, 100), 200, np.uint8)
    view[:, :3] = 20
    square = octoview.pad_square(view)
    assert square.shape == (100, 100)
    np.testing.assert_array_equal(square[30:70], view)


@given(
    view=st.tuples(st.integers(8, 40), st.integers(8, 40), st.sampled_from([(), (3,)])).flatmap(
        lambda shape: arrays(np.uint8, (shape[0], shape[1], *shape[2]))
    )
)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("fields", SETTINGS, ids=lambda fields: fields.kind)
def test_every_transform_gives_its_shape_for_any_view_and_leaves_the_view_alone(fields, view):
    module = {"kium_vgg16": kium_vgg16, "coding_vessels": coding_vessels, "octoview": octoview}[fields.kind]
    before = view.copy()
    result = module.transform(view, fields)
    assert result.shape == fields.shape[1:]
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("fields", SETTINGS, ids=lambda fields: fields.kind)
def test_an_absent_view_is_zero_and_marked(fields):
    jpeg = cv2.imencode(".jpg", smooth_noise((30, 30)))[1].tobytes()
    views, present = preprocess_study([jpeg, b"", *[jpeg] * 6], fields)
    assert present.tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert not views[1].any()
    assert views[2].any()


def test_decode_keeps_grey_grey_and_turns_colours_to_rgb():
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 2] = 200  # red in OpenCV's order
    assert decode(cv2.imencode(".png", colour[..., 0])[1].tobytes()).shape == (4, 4)
    assert decode(cv2.imencode(".png", colour)[1].tobytes())[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    "content", [b"", b"not an image", cv2.imencode(".jpg", np.zeros((9, 9)))[1].tobytes()[:60]]
)
def test_what_is_no_image_is_told(content):
    with pytest.raises(ValueError, match=f"found {len(content)} bytes that are not one"):
        decode(content)


def test_the_version_changes_with_the_fields():
    recipe = load_recipe("octoview")
    other = recipe.with_overrides(["preprocessing.size=64"])
    assert preprocessing_version(recipe.preprocessing) == preprocessing_version(recipe.preprocessing)
    assert preprocessing_version(recipe.preprocessing) != preprocessing_version(other.preprocessing)
