import io
import pickle
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from angiopipe.imaging import codestream, dicom, dicom_dataset
from tests.unit.imaging.encoders import image as dataset
from tests.unit.imaging.encoders import in_dicom, lossless_jpeg, written


def noise(shape, bits=8, seed=0):
    values = np.random.default_rng(seed).integers(0, 1 << bits, shape)
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def spread(values):
    """Grey levels 0 to 255 from the lowest to the highest value, as the standard's readers do."""
    values = values.astype(np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


def close(found, expected):
    """Equal but for what rounding a half does."""
    return found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 1


def test_eight_bits_come_out_as_they_are():
    view = noise((9, 7))
    assert np.array_equal(dicom.read(written(dataset(view))), view)


def test_monochrome1_is_inverted_so_that_higher_is_lighter():
    view = noise((9, 8))
    assert np.array_equal(
        dicom.read(written(dataset(view, PhotometricInterpretation="MONOCHROME1"))), 255 - view
    )
    deep = noise((9, 8), 12)
    inverted = dicom.read(written(dataset(deep, 12, PhotometricInterpretation="MONOCHROME1")))
    assert close(inverted, 255 - spread(deep))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_without_a_window_deeper_views_are_spread_from_darkest_to_lightest(bits):
    view = noise((16, 16), bits)
    assert close(dicom.read(written(dataset(view, bits))), spread(view))


def test_signed_values_are_spread_too():
    view = noise((16, 16), 12).astype(np.int16) - 2048
    assert close(dicom.read(written(dataset(view, 16))), spread(view))
    view = np.array([[-128, 0, 64, 127]], np.int8)
    assert dicom.read(written(dataset(view))).tolist() == [[0, 128, 192, 255]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", [0, 0, 127.5 + 255 * 0.5 / 99, 255, 255]),
        ("LINEAR_EXACT", [0, 0, 127.5, 255, 255]),
        ("SIGMOID", [0, 255 / (1 + np.e**2), 127.5, 255 / (1 + np.e**-2), 255]),
    ],
)
def test_the_first_window_decides_the_grey_levels(function, expected):
    view = np.array([[0, 150, 200, 250, 4000]], np.uint16)
    made = dataset(view, 12, WindowCenter=[200, 9], WindowWidth=[100, 9], VOILUTFunction=function)
    assert close(dicom.read(written(made)), np.array([expected]))


def test_a_linear_window_is_centred_half_a_level_lower():
    view = np.array([[0, 1, 2, 3]], np.uint16)
    assert dicom.read(written(dataset(view, 12, WindowCenter=2, WindowWidth=3))).tolist() == [
        [0, 64, 191, 255]
    ]


def test_a_window_is_applied_after_the_rescale():
    view = np.array([[0, 100, 150, 200]], np.uint16)
    made = dataset(view, 12, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=200, WindowWidth=200)
    assert dicom.read(written(made)).tolist() == [[0, 0, 128, 255]]


@pytest.mark.parametrize(("centre", "width"), [("", ""), (0, 0)])
def test_a_window_without_width_is_none(centre, width):
    view = noise((8, 8), 12)
    assert close(dicom.read(written(dataset(view, 12, WindowCenter=centre, WindowWidth=width))), spread(view))


def table(entries, bits, first=0):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


@pytest.mark.parametrize("bits", [8, 12])
def test_a_voi_table_of_more_than_256_entries_maps_all_of_them(bits):
    highest = (1 << bits) - 1
    entries = [position * highest // 999 for position in range(1000)]
    made = dataset(
        np.array([[0, 100, 599, 1099, 4000]], np.uint16), 12, VOILUTSequence=table(entries, bits, 100)
    )
    assert close(dicom.read(written(made)), np.array([[0, 0, 127, 255, 255]]))


def test_a_modality_table_is_for_display_unless_the_image_is_an_angiogram():
    view = np.array([[0, 1, 2, 3]], np.uint8)
    made = dataset(view, 8, ModalityLUTSequence=table([0, 100, 900, 1000], 16))
    assert np.array_equal(dicom.read(written(made)), view)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    assert close(dicom.read(written(made)), np.array([[0, 25, 230, 255]]))


def test_padding_is_light_and_does_not_count():
    view = np.array([[0, 1000, 1500, 2000]], np.uint16)
    assert dicom.read(written(dataset(view, 12, PixelPaddingValue=0))).tolist() == [[255, 0, 128, 255]]


def test_a_run_becomes_its_minimum_intensity_projection():
    run = noise((5, 8, 6))
    assert np.array_equal(dicom.read(written(dataset(run))), run.min(axis=0))
    inverted = dataset(run, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(dicom.read(written(inverted)), (255 - run).min(axis=0))
    deep = noise((5, 8, 6), 12)
    assert close(dicom.read(written(dataset(deep, 12))), spread(deep.min(axis=0)))


def test_a_frame_is_counted_from_one():
    run = noise((3, 8, 6))
    content = written(dataset(run))
    assert all(np.array_equal(dicom.read(content, frame), run[frame - 1]) for frame in (1, 2, 3))
    assert np.array_equal(dicom.read(written(dataset(run[0])), 1), run[0])


@pytest.mark.parametrize("frame", [0, -1, 4])
def test_a_frame_that_is_not_there_is_refused(frame):
    with pytest.raises(ValueError, match=f"expected a frame from 1 to 3, found {frame}"):
        dicom.read(written(dataset(noise((3, 8, 6)))), frame)


def test_an_enhanced_run_has_a_window_per_frame():
    run = np.full((2, 1, 3), [50, 100, 150], np.uint16)
    made = dataset(run, 12, SharedFunctionalGroupsSequence=[pydicom.Dataset()])
    made.PerFrameFunctionalGroupsSequence = []
    for centre in (100, 150):
        window, group = pydicom.Dataset(), pydicom.Dataset()
        window.WindowCenter, window.WindowWidth = centre, 101
        group.FrameVOILUTSequence = [window]
        made.PerFrameFunctionalGroupsSequence.append(group)
    assert close(dicom.read(written(made), 1), np.array([[0, 128, 255]]))
    assert close(dicom.read(written(made), 2), np.array([[0, 0, 128]]))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_compressed_runs_equal_uncompressed_ones(syntax, bits):
    run = noise((3, 64, 48), bits)
    plain, packed = dataset(run, bits), dataset(run, bits)
    compress(packed, syntax)
    for frame in (None, 1, 2, 3):
        assert np.array_equal(dicom.read(written(packed), frame), dicom.read(written(plain), frame))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_lossless_equals_uncompressed(bits):
    run = (noise((2, 24, 16), bits) // 2).astype(np.uint8 if bits == 8 else np.uint16)
    packed = dataset(run, bits)
    packed.PixelData = encapsulate([lossless_jpeg(frame, bits) for frame in run])
    packed["PixelData"].is_undefined_length = True
    packed.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    for frame in (None, 1, 2):
        assert np.array_equal(
            dicom.read(written(packed), frame), dicom.read(written(dataset(run, bits)), frame)
        )


def shipped(name):
    with open(get_testdata_file(name, download=False), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless",
     "MR_small_jpeg_ls_lossless", "MR_small_padded"],
)  # fmt: skip
def test_one_image_in_every_lossless_syntax_is_one_view(name):
    assert np.array_equal(dicom.read(shipped(f"{name}.dcm")), dicom.read(shipped("MR_small.dcm")))


@pytest.mark.parametrize(
    "name", ["693_J2KI", "JPEG2000", "JPEGLSNearLossless_16", "JPGExtended", "image_dfl", "SC_rgb_jpeg_gdcm"]
)
def test_shipped_files_are_read_at_their_size(name):
    expected = pydicom.dcmread(io.BytesIO(shipped(f"{name}.dcm")))
    view = dicom.read(shipped(f"{name}.dcm"))
    assert view.dtype == np.uint8
    assert view.shape == (expected.Rows, expected.Columns)
    assert view.max() > view.min()


def test_colours_become_their_luma():
    pixels = pydicom.dcmread(io.BytesIO(shipped("examples_rgb_color.dcm"))).pixel_array.astype(float)
    luma = pixels @ [0.299, 0.587, 0.114]
    assert close(dicom.read(shipped("examples_rgb_color.dcm")), np.rint(luma).astype(int))


def test_a_file_without_preamble_or_meta_is_dicom():
    made = dataset(noise((4, 6)))
    for implicit, little in ((True, True), (False, True), (False, False)):
        file = io.BytesIO()
        pydicom.dcmwrite(file, strip_meta(made), implicit_vr=implicit, little_endian=little)
        assert dicom.is_dicom(file.getvalue())
        assert np.array_equal(dicom.read(file.getvalue()), noise((4, 6)))


def strip_meta(made):
    bare = pydicom.Dataset()
    bare.update({element.tag: element for element in made})
    return bare


def test_other_files_are_not_dicom():
    starts = (
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
        b"",
        b"\x08\0",
        b"a" * 200,
    )
    assert not any(dicom.is_dicom(start) or dicom.is_dicom(start + b"b" * 300) for start in starts)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "found PALETTE COLOR"),
        ({"PhotometricInterpretation": "YAMADA"}, "found another"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "expected 8 to 16 bits a sample, found 32 in 32"),
        ({"Rows": 0}, "expected Rows of 1 or more, found none"),
        ({"Rows": 60000, "Columns": 60000}, "expected at most 16777216 pixels, found 60000 x 60000"),
        ({"NumberOfFrames": 2_000_000_000}, "expected at most 1073741824 pixels in a run"),
        ({"NumberOfFrames": 3}, "expected pixels that can be decoded"),
        ({"WindowCenter": "nan", "WindowWidth": "5"}, "expected WindowCenter to be a number"),
        ({"VOILUTSequence": [pydicom.Dataset()]}, "expected a table in VOILUTSequence"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_view_is_refused(elements, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        warnings.simplefilter("ignore")
        dicom.read(written(dataset(noise((8, 6)), **elements)))


def test_limits_are_the_callers():
    run = written(dataset(noise((3, 8, 6))))
    with pytest.raises(ValueError, match="expected at most 47 pixels, found 8 x 6"):
        dicom.read(run, max_pixels=47)
    with pytest.raises(ValueError, match="expected at most 143 pixels in a run, found 144; choose a frame"):
        dicom.read(run, max_run=143)
    assert dicom.read(run, 2, max_run=143).shape == (8, 6)


def test_a_file_without_pixels_is_refused():
    made = dataset(noise((4, 4)))
    del made.PixelData
    with pytest.raises(ValueError, match="found a DICOM file without PixelData"):
        dicom.read(written(made))


def test_a_video_is_refused_by_its_transfer_syntax():
    made = dataset(noise((4, 4)))
    made.PixelData = encapsulate([b"video"])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(ValueError, match="can be decoded, found MPEG2 Main Profile / Main Level"):
        dicom.read(written(made))


def test_a_frame_that_unpacks_to_more_than_it_declares_is_refused_before_decoding():
    made = dataset(noise((16, 16)))
    bomb = lossless_jpeg(noise((16, 16)), 8).replace(b"\x08\0\x10\0\x10\1", b"\x08\xff\xff\xff\xff\1")
    made.PixelData = encapsulate([bomb])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(ValueError, match="expected frames of 16 x 16, found one of 65535 x 65535"):
        dicom.read(written(made))


def test_a_deflated_bomb_is_refused_unopened(monkeypatch):
    monkeypatch.setattr(dicom_dataset, "MAX_INFLATED_BYTES", 1 << 20)
    made = dataset(noise((8, 6)), PixelData=b"\0" * (8 << 20))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(
        ValueError, match="expected a data set of at most 1048576 bytes, found a deflated one of more"
    ):
        dicom.read(written(made))


def test_a_damaged_deflated_file_is_refused():
    made = dataset(noise((8, 6)))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = written(made)
    start = 144 + int.from_bytes(content[140:144], "little")
    with pytest.raises(ValueError, match="expected a deflated DICOM data set, found a damaged one"):
        dicom.read(content[:start] + b"\xff" * 40)


def test_every_truncation_is_a_value_error():
    content = written(dataset(noise((8, 6)), PatientName="Yamada^Hanako"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for end in range(132, len(content) - 1, 7):
            with pytest.raises(ValueError, match="expected"):
                dicom.read(content[:end])
    # pydicom's warnings of cut-off values would quote them.
    assert caught == []


@pytest.mark.parametrize("planted", [b"YAMADA^HANAKO...", b"19451231.1945123"])
def test_neither_errors_nor_warnings_repeat_what_a_file_holds(planted):
    content = written(dataset(noise((8, 6)), WindowCenter="10.1951231", WindowWidth="9.12345678901231"))
    content = content.replace(b"9.12345678901231", planted).replace(b"1.2.3\0", b"YAMADA")
    assert planted in content
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            dicom.read(content)
            told = []
        except ValueError as error:
            told = [str(error)]
    assert len(told) == planted.startswith(b"YAMADA")
    told += [str(warning.message) for warning in caught]
    assert not [text for text in told if "YAMADA" in text or "1945" in text]


@settings(max_examples=300, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(128, 600), st.integers(0, 255)), min_size=1, max_size=4))
@example(flips=[(216, ord("\\"))])
def test_a_damaged_header_is_read_or_refused(flips):
    item = pydicom.Dataset()
    item.WindowCenter, item.WindowWidth = 9, 9
    group = pydicom.Dataset()
    group.FrameVOILUTSequence = [item]
    made = dataset(
        noise((2, 8, 6), 12), 12, PixelPaddingValue=7, PerFrameFunctionalGroupsSequence=[group, group]
    )
    made.VOILUTSequence = table(list(range(40)), 8)
    content = bytearray(written(made))
    for position, value in flips:
        content[min(position, len(content) - 1)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert dicom.read(bytes(content)).dtype == np.uint8
        except ValueError as error:
            told = str(error)
        else:
            told = "expected"
    assert told.startswith("expected")


def test_a_run_takes_the_memory_of_few_frames():
    run = noise((60, 256, 256))
    content = written(dataset(run))
    tracemalloc.start()
    dicom.read(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The file is parsed into one copy; each pixel passes through float64.
    assert peak < 1.2 * len(content) + 30 * 256 * 256


def test_importing_the_module_does_not_import_pydicom():
    code = "import sys, angiopipe.imaging.dicom; assert 'pydicom' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_size_in_a_codestream():
    assert codestream.frame_of(lossless_jpeg(noise((5, 9)), 8)) == (8, 5, 9, 1, 0xC3)
    assert codestream.frame_of(b"\xff\xd8\xff\xe0\0") is None
    assert codestream.frame_of(b"no image") is None
    siz = b"\xff\x4f\xff\x51\0\x2f\0\0" + b"".join(side.to_bytes(4, "big") for side in (11, 8, 2, 3))
    siz += bytes(16) + b"\0\1\x0b\1\1"
    assert codestream.frame_of(siz) == (12, 5, 9, 1, 0)
    assert codestream.frame_of(b"\0\0\0\x0cjP  \r\n\x87\n" + siz) == (12, 5, 9, 1, 0)
    assert codestream.frame_of(b"\1\0\0\0" + siz) is None


def test_implicit_files_are_read():
    made = dataset(noise((4, 6)))
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert np.array_equal(dicom.read(written(made)), noise((4, 6)))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"NumberOfFrames": None}, "192 bytes|48 bytes.*header tells of 1 frames of 8 x 6, found 192, enough for 4"),
        ({"NumberOfFrames": 0}, "tells of 1 frames of 8 x 6, found 192, enough for 4"),
        ({"NumberOfFrames": 3}, "tells of 3 frames of 8 x 6, found 192, enough for 4"),
        ({"NumberOfFrames": 5}, "tells of 5 frames of 8 x 6, found 192, enough for 4"),
        ({"Rows": 7}, "tells of 4 frames of 7 x 6, found 192, enough for 4"),
        ({"HighBit": 6}, "expected HighBit 7, as the image is MONOCHROME2 of 8 bits, found 6"),
        ({"HighBit": 15}, "expected HighBit 7, as the image is MONOCHROME2 of 8 bits, found 15"),
        ({"SamplesPerPixel": 3}, "expected SamplesPerPixel 1, as the image is MONOCHROME2"),
        ({"PhotometricInterpretation": "RGB"}, "expected SamplesPerPixel 3, as the image is RGB"),
        ({"PresentationLUTShape": "INVERSE"}, "expected PresentationLUTShape IDENTITY"),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
            "expected PresentationLUTShape INVERSE",
        ),
    ],
)  # fmt: skip
def test_a_header_that_contradicts_the_pixels_is_refused(elements, message):
    with pytest.raises(ValueError, match=message):
        dicom.read(written(dataset(noise((4, 8, 6)), **elements)))


def test_samples_of_16_bits_are_not_cut_to_colours_of_8():
    made = dataset(noise((8, 18), 16), 16, SamplesPerPixel=3, PlanarConfiguration=0, Columns=6)
    for photometric in ("MONOCHROME2", "RGB"):
        made.PhotometricInterpretation = photometric
        with pytest.raises(ValueError, match="expected SamplesPerPixel 1|expected 8 bits a sample"):
            dicom.read(written(made))


def test_bits_that_lie_elsewhere_in_a_sample_are_refused():
    shifted = noise((8, 6), 12) << 4
    with pytest.raises(
        ValueError, match="expected HighBit 11, as the image is MONOCHROME2 of 12 bits, found 15"
    ):
        dicom.read(written(dataset(shifted, 12, HighBit=15)))
    with pytest.raises(ValueError, match="expected values of 12 bits, as BitsStored tells, found"):
        dicom.read(written(dataset(shifted, 12)))
    padded = noise((8, 6), 12)
    padded[0] = 65535
    assert (dicom.read(written(dataset(padded, 12, PixelPaddingValue=65535)))[0] == 255).all()


def test_signed_values_are_read_whether_their_sign_goes_on_or_not():
    view = noise((16, 16), 12).astype(np.int16) - 2048
    extended, cut = dataset(view, 12), dataset((view & 0xFFF).astype(np.int16), 12)
    assert np.array_equal(dicom.read(written(extended)), dicom.read(written(cut)))
    assert close(dicom.read(written(extended)), spread(view))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("told", [1, 2, 4])
def test_encoded_frames_that_are_not_as_many_as_told_are_refused(syntax, told):
    made = dataset(noise((3, 64, 48)))
    compress(made, syntax)
    made.NumberOfFrames = told
    with pytest.raises(ValueError, match=f"expected {told} encoded frames, as the header tells, found 3"):
        dicom.read(written(made))


def test_an_encoded_frame_of_another_kind_than_told_is_refused():
    frame = lossless_jpeg(noise((16, 12), 12), 12)
    assert dicom.read(in_dicom(frame, JPEGLosslessSV1, (16, 12), 12)).shape == (16, 12)
    with pytest.raises(ValueError, match="expected frames of 12 x 16, found one of 16 x 12"):
        dicom.read(in_dicom(frame, JPEGLosslessSV1, (12, 16), 12))
    with pytest.raises(ValueError, match="expected values of 10 bits, as BitsStored tells"):
        made = pydicom.dcmread(io.BytesIO(in_dicom(frame, JPEGLosslessSV1, (16, 12), 12)))
        made.BitsStored, made.HighBit = 10, 9
        dicom.read(written(made))


@pytest.mark.parametrize("width", [0.5, 0.001])
def test_a_linear_window_below_one_is_refused(width):
    made = dataset(noise((16, 16), 12), 12, WindowCenter=2000, WindowWidth=width)
    with pytest.raises(ValueError, match="expected a WindowWidth of 1 or more, found 0"):
        dicom.read(written(made))


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 2000, "WindowWidth": 1},
        {"WindowCenter": 2000, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2000, "WindowWidth": 0.5, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 20000, "WindowWidth": 20, "RescaleSlope": 10},
    ],
)
def test_a_window_that_leaves_black_and_white_alone_is_refused(window):
    with pytest.raises(
        ValueError, match="expected a window that shows the view, found one that makes 1?[09]+% of"
    ):
        dicom.read(written(dataset(noise((64, 64), 12), 12, **window)))


def test_an_eight_bit_view_of_black_and_white_alone_is_its_own():
    view = np.where(noise((16, 16)) > 100, 255, 0).astype(np.uint8)
    assert np.array_equal(dicom.read(written(dataset(view))), view)


@pytest.mark.parametrize(
    ("photometric", "offset", "block"), [("MONOCHROME1", 60000, 0), ("MONOCHROME2", 0, 65535)]
)
def test_a_burned_in_block_does_not_set_the_scale(photometric, offset, block):
    view = noise((64, 64), 10) + 200 + offset
    clean = dicom.read(written(dataset(view, 16, PhotometricInterpretation=photometric)))
    view[:4, :20] = block
    hot = dicom.read(written(dataset(view, 16, PhotometricInterpretation=photometric)))
    assert close(hot[4:], clean[4:])
    assert (hot[:4, :20] == 255).all()


def test_no_warning_of_pydicoms_reaches_anybody():
    files = [
        written(dataset(noise((4, 8, 6)), NumberOfFrames=1)),
        written(dataset(noise((8, 6), 12) << 4, 12, HighBit=15)),
        in_dicom(lossless_jpeg(noise((16, 12)), 8), JPEGLosslessSV1, (16, 12)),
    ]
    code = (
        "import sys, pickle; from angiopipe.imaging import dicom\n"
        "for content in pickle.load(sys.stdin.buffer):\n"
        "    try: dicom.read(content)\n"
        "    except ValueError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(files), capture_output=True, check=True
    )
    assert done.stderr == b""
