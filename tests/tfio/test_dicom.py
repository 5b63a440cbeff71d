"""What tensorflow-io decodes from DICOM equals pydicom's pixels, but for the differences named here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tensorflow as tf
import tensorflow_io as tfio
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, XRayAngiographicImageStorage, generate_uid

FRAMES, ROWS, COLUMNS = 5, 48, 64


def shipped(name: str) -> bytes:
    """One of the files that come with pydicom."""
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def by_pydicom(content: bytes) -> np.ndarray:
    return pydicom.dcmread(io.BytesIO(content)).pixel_array


def by_tensorflow(content: bytes, scale: str = "preserve") -> np.ndarray:
    """The same shape as pydicom's: without an axis of one frame or one colour."""
    bits = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).BitsAllocated
    dtype = tf.uint16 if bits > 8 else tf.uint8
    image = tfio.image.decode_dicom_image(content, scale=scale, dtype=dtype, on_error="strict")
    return np.squeeze(image.numpy())


def angiogram(bits: int, photometric: str = "MONOCHROME2", rle: bool = False) -> bytes:
    """A run of X-ray angiographic frames, unsigned, `bits` of each pixel used, every level among them."""
    allocated = 8 if bits == 8 else 16
    levels = np.linspace(0, 2**bits - 1, FRAMES * ROWS * COLUMNS).reshape(FRAMES, ROWS, COLUMNS)
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = XRayAngiographicImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=["run"])
    dataset.Modality, dataset.PhotometricInterpretation = "XA", photometric
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = FRAMES, ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelData = levels.astype(f"<u{allocated // 8}").tobytes()
    if rle:
        dataset.compress(RLELossless)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("rle", [False, True], ids=["raw", "rle"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_an_angiographic_run_has_pydicoms_pixels(bits, rle):
    content = angiogram(bits, rle=rle)
    expected = by_pydicom(content)
    assert (expected.shape, expected.max()) == ((FRAMES, ROWS, COLUMNS), 2**bits - 1)
    np.testing.assert_array_equal(by_tensorflow(content), expected)


@pytest.mark.parametrize(
    "name",
    [
        "image_dfl.dcm",  # 8-bit grey, deflated
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "liver_1frame.dcm",  # 1-bit
        "ExplVR_BigEnd.dcm",  # RGB
        "examples_rgb_color.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_2frame.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_jpeg_gdcm.dcm",  # lossless JPEG
        "SC_rgb_gdcm_KY.dcm",  # JPEG 2000
    ],
)
def test_unsigned_files_have_pydicoms_pixels(name):
    content = shipped(name)
    np.testing.assert_array_equal(by_tensorflow(content), by_pydicom(content))


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "SC_jpeg_no_color_transform.dcm"])
def test_lossy_jpeg_differs_by_a_rounding(name):
    content = shipped(name)
    difference = by_tensorflow(content).astype(int) - by_pydicom(content)
    assert abs(difference).max() == 1
    assert (difference != 0).mean() < 0.02


@pytest.mark.parametrize(
    ("name", "offset"),
    [("MR_small.dcm", 1 << 15), ("MR_small_RLE.dcm", 1 << 15), ("J2K_pixelrep_mismatch.dcm", 1 << 12)],
)
def test_signed_pixels_come_offset_by_half_their_range(name, offset):
    content = shipped(name)
    np.testing.assert_array_equal(by_tensorflow(content).astype(int) - offset, by_pydicom(content))


def test_overlays_are_burned_in():
    content = shipped("examples_overlay.dcm")
    drawn = pydicom.dcmread(io.BytesIO(content)).overlay_array(0x6000) == 1
    found, expected = by_tensorflow(content), by_pydicom(content)
    assert drawn.any()
    np.testing.assert_array_equal(found[~drawn], expected[~drawn])
    assert (found[drawn] != expected[drawn]).all()


def test_the_default_scale_stretches_values():
    content = angiogram(12)
    assert by_tensorflow(content, scale="auto").max() > by_pydicom(content).max()


@pytest.mark.parametrize("name", ["rtdose_1frame.dcm", "examples_palette.dcm"])
def test_deeper_pixels_are_refused(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match="smaller than pixelDepth"):
        by_tensorflow(shipped(name))


def test_negatives_come_as_positives_within_one_level():
    content = angiogram(12, photometric="MONOCHROME1")
    positive = 2**12 - 1 - by_pydicom(content).astype(int)
    np.testing.assert_allclose(by_tensorflow(content), positive, atol=1)
