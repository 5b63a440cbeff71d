import io
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from angiopipe import storage
from angiopipe.cohort import inventory
from angiopipe.cohort.validate import validate
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX


def run(cohort, tmp_path, **options):
    return validate(
        cohort.images, cohort.labels, str(tmp_path / "out.json"), str(tmp_path / "root"), **options
    )


def views_of(manifest) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(storage.read_bytes(manifest.views_uri)))


def faults_of(cohort, tmp_path, **options) -> list[str]:
    with pytest.raises(FaultyStudies) as caught:
        run(cohort, tmp_path, **options)
    return caught.value.faults


def images(cohort) -> list[Path]:
    return sorted(Path(cohort.images).iterdir())


def test_an_inventory_lists_every_image(cohort, tmp_path):
    manifest = run(cohort, tmp_path)
    views = views_of(manifest)
    assert (manifest.studies, manifest.images, manifest.quarantined) == (48, 8 * 48, 0)
    first = views.iloc[0]
    assert first["bytes"] == Path(first["uri"]).stat().st_size
    assert first["sha256"] == storage.file_sha256(Path(first["uri"]))
    assert (first["format"], first["mode"], first["height"]) == ("JPEG", "L", 96)
    assert views["as_is"].all()


def test_an_image_that_holds_more_than_pixels_is_not_taken_as_it_is(own_cohort, tmp_path):
    plain, spoken, filled = images(own_cohort)[:3]
    spoken.write_bytes(plain.read_bytes()[:2] + b"\xff\xfe\0\x06Anna" + spoken.read_bytes()[2:])
    filled.write_bytes(filled.read_bytes()[:2] + b"\xff" + filled.read_bytes()[2:])
    views = views_of(run(own_cohort, tmp_path)).set_index("uri")
    assert not views.loc[[str(spoken), str(filled)], "as_is"].any()
    assert views.loc[[str(spoken), str(filled)], "removed"].tolist() == ["comment", ""]
    assert views["as_is"].sum() == 8 * 48 - 2


@pytest.mark.parametrize("rows", [7, 8 * 48])
def test_a_table_made_in_parts_is_the_one_made_at_once(cohort, tmp_path, monkeypatch, rows):
    whole = views_of(run(cohort, tmp_path))
    monkeypatch.setattr(inventory, "ROWS_A_TABLE", rows)
    pd.testing.assert_frame_equal(views_of(run(cohort, tmp_path)), whole)


def test_every_study_has_one_split(cohort, tmp_path):
    manifest = run(cohort, tmp_path)
    labels = pd.read_parquet(io.BytesIO(storage.read_bytes(manifest.labels_uri)))
    assert labels[INDEX].is_unique
    assert labels["split"].value_counts().to_dict() == pytest.approx(
        {"train": 31, "validation": 7, "test": 10}, abs=3
    )


def test_the_fingerprint_names_content_not_place_or_order(cohort, own_cohort, tmp_path):
    lines = Path(own_cohort.labels).read_text().splitlines()
    Path(own_cohort.labels).write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert run(own_cohort, tmp_path).data_fingerprint == run(cohort, tmp_path).data_fingerprint


def test_the_fingerprint_changes_with_one_images_bytes(cohort, own_cohort, tmp_path):
    path = images(own_cohort)[0]
    path.write_bytes(cv2.imencode(".jpg", cv2.flip(cv2.imread(str(path), 0), 1))[1].tobytes())
    assert run(own_cohort, tmp_path).data_fingerprint != run(cohort, tmp_path).data_fingerprint


def jpeg(view: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", view)[1].tobytes()


def bomb() -> bytes:
    """A PNG of a few kilobytes that would unpack to 2.5 GB."""
    buffer = io.BytesIO()
    Image.new("L", (500, 500), 7).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = (50_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


NOISE = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
DAMAGED = {
    "empty": (b"", "expected an image, found an empty file"),
    "truncated": (jpeg(NOISE)[:-400], "expected a whole JPEG, found one without its end; copy it again"),
    "header only": (
        jpeg(NOISE)[:40],
        "expected a JPEG, PNG, TIFF file, found 40 bytes that begin with ff d8 ff",
    ),
    "no image": (b"%PDF-1.7 some report", "found 20 bytes that begin with 25 50 44 46"),
    "wrong extension": (
        cv2.imencode(".png", NOISE)[1].tobytes(),
        "expected a file named .jpg to be one, found a PNG file",
    ),
    "constant": (jpeg(np.full((96, 96), 90, np.uint8)), "found every pixel at grey level 90"),
    "tiny": (jpeg(NOISE[:20, :20]), "expected 64 to 8192 pixels a side, found 20 x 20"),
    "bomb": (bomb(), "at most 8192 x 8192 pixels, found far more"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_can_be_wrong_with_an_image_is_told(own_cohort, tmp_path, damage):
    path = images(own_cohort)[3]
    content, message = DAMAGED[damage]
    path.write_bytes(content)
    (fault,) = faults_of(own_cohort, tmp_path)
    assert fault.startswith(f"study {path.stem[:-4]}, view {path.stem[-4:]} ({path}, line 2): ")
    assert message in fault


def test_all_faults_of_labels_and_images_are_told_in_one_error_and_one_table(own_cohort, tmp_path):
    first, second, third = (images(own_cohort)[position] for position in (0, 9, 20))
    first.unlink()
    second.write_bytes(b"")
    shutil.copy(images(own_cohort)[40], third)
    lines = Path(own_cohort.labels).read_text().splitlines()
    Path(own_cohort.labels).write_text("\n".join([*lines, lines[-1].replace("1048", "bad/name")]) + "\n")
    told = faults_of(own_cohort, tmp_path, faults=str(tmp_path / "faults.csv"))
    assert len(told) == 5
    assert "study bad/name (line 50): expected an Index of letters" in told[0]
    assert f"study {first.stem[:-4]} (line 2): expected 8 views, found 7: LI-A is missing" in told[1]
    assert sum("an image of its own, found the bytes of study" in fault for fault in told) == 2
    table = pd.read_csv(tmp_path / "faults.csv", dtype=str, keep_default_na=False)
    assert table.columns.tolist() == ["study", "view", "file", "line", "expected", "found", "remedy"]
    assert len(table) == 5
    assert not (tmp_path / "out.json").exists()
    assert (tmp_path / "root" / "runs" / "local" / "inventory" / "faults.csv").exists()


def test_labels_without_one_faultless_study_are_told_like_any_fault(own_cohort, tmp_path):
    header, *lines = Path(own_cohort.labels).read_text().splitlines()
    Path(own_cohort.labels).write_text("\n".join([header, *(f"../{line}" for line in lines)]) + "\n")
    assert len(faults_of(own_cohort, tmp_path)) == 48


def test_faulty_studies_may_be_quarantined_up_to_a_share(own_cohort, tmp_path):
    faulty = images(own_cohort)[0]
    faulty.write_bytes(b"")
    manifest = run(own_cohort, tmp_path, on_fault="quarantine", quarantine_share=0.03)
    assert (manifest.studies, manifest.quarantined, manifest.images) == (47, 1, 8 * 47)
    assert faulty.stem[:-4] not in set(views_of(manifest)[INDEX])
    assert faulty.stem[:-4] in storage.read_text(manifest.faults_uri)


def test_more_faulty_studies_than_the_share_stop_the_run(own_cohort, tmp_path):
    images(own_cohort)[0].write_bytes(b"")
    with pytest.raises(FaultyStudies, match=r"1 faults in 1 of 48 studies, more than the share of 1\.0%"):
        run(own_cohort, tmp_path, on_fault="quarantine")


def test_absent_views_may_be_allowed(own_cohort, tmp_path):
    for path in images(own_cohort)[:2]:
        path.unlink()
    assert faults_of(own_cohort, tmp_path, allow_missing=1) == [
        "study 1001 (line 2): expected at least 7 views, found 6: LI-A, LI-B are missing; "
        "supply them or remove the study"
    ]
    assert run(own_cohort, tmp_path, allow_missing=2).images == 8 * 48 - 2


def test_a_study_without_any_view_is_never_allowed(own_cohort, tmp_path):
    for path in images(own_cohort)[:8]:
        path.unlink()
    assert "found 0: LI-A" in faults_of(own_cohort, tmp_path, allow_missing=8)[0]


FORMATS = {
    "png 16 bit": (".png", lambda view: cv2.imencode(".png", view.astype(np.uint16) << 4)[1].tobytes()),
    "tiff": (".tif", lambda view: cv2.imencode(".tif", view)[1].tobytes()),
    "tiff 16 bit": (".TIFF", lambda view: cv2.imencode(".tiff", view.astype(np.uint16) << 8)[1].tobytes()),
    "rgb": (".jpeg", lambda view: pillow_bytes(view, "RGB", "JPEG")),
    "rgba": (".png", lambda view: pillow_bytes(view, "RGBA", "PNG")),
    "cmyk": (".jpg", lambda view: pillow_bytes(view, "CMYK", "JPEG")),
}


def pillow_bytes(view: np.ndarray, mode: str, format_: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(view).convert(mode).save(buffer, format_, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_formats_depths_and_colours_are_read_alike(own_cohort, tmp_path, name):
    path = images(own_cohort)[0]
    view = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    extension, encode = FORMATS[name]
    path.unlink()
    path.with_suffix(extension).write_bytes(encode(view))
    manifest = run(own_cohort, tmp_path)
    assert manifest.images == 8 * 48


def test_a_cohort_that_is_quickly_refused_ends_with_nothing_but_the_message(own_cohort, tmp_path):
    images(own_cohort)[0].unlink()
    command = [sys.executable, "-m", "angiopipe", "validate", "--images", own_cohort.images]
    options = ["--labels", own_cohort.labels, "--out", f"{tmp_path}/out", "--data-root", f"{tmp_path}/root"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("angiopipe validate: ")
    assert "Traceback" not in done.stderr
