"""The pixels of each version: a transform whose pixels change without a raised version fails here."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from angiopipe.cohort.deidentify import clean
from angiopipe.dataflow.ingest import CONVERSION
from angiopipe.imaging import coding_vessels, kium_vgg16, octoview
from angiopipe.imaging.decode import decode
from angiopipe.imaging.preprocess import DECODING, TRANSFORMS, preprocessing_version
from angiopipe.recipe import (
    CodingVesselsPreprocessing,
    KiumPreprocessing,
    OctoviewPreprocessing,
    Preprocessing,
)
from tests.unit.imaging.test_dicom import dataset, written

OPENCV = "5.0.0"
"""What the table was made with. Another one names examples anew by itself; make the table again with it."""

PIXELS = {
    ("conversion", 1): "04d96881d56d6ad9c4366bf9fa93acd74ab23e581f3ce8c3b2128e6ef8ae1ad2",
    ("decoding", 1): "7b4143e0f9aa24becf034f5739e08299402f463b140fbd36067cc6046782fd75",
    ("kium_vgg16", 1): "1d428d4965330fc652ef68137868ff52142abdfbd3ea6b179e2fd97d5699e8bb",
    ("coding_vessels", 1): "06ec8196fb260602e113077ddc6affddb8baf69bd8e27c409a41b82665ad23d3",
    ("octoview", 1): "5dbac57f9c3b81921367e7dd032e3b120dc5ee6aa63466cb55d0993d5a044143",
}
"""SHA-256 of what comes out, by what makes it and its version. A version gets a line; no line is changed."""

ROWS, COLUMNS = np.mgrid[:40, :52]
GREY = ((COLUMNS * COLUMNS // 5 + 3 * ROWS + COLUMNS * ROWS // 7) % 256).astype(np.uint8)
DETECTOR = 16 * GREY.astype(np.uint16) + 5
"""12 of 16 bits."""
COLOURS = np.stack([GREY, np.roll(GREY, 7, axis=1), 255 - GREY], axis=2)
TALL = np.ascontiguousarray(GREY.T)

TRANSFORMED: dict[str, tuple[Any, tuple[Preprocessing, ...]]] = {
    "kium_vgg16": (kium_vgg16, (KiumPreprocessing(size=24), KiumPreprocessing(size=64))),
    "coding_vessels": (
        coding_vessels,
        (
            CodingVesselsPreprocessing(size=24),
            CodingVesselsPreprocessing(size=64, sharpness=0.5, contrast=0.7),
        ),
    ),
    "octoview": (octoview, (OctoviewPreprocessing(size=24), OctoviewPreprocessing(size=64, background=0.2))),
}

BLACK_IS_ZERO, WHITE_IS_ZERO = (struct.pack("<2H2I", 262, 3, 1, kind) for kind in (1, 0))
"""A TIFF's PhotometricInterpretation."""


def named(arrays: Iterable[np.ndarray]) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return content.hexdigest()


def as_file(suffix: str, view: np.ndarray) -> bytes:
    return cv2.imencode(suffix, view)[1].tobytes()


def encoded() -> Iterator[bytes]:
    """What a record may hold."""
    for suffix, view in ((".png", GREY), (".png", COLOURS), (".png", DETECTOR), (".tif", DETECTOR)):
        yield as_file(suffix, view)
    for view in (GREY, COLOURS):
        yield as_file(".jpg", cv2.GaussianBlur(view, (0, 0), 2))


def converted() -> Iterator[bytes]:
    """What becomes a PNG before a record holds it."""
    yield from (as_file(".tif", view) for view in (GREY, COLOURS, DETECTOR))
    yield from (as_file(".tif", view).replace(BLACK_IS_ZERO, WHITE_IS_ZERO) for view in (GREY, DETECTOR))
    turned = Image.Exif()
    turned[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "PNG", exif=turned)
    yield file.getvalue()
    yield written(dataset(GREY))
    yield written(dataset(GREY, PhotometricInterpretation="MONOCHROME1"))
    yield written(dataset(DETECTOR, 12))
    yield written(
        dataset(DETECTOR, 12, WindowCenter=1000, WindowWidth=2000, RescaleSlope=2, RescaleIntercept=-9)
    )
    yield written(dataset(np.stack([DETECTOR, DETECTOR[::-1]]), 12))


@pytest.fixture(autouse=True)
def _opencv_alone() -> Iterator[None]:
    """Without Intel's IPP, whose last bits depend on the processor."""
    assert cv2.__version__ == OPENCV
    before = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    yield
    cv2.ipp.setUseIPP(before)


def test_conversion_gives_the_pixels_of_its_version():
    assert (
        named(decode(clean(content).content) for content in converted()) == PIXELS["conversion", CONVERSION]
    )


def test_decoding_gives_the_pixels_of_its_version():
    assert named(map(decode, encoded())) == PIXELS["decoding", DECODING]


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_transform_gives_the_pixels_of_its_version(kind):
    module, fields = TRANSFORMED[kind]
    made = (module.transform(view, each) for view in (GREY, TALL, COLOURS) for each in fields)
    assert named(made) == PIXELS[kind, TRANSFORMS[kind]]


def test_no_two_versions_have_the_same_pixels():
    assert len(set(PIXELS.values())) == len(PIXELS)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_examples_are_named_after_what_decides_their_pixels(kind):
    for fields in TRANSFORMED[kind][1]:
        told = preprocessing_version(fields).split(", ")
        assert told == [
            f"{kind} {TRANSFORMS[kind]}",
            f"decoding {DECODING}",
            f"OpenCV {OPENCV}",
            f"simplejpeg {simplejpeg.__version__}",
            f"fields {fields.digest()}",
        ]
