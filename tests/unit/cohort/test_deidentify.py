import contextlib
import hashlib
import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin
from pydicom.data import get_testdata_file
from pydicom.datadict import DicomDictionary, keyword_for_tag

from angiopipe.cohort.deidentify import clean, pseudonym, removal_report
from angiopipe.imaging import dicom
from angiopipe.imaging.decode import decode

NAME = "YamadaHanako"
XMP = f"<x:xmpmeta><dc:creator>{NAME}</dc:creator></x:xmpmeta>".encode()


def view(shape=(40, 56), seed=0):
    """A smooth picture: one that a JPEG keeps well enough to tell upright from turned."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, *shape[2:]), np.uint8)
    return cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC)


def exif(orientation=1):
    planted = Image.Exif()
    planted[0x0112], planted[0x010E], planted[0x9C9D] = orientation, NAME, NAME.encode("utf-16-le")
    planted.get_ifd(0x8825)[0x0012] = NAME
    planted.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + NAME.encode("utf-16-be")
    return planted


def pillow(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def segment(marker, payload):
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def assert_nothing_planted(content):
    for text in (NAME, NAME.upper(), NAME.lower()):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert text.encode(encoding) not in content
    with Image.open(io.BytesIO(content)) as image:
        assert NAME not in repr(image.info)
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "adobe",
                                   "adobe_transform", "progressive", "progression", "dpi"}  # fmt: skip


def markers(content):
    """The markers of a JPEG up to its first scan, followed independently of what is tested."""
    found, position = [], 2
    while content[position + 1] != 0xDA:
        found.append(content[position + 1])
        position += 2 + struct.unpack_from(">H", content, position + 2)[0]
    return found


def planted_jpeg(orientation=1):
    content = pillow(
        view(), "JPEG", quality=90, exif=exif(orientation), xmp=XMP, comment=NAME, icc_profile=NAME.encode()
    )
    iptc = segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x10\x1c\x02\x50\0\x0c" + NAME.encode())
    thumbnail = segment(0xE0, b"JFXX\0\x13" + NAME.encode())
    own = segment(0xE7, NAME.encode("utf-16-le"))
    return content[:2] + iptc + thumbnail + own + content[2:] + NAME.encode()


def test_a_jpeg_loses_everything_but_its_pixels():
    content = planted_jpeg()
    cleaned = clean(content)
    assert_nothing_planted(cleaned.content)
    assert set(cleaned.removed) == {
        "EXIF", "XMP", "comment", "ICC profile", "IPTC", "thumbnail", "APP7", "trailing bytes",
    }  # fmt: skip
    assert set(markers(cleaned.content)) <= {0xE0, 0xDB, 0xC0, 0xC4}
    assert np.array_equal(decode(cleaned.content), decode(content))
    scan = content[content.index(b"\xff\xda") : content.rindex(b"\xff\xd9") + 2]
    assert cleaned.content.endswith(scan)


def test_a_jpeg_without_metadata_is_kept_bit_for_bit():
    content = cv2.imencode(".jpg", view())[1].tobytes()
    assert clean(content) == type(clean(content))(content, ())


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_turned_image_comes_out_upright(kind, orientation):
    content = pillow(view(), kind, exif=exif(orientation))
    cleaned = clean(content)
    assert cleaned.content.startswith(b"\x89PNG")
    assert np.array_equal(decode(cleaned.content), decode(content))
    assert not np.array_equal(decode(cleaned.content), decode(pillow(view(), kind)))
    assert_nothing_planted(cleaned.content)
    if kind != "TIFF":
        assert "orientation (now upright)" in cleaned.removed


def test_a_jfif_thumbnail_goes_and_jfif_stays():
    content = cv2.imencode(".jpg", view())[1].tobytes()
    assert content[2:4] == b"\xff\xe0"
    thumbnail = NAME.encode()
    planted = segment(0xE0, content[6:18] + b"\4\1" + thumbnail)
    cleaned = clean(content[:2] + planted + content[20:])
    assert cleaned.content == content
    assert cleaned.removed == ("thumbnail",)


@pytest.mark.parametrize(
    ("channels", "transform", "matters"), [(3, 0, True), (3, 1, False), (4, 0, False), (4, 2, True)]
)
def test_colours_by_adobes_marker_stay(channels, transform, matters):
    mode = "RGB" if channels == 3 else "CMYK"
    file = io.BytesIO()
    Image.fromarray(view((40, 56, channels)), mode).save(file, "JPEG")
    content = file.getvalue()
    first = 4 + int.from_bytes(content[4:6], "big")
    adobe = segment(0xEE, b"Adobe\0d\0\0\0\0" + bytes([transform]) + NAME.encode())
    planted = content[:2] + adobe + content[first:]
    cleaned = clean(planted)
    assert_nothing_planted(cleaned.content)
    assert "APP14" in cleaned.removed
    assert np.array_equal(decode(cleaned.content), decode(planted))
    without = content[:2] + content[first:]
    assert np.array_equal(decode(without), decode(planted)) != matters


payloads = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"Exif\0\0", b"JFIF\0", b"JFIF\0\1\1\0\0\1\0\1\0\0", b"Adobe", b"Adobe\0d\0\0\0\0\1", b"\xff\xd9"]
    ),
    st.builds(lambda turn: exif(turn).tobytes(), st.integers(1, 8)),
)
planted_segments = st.lists(
    st.tuples(st.sampled_from([*range(0xE0, 0xF0), 0xFE]), payloads, st.integers(0, 3)), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    colours=st.booleans(),
    quality=st.integers(5, 100),
    progressive=st.booleans(),
    restart=st.sampled_from([0, 1, 3]),
    planted=planted_segments,
    trailing=st.binary(max_size=20),
    seed=st.integers(0, 99),
)
def test_any_jpeg_decodes_to_the_same_pixels(
    sides, colours, quality, progressive, restart, planted, trailing, seed
):
    pixels = view((*sides, 3) if colours else sides, seed)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    encoded = cv2.imencode(".jpg", pixels, [*options, cv2.IMWRITE_JPEG_RST_INTERVAL, restart])[1].tobytes()
    for marker, payload, fill in planted:
        encoded = encoded[:2] + b"\xff" * fill + segment(marker, payload) + encoded[2:]
    content = encoded + trailing
    try:
        expected = decode(content)
    except (ValueError, cv2.error):
        return
    cleaned = clean(content)
    assert np.array_equal(decode(cleaned.content), expected)
    assert clean(cleaned.content).content == cleaned.content
    assert clean(cleaned.content).removed == ()


def test_comments_between_scans_go_as_well():
    encoded = cv2.imencode(".jpg", view(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scans = encoded.split(b"\xff\xda")
    assert len(scans) > 3
    # Before a scan's header come its Huffman tables; a comment fits in front of either.
    planted = b"\xff\xda".join(part + segment(0xFE, NAME.encode()) if i + 1 < len(scans) else part
                               for i, part in enumerate(scans))  # fmt: skip
    cleaned = clean(planted)
    assert cleaned.content == encoded
    assert cleaned.removed == ("comment",)


def test_bytes_between_segments_go():
    encoded = cv2.imencode(".jpg", view())[1].tobytes()
    cleaned = clean(encoded[:20] + NAME.encode() + encoded[20:])
    assert cleaned.content == encoded
    assert cleaned.removed == ("bytes between segments",)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_what_follows_a_cut_off_image_does_not_pass_for_pixels(kind, share):
    encoded = cv2.imencode(kind, view())[1].tobytes()
    for end in (b"", NAME.encode()):
        with pytest.raises(ValueError, match="expected a whole (JPEG|PNG), found one without its end"):
            clean(encoded[: int(len(encoded) * share)] + end)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def planted_png(pixels):
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", NAME)
    info.add_text("Zipped", NAME, zip=True)
    info.add_itxt("International", NAME, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    content = pillow(pixels, "PNG", pnginfo=info, exif=exif(), icc_profile=NAME.encode())
    chunks = png_chunk(b"tIME", b"\x07\xe7\1\2\3\4\5") + png_chunk(b"yaMa", NAME.encode("utf-16-le"))
    return content[:33] + chunks + content[33:] + NAME.encode()


@pytest.mark.parametrize(
    "pixels",
    [view(), view((40, 56, 3)), view((40, 56, 4)), view().astype(np.uint16) * 16],
    ids=["L", "RGB", "RGBA", "I16"],
)
def test_a_png_keeps_its_critical_chunks_alone(pixels):
    content = planted_png(pixels)
    cleaned = clean(content)
    assert_nothing_planted(cleaned.content)
    assert set(cleaned.removed) == {
        "text", "XMP", "EXIF", "ICC profile", "time", "private chunk", "trailing bytes",
    }  # fmt: skip
    assert np.array_equal(decode(cleaned.content), decode(content))
    plain = pillow(pixels, "PNG")
    assert cleaned.content == plain
    assert clean(plain).content == plain


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_png_shows_the_same(mode):
    file = io.BytesIO()
    Image.fromarray(view()).convert(mode).save(file, "PNG", transparency=(9, 9, 9) if mode == "RGB" else 9)
    cleaned = clean(file.getvalue())
    assert cleaned.removed == ("transparency",)
    assert np.array_equal(decode(cleaned.content), decode(file.getvalue()))


@pytest.mark.parametrize(
    "pixels", [view(), view((40, 56, 3)), view().astype(np.uint16) * 16], ids=["L", "RGB", "I16"]
)
@pytest.mark.parametrize("big", [False, True])
def test_a_tiffs_pixels_become_a_png(pixels, big):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[315], tags[33432] = NAME, NAME, NAME
    tags[700], tags[33723] = XMP, NAME.encode()
    tags.tagtype[65000] = 2
    tags[65000] = NAME
    more = Image.fromarray(pixels)
    content = (
        pillow(pixels, "TIFF", tiffinfo=tags, save_all=True, append_images=[more], big_tiff=big)
        + NAME.encode()
    )
    cleaned = clean(content)
    assert_nothing_planted(cleaned.content)
    assert {
        "ImageDescription",
        "Artist",
        "Copyright",
        "XMP",
        "IPTC",
        "private tags",
        "further images",
    } <= set(cleaned.removed)
    stored = cv2.imdecode(np.frombuffer(cleaned.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def identified_dicom():
    """A shipped image with a name planted in every text element that the standard knows."""
    dataset = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    for tag, (vr, *_) in DicomDictionary.items():
        if keyword_for_tag(tag) == "SpecificCharacterSet":
            continue
        if vr in ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE", "CS") and tag >> 16 not in (0, 2, 4, 0x28):
            dataset.add_new(tag, vr, NAME[:16] if vr in ("SH", "AE", "CS") else NAME)
        elif vr in ("UI", "DA", "TM", "DT") and tag >> 16 not in (0, 2, 4, 0x28):
            dataset.add_new(
                tag, vr, {"UI": "1.2.392.19451231", "DA": "19451231", "TM": "194512", "DT": "19451231"}[vr]
            )
    item = pydicom.Dataset()
    item.PatientName = NAME
    dataset.RequestAttributesSequence = [item]
    block = dataset.private_block(0x0011, NAME, create=True)
    block.add_new(1, "LO", NAME)
    dataset.add_new(0x60003000, "OW", (NAME * 50).encode()[:512])
    dataset.preamble = (NAME * 20).encode()[:128]
    dataset.DataSetTrailingPadding = NAME.encode()
    return dataset


def test_a_dicom_file_becomes_pixels_alone():
    dataset = identified_dicom()
    file = io.BytesIO()
    dataset.save_as(file)
    content = file.getvalue()
    assert content.count(NAME.encode()) > 1000
    cleaned = clean(content)
    assert_nothing_planted(cleaned.content)
    for planted in (b"19451231", b"1.2.392", b"CompressedSamples"):
        assert planted not in cleaned.content
    assert [chunk for chunk in (b"tEXt", b"eXIf", b"iTXt", b"zTXt") if chunk in cleaned.content] == []
    assert np.array_equal(decode(cleaned.content), dicom.read(content))
    assert {"PatientName", "PatientBirthDate", "StudyInstanceUID", "private elements", "overlays", "preamble",
            "RequestAttributesSequence", "MediaStorageSOPInstanceUID"} <= set(cleaned.removed)  # fmt: skip


def test_what_is_reported_are_names_and_every_element_is_told():
    dataset = identified_dicom()
    file = io.BytesIO()
    dataset.save_as(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        removed = clean(file.getvalue()).removed
    assert NAME not in "".join([*removed, *(str(warning.message) for warning in caught)])
    public = [element.tag for element in dataset if not element.is_private]
    told = {keyword_for_tag(tag) for tag in public if tag.group not in (0x28, 0x6000)}
    assert told - {"PixelData"} <= set(removed)


def test_a_frame_of_a_run_is_chosen():
    with open(get_testdata_file("examples_ybr_color.dcm", download=False), "rb") as file:
        content = file.read()
    assert np.array_equal(decode(clean(content, 7).content), dicom.read(content, 7))
    assert not np.array_equal(decode(clean(content, 7).content), decode(clean(content).content))


@pytest.mark.parametrize(
    ("content", "frame", "message"),
    [
        (b"", None, "expected a JPEG, PNG, TIFF or DICOM file, found 0 bytes that are none"),
        (b"GIF89a", None, "found 6 bytes that are none"),
        (b"II*\0\x08\0\0\0", None, "expected strips or tiles that the tags place in a TIFF"),
        (b"\xff\xd8\xff\x02\0\4ab", None, "found the unknown marker FF02"),
        (b"\xff\xd8\xff\xe1\0\0ab", None, "found a segment FFE1 of no length"),
        (b"\xff\xd8\xff\xd9", 2, "expected no frame, as only DICOM runs have some, found 2"),
    ],
)
def test_what_is_no_image_is_refused(content, frame, message):
    with pytest.raises(ValueError, match=message):
        clean(content, frame)


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"MM\0+"]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_cleaned_or_refused(start, rest):
    with contextlib.suppress(ValueError):
        assert_nothing_but_pixels(clean(start + rest).content)


def assert_nothing_but_pixels(content):
    assert clean(content).content == content


def test_pseudonyms_are_keyed_and_stay():
    key, other = b"k" * 32, b"l" * 32
    assert pseudonym("1042", key) == pseudonym("1042", key)
    assert pseudonym("1042", key) != pseudonym("1042", other)
    names = {pseudonym(str(index), key) for index in range(2000)}
    assert len(names) == 2000
    assert all(len(name) == 17 and name[0] == "p" and name[1:].isalnum() for name in names)
    assert all(int(name[1:], 16) < 1 << 64 for name in names)


def test_a_pseudonym_is_the_hmac_of_rfc_2104():
    key = bytes(range(32))
    pad = [bytes(byte ^ value for byte in key.ljust(64, b"\0")) for value in (0x36, 0x5C)]
    digest = hashlib.sha256(pad[1] + hashlib.sha256(pad[0] + b"1042").digest()).hexdigest()
    assert pseudonym("1042", key) == "p" + digest[:16]


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="expected a key of 16 bytes or more, found 4"):
        pseudonym("1042", b"1234")


def test_a_report_counts_studies_and_views():
    removals = [("7", ("EXIF", "comment")), ("7", ("EXIF", "EXIF")), ("8", ("EXIF",)), ("9", ())]
    report = removal_report(removals)
    assert report.to_dict("list") == {"what": ["EXIF", "comment"], "studies": [2, 1], "views": [3, 1]}
    assert list(removal_report([]).columns) == ["what", "studies", "views"]
