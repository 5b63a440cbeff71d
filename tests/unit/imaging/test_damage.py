"""What lies: damaged scans, strips and frames are refused, and no intact one is.

A codec without a checksum cannot tell everything. The shares below are what each makes detectable, held
from below; `docs/data.md` has them in a table.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from angiopipe.cohort.examine import ImageFault, examine
from tests.unit.imaging.encoders import FRAMES, JPEGS, PNGS, TIFFS, bits_of, in_dicom, view

EACH = 15
"""Damaged files of each way and encoder: with seven ways and two encoders or more, over 200 of each codec."""


def some_lost(content: bytes, rng: np.random.Generator) -> bytes:
    start, count = rng.integers(0, len(content) - 64), rng.integers(8, 64)
    return content[:start] + content[start + count :]


def sector_zeroed(content: bytes, rng: np.random.Generator) -> bytes:
    count = min(512, len(content) // 4)
    start = rng.integers(0, len(content) - count)
    return content[:start] + bytes(count) + content[start + count :]


def tail_zeroed(content: bytes, rng: np.random.Generator) -> bytes:
    start = rng.integers(0, len(content) - 64)
    return content[:start] + bytes(len(content) - start)


def tail_lost(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(0, len(content) - 64)]


def some_inserted(content: bytes, rng: np.random.Generator) -> bytes:
    start, count = rng.integers(0, len(content)), rng.integers(8, 200)
    return content[:start] + rng.integers(0, 255, count, np.uint8).tobytes() + content[start:]


def some_overwritten(content: bytes, rng: np.random.Generator) -> bytes:
    start, count = rng.integers(0, len(content) - 64), rng.integers(16, 64)
    return content[:start] + rng.integers(0, 256, count, np.uint8).tobytes() + content[start + count :]


def a_bit_flipped(content: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(0, len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.integers(8))]) + content[at + 1 :]


Damage = Callable[[bytes, np.random.Generator], bytes]
HEAVY: tuple[Damage, ...] = (some_lost, sector_zeroed, tail_zeroed, tail_lost, some_inserted)
SAME_LENGTH: tuple[Damage, ...] = (sector_zeroed, tail_zeroed)
LIGHT: tuple[Damage, ...] = (some_overwritten, a_bit_flipped)


def damaged_between(content: bytes, start: int, end: int, damage: Damage, seed: int) -> bytes:
    """The file with its coded pixels damaged and everything around them whole."""
    return content[:start] + damage(content[start:end], np.random.default_rng(seed)) + content[end:]


def jpeg_scan(content: bytes) -> tuple[int, int]:
    """Where the entropy-coded bytes begin and end; what is damaged keeps its end marker."""
    return content.index(b"\xff\xda") + 14, len(content) - 2


def png_pixels(content: bytes) -> tuple[int, int]:
    return content.index(b"IDAT") + 4, len(content) - 16


def tiff_strips(content: bytes) -> tuple[int, int]:
    """From the middle of the file's pixels on, wherever its directory lies."""
    directory, file = ImageFileDirectory_v2(content[:8]), io.BytesIO(content)
    file.seek(directory.next)
    directory.load(file)
    offsets, counts = np.array(directory[273]), np.array(directory[279])
    return int(offsets.min()), int((offsets + counts).max())


def frame_pixels(frame: bytes, name: str) -> tuple[int, int]:
    if name.startswith("RLE"):
        return 64, len(frame)
    if name.startswith("JPEG 2000"):
        return frame.index(b"\xff\x93") + 2, frame.rindex(b"\xff\xd9")
    return frame.index(b"\xff\xda") + 10, frame.rindex(b"\xff\xd9")


def refused(content: bytes, name: str) -> bool:
    """Whether a file is refused, as the study's fault and not as an error of the code."""
    try:
        examine(content, name)
    except ImageFault as fault:
        return all((fault.expected, fault.found, fault.remedy))
    return False


def share(make: Callable[[int, Damage], tuple[bytes, str]], ways: tuple[Damage, ...]) -> float:
    cases = [(number * EACH + seed, way) for number, way in enumerate(ways) for seed in range(EACH)]
    return float(np.mean([refused(*make(seed, way)) for seed, way in cases]))


def files_of(
    encoders: dict, name: str, extension: str, pixels: Callable[[bytes], tuple[int, int]]
) -> Callable[[int, Damage], tuple[bytes, str]]:
    def make(seed: int, way: Damage) -> tuple[bytes, str]:
        content = encoders[name](view(seed))
        return damaged_between(content, *pixels(content), way, seed), f"1{extension}"

    return make


HELD = {"progressive": (0.8, 0.3), "colours": (0.75, 0.25), "": (0.85, 0.3)}
"""Of each JPEG, the share of heavy and of light damage that its Huffman codes betray, at least."""


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_whose_scan_is_damaged_is_refused(name):
    make = files_of(JPEGS, name, ".jpg", jpeg_scan)
    heavy, light = next(held for kind, held in HELD.items() if kind in name)
    assert share(make, HEAVY) >= heavy
    assert share(make, LIGHT) >= light


@pytest.mark.parametrize("name", PNGS)
def test_a_png_is_refused_whatever_is_damaged(name):
    assert share(files_of(PNGS, name, ".png", png_pixels), (*HEAVY, *LIGHT)) == 1


TIFF_HELD = {"deflate": (1, 1), "LZW": (1, 0.4), "PackBits": (1, 0.2), "JPEG": (0.9, 0.3), "none": (0, 0)}
"""Deflate has a checksum, LZW codes that cannot be, PackBits lengths; what is not coded betrays nothing."""


@pytest.mark.parametrize("name", TIFFS)
def test_a_tiff_whose_strips_are_damaged_is_refused(name):
    make = files_of(TIFFS, name, ".tif", tiff_strips)
    heavy, light = TIFF_HELD[name.partition(",")[0]]
    assert share(make, 3 * SAME_LENGTH) >= heavy
    assert share(make, LIGHT) >= light


FRAMES_HELD = {
    "JPEG": (0.85, 0.3), "JPEG-LS": (1, 0.9), "JPEG Lossless": (0.98, 0.3), "JPEG 2000": (0.85, 0), "RLE": (0.98, 0.3),
}  # fmt: skip
"""JPEG 2000's arithmetic coder makes pixels of anything: lost and added bytes, and zeros, are all that shows."""


@pytest.mark.parametrize("name", FRAMES)
def test_a_dicom_frame_that_is_damaged_is_refused(name):
    syntax, encode = FRAMES[name]

    def make(seed: int, way: Damage) -> tuple[bytes, str]:
        picture = view(seed, size=64)
        frame = encode(picture)
        code = damaged_between(frame, *frame_pixels(frame, name), way, seed)
        return in_dicom(code, syntax, picture.shape, bits_of(name)), "1.dcm"

    heavy, light = FRAMES_HELD[name.partition(",")[0]]
    assert share(make, HEAVY) >= heavy
    assert share(make, LIGHT) >= light


@pytest.mark.parametrize("name", [name for name in FRAMES if not name.startswith("RLE")])
def test_a_frame_without_its_end_is_refused(name):
    syntax, encode = FRAMES[name]
    for seed in range(EACH):
        picture = view(seed, size=64)
        frame = encode(picture)
        start, end = frame_pixels(frame, name)
        cut = frame[: int(np.random.default_rng(seed).integers(start, end))].rstrip(b"\xff")
        assert refused(in_dicom(cut, syntax, picture.shape, bits_of(name)), "1.dcm")


@pytest.mark.parametrize("name", [name for name in JPEGS if "progressive" in name])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(name):
    """Each scan is whole and the end marker is there, so no decoder complains: the picture is only coarse."""
    for seed in range(EACH):
        content = JPEGS[name](view(seed))
        scans = [at for at in range(len(content)) if content.startswith(b"\xff\xda", at)]
        # A table may stand before a scan; what is left of it does not matter to the decoder.
        kept = scans[1 + seed % (len(scans) - 1)]
        assert refused(content[:kept] + b"\xff\xd9", "1.jpg")


def test_nothing_intact_is_refused():
    """1,200 files and frames by every encoder at hand, of many sizes."""
    count = 0
    for seed in range(35):
        picture = view(seed, size=64 + 3 * seed)
        for extension, encoders in ((".jpg", JPEGS), (".png", PNGS), (".tif", TIFFS)):
            for encode in encoders.values():
                examine(encode(picture), f"1{extension}")
                count += 1
        for name, (syntax, encode) in FRAMES.items():
            examine(in_dicom(encode(picture), syntax, picture.shape, bits_of(name)), "1.dcm")
            count += 1
    assert count >= 1000
