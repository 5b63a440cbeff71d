"""One view in every format and codec that is read, by every encoder that is at hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import cv2
import jpeg_ls
import numpy as np
import pydicom
import simplejpeg
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import JPEG2000LosslessEncoder, RLELosslessEncoder
from pydicom.pixels.encoders.base import Encoder as FrameEncoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

ANGIOGRAM = "1.2.840.10008.5.1.4.1.1.12.1"

Encoder = Callable[[np.ndarray], bytes]
"""From (rows, columns) uint8 or uint16 to a file or codestream."""


def view(seed: int, size: int = 96, bits: int = 8) -> np.ndarray:
    """(size, size + 8) uint8 or uint16: a light field with dark branches and noise, as an angiogram has them."""
    rng = np.random.default_rng(seed)
    picture = np.full((size, size + 8), 200.0)
    for _ in range(6):
        ends = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(picture, *ends, float(rng.integers(30, 120)), int(rng.integers(1, 5)))
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5) + rng.normal(0, 4, picture.shape)
    scaled = np.clip(picture, 0, 255) * ((1 << bits) - 1) / 255
    return scaled.astype(np.uint8 if bits <= 8 else np.uint16)


def by_opencv(extension: str, picture: np.ndarray, *options: int) -> bytes:
    made, encoded = cv2.imencode(extension, picture, list(options))
    assert made
    return encoded.tobytes()


def by_pillow(form: str, picture: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form, **options)
    return file.getvalue()


def colours(picture: np.ndarray) -> np.ndarray:
    return np.dstack([picture, np.roll(picture, 3, 0), picture[::-1]])


JPEGS: dict[str, Encoder] = {
    "OpenCV": partial(by_opencv, ".jpg"),
    "OpenCV, progressive": lambda p: by_opencv(".jpg", p, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "OpenCV, optimised": lambda p: by_opencv(".jpg", p, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "OpenCV, restarts": lambda p: by_opencv(".jpg", p, cv2.IMWRITE_JPEG_RST_INTERVAL, 5),
    "OpenCV, colours": lambda p: by_opencv(".jpg", colours(p)),
    "OpenCV, coarse": lambda p: by_opencv(".jpg", p, cv2.IMWRITE_JPEG_QUALITY, 20),
    "Pillow": lambda p: by_pillow("JPEG", p, quality=92),
    "Pillow, progressive": lambda p: by_pillow("JPEG", p, progressive=True),
    "Pillow, progressive colours": lambda p: by_pillow("JPEG", colours(p), progressive=True, quality=60),
    "Pillow, full colours": lambda p: by_pillow("JPEG", colours(p), subsampling=0),
    "Pillow, restarts": lambda p: by_pillow("JPEG", p, restart_marker_rows=1),
    "simplejpeg": lambda p: simplejpeg.encode_jpeg(np.ascontiguousarray(p[..., None]), colorspace="GRAY"),
}
PNGS: dict[str, Encoder] = {
    "OpenCV": partial(by_opencv, ".png"),
    "OpenCV, colours": lambda p: by_opencv(".png", colours(p)),
    "Pillow": partial(by_pillow, "PNG"),
    "Pillow, optimised": lambda p: by_pillow("PNG", p, optimize=True),
}
TIFFS: dict[str, Encoder] = {
    "LZW": lambda p: by_pillow("TIFF", p, compression="tiff_lzw"),
    "LZW, OpenCV": lambda p: by_opencv(".tiff", p, cv2.IMWRITE_TIFF_COMPRESSION, 5),
    "deflate": lambda p: by_pillow("TIFF", p, compression="tiff_adobe_deflate"),
    "deflate, OpenCV": lambda p: by_opencv(".tiff", p, cv2.IMWRITE_TIFF_COMPRESSION, 32946),
    "PackBits": lambda p: by_pillow("TIFF", p, compression="packbits"),
    "PackBits, OpenCV": lambda p: by_opencv(".tiff", p, cv2.IMWRITE_TIFF_COMPRESSION, 32773),
    "JPEG": lambda p: by_pillow("TIFF", p, compression="jpeg"),
    "none": lambda p: by_pillow("TIFF", p),
}


def lossless_jpeg(picture: np.ndarray, bits: int, wrapped: bool = False, predictor: int = 1) -> bytes:
    """Encodes grey values by process 14 with one of the predictors 1, 2 and 4.

    With `wrapped`, differences are stored modulo the samples' precision, as some makers' encoders do.

    Source: ITU-T T.81 H.
    """
    values = picture.astype(int)
    predicted = np.empty_like(values)
    above, left, corner = values[:-1, 1:], values[1:, :-1], values[:-1, :-1]
    predicted[1:, 1:] = {1: left, 2: above, 4: above + left - corner}[predictor]
    predicted[0, 1:], predicted[1:, 0], predicted[0, 0] = values[0, :-1], values[:-1, 0], 1 << (bits - 1)
    differences = values - predicted
    if bits == 16:  # The standard's own modulus; 32,768 has a code, and -32,768 has none.
        differences = (differences + 32767) % 65536 - 32767
    elif wrapped:
        half = 1 << (bits - 1)
        differences = (differences + half) % (2 * half) - half
    code = ""
    for difference in differences.ravel().tolist():
        size = abs(difference).bit_length()
        number = difference if difference > 0 else difference + (1 << size) - 1
        code += f"{size:05b}" + (f"{number:0{size}b}" if 0 < size < 16 else "")
    code += "1" * (-len(code) % 8)
    scan = int(code, 2).to_bytes(len(code) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = bytes([bits]) + b"".join(side.to_bytes(2, "big") for side in picture.shape) + b"\1\1\x11\0"
    table = b"\0" + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    segments = ((0xC3, frame), (0xC4, table), (0xDA, bytes([1, 1, 0, predictor, 0, 0])))
    head = b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in segments
    )
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


def by_pydicom(encoder: FrameEncoder, picture: np.ndarray) -> bytes:
    return encoder.encode(
        picture, rows=picture.shape[0], columns=picture.shape[1], samples_per_pixel=1,
        bits_allocated=8 * picture.itemsize, bits_stored=8 * picture.itemsize, pixel_representation=0,
        number_of_frames=1, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip


rle = partial(by_pydicom, RLELosslessEncoder)
jpeg2000 = partial(by_pydicom, JPEG2000LosslessEncoder)


FRAMES: dict[str, tuple[UID, Encoder]] = {
    "JPEG": (JPEGBaseline8Bit, JPEGS["OpenCV"]),
    "JPEG, restarts": (JPEGBaseline8Bit, JPEGS["Pillow, restarts"]),
    "JPEG-LS": (JPEGLSLossless, lambda p: bytes(jpeg_ls.encode(p))),
    "JPEG-LS, 12 bits": (JPEGLSLossless, lambda p: bytes(jpeg_ls.encode(p.astype(np.uint16) << 4))),
    "JPEG Lossless": (JPEGLosslessSV1, lambda p: lossless_jpeg(p, 8)),
    "JPEG Lossless, wrapped": (JPEGLosslessSV1, lambda p: lossless_jpeg(p, 8, wrapped=True)),
    "JPEG Lossless, 12 bits": (JPEGLosslessSV1, lambda p: lossless_jpeg(p.astype(np.uint16) << 4, 12)),
    "JPEG 2000": (JPEG2000Lossless, jpeg2000),
    "JPEG 2000, 16 bits": (JPEG2000Lossless, lambda p: jpeg2000(p.astype(np.uint16) << 8)),
    "RLE": (RLELossless, rle),
    "RLE, 16 bits": (RLELossless, lambda p: rle(p.astype(np.uint16) << 8 | p)),
}
"""Frames of DICOM: transfer syntax, and from (rows, columns) uint8 to a frame."""


def image(picture: np.ndarray, bits: int = 8, **elements: object) -> pydicom.Dataset:
    """An XA image of (rows, columns) or (frames, rows, columns) pixels."""
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = ANGIOGRAM
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = picture.shape[-2:]
    if picture.ndim == 3:
        made.NumberOfFrames = len(picture)
    made.BitsAllocated = 8 * picture.dtype.itemsize
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(picture.dtype.kind == "i")
    made.PixelData = picture.tobytes() + b"\0" * (picture.nbytes % 2)
    made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def written(made: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def in_dicom(frame: bytes, syntax: UID, shape: tuple[int, int], bits: int = 8) -> bytes:
    """A DICOM file of one encoded frame."""
    made = image(np.zeros(shape, np.uint8 if bits == 8 else np.uint16), bits)
    made.PixelData = encapsulate([frame])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = syntax
    return written(made)


def bits_of(name: str) -> int:
    """The precision of one of `FRAMES`."""
    return 16 if "16" in name else 12 if "12" in name else 8
