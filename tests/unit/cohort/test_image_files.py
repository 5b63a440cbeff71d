"""Which file is which view: two that could be one, and why there is none of any study."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pytest
from pydicom.data import get_testdata_file

from angiopipe import storage
from angiopipe.cohort.image_files import image_files
from angiopipe.cohort.inventory import take_inventory
from angiopipe.faults import FaultyStudies
from angiopipe.registry.news import source_fingerprint
from angiopipe.study import INDEX, VIEW_NAMES

MANIFEST = "name them in an image manifest, a CSV Index,view,path (docs/data.md)"


def studies(*indices: str) -> pd.DataFrame:
    return pd.DataFrame({INDEX: indices, "line": range(2, 2 + len(indices))})


@pytest.fixture
def folder(tmp_path):
    """Makes files of these names under a folder, empty ones."""

    def make(*names: str) -> str:
        for name in names:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path / "images")

    return make


def whole(index: str, extension: str = ".jpg") -> list[str]:
    return [f"{index}{view}{extension}" for view in VIEW_NAMES]


TWICE = [
    ("7LI-A.jpg", "7LI-A.png"),
    ("7LI-A.JPG", "7LI-A.jpg"),
    ("7LI-A.tif", "7LI-A.tiff"),
    ("7LI-A.jpeg", "7LI-A.jpg"),
    ("7LI-A.PNG", "7LI-A.TIF"),
    ("7LI-A.jpg", "7LI-a.jpg"),
    ("7LI-A.jpg", "7li-a.png"),
    ("7LI-A.jpg", "7LI-A.png", "7LI-A.tif"),
]


@pytest.mark.parametrize("names", TWICE)
def test_a_view_that_several_files_could_be_is_a_fault_that_names_them_all(folder, names):
    images = folder(*whole("7")[1:], *names)
    files = image_files(images, studies("7"))
    assert (files[0].uri, len(files)) == (None, 8)
    _, faults = take_inventory([files[0]])
    first, *others = sorted(f"{images}/{name}" for name in names)
    assert [str(fault) for fault in faults] == [
        f"study 7, view LI-A ({first}, line 2): expected the view once, found {' and '.join(others)} too; "
        "keep the right one"
    ]


def test_a_view_that_is_there_twice_is_not_absent(folder):
    files = image_files(folder("7LI-A.jpg", "7LI-A.png"), studies("7"))
    _, faults = take_inventory(files, allow_missing=7)
    assert [fault.expected for fault in faults] == ["the view once"]


@pytest.mark.parametrize(
    "beside", ["7LI-A.dcm", "7LI-A.txt", "7LI-A", "7LI-A.jpg.png", "07LI-A.png", "7LI-AA.png", "._7LI-A.jpg"]
)
def test_what_is_no_picture_or_no_view_of_the_study_is_no_rival(folder, beside):
    images = folder(*whole("7"), beside)
    assert [file.uri for file in image_files(images, studies("7"))] == [f"{images}/{n}" for n in whole("7")]


def test_no_study_takes_anothers_images_however_alike_they_are_called(folder):
    indices = ["1", "1LI-A", "1LI-A.LI-A", "a1", "A1", "1.2", "1.2.jpg", "01", "1_", "1-", "NA", "na"]
    images = folder(*(name for index in indices for name in whole(index)))
    files = image_files(images, studies(*indices))
    assert [file.uri for file in files] == [f"{images}/{n}" for index in indices for n in whole(index)]
    alone = image_files(images, studies("1LI-A"))
    assert [file.uri for file in alone] == [f"{images}/{name}" for name in whole("1LI-A")]


def test_two_studies_that_differ_in_case_do_not_share_a_file(folder):
    images = folder(*whole("a1"), *whole("A1")[1:])
    files = image_files(images, studies("a1", "A1"))
    assert [file.uri for file in files[:9]] == [*(f"{images}/{name}" for name in whole("a1")), None]
    assert files[8].rivals == ()


def test_a_view_that_is_there_twice_is_news_once_it_is_mended(own_cohort):
    path = Path(own_cohort.images, "1001LI-A.jpg")
    before = source_fingerprint(own_cohort.images, own_cohort.labels)
    other = path.with_suffix(".png")
    other.write_bytes(path.read_bytes())
    assert source_fingerprint(own_cohort.images, own_cohort.labels) != before
    other.unlink()
    assert source_fingerprint(own_cohort.images, own_cohort.labels) == before


def refusal(images: str, *indices: str) -> str:
    with pytest.raises(FaultyStudies) as caught:
        image_files(images, studies(*indices or ("7", "8", "9")))
    assert caught.value.faults == []
    assert str(caught.value).startswith(f"{images}: expected ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{images}: expected ")


def test_a_folder_that_is_not_there_is_told_in_one_sentence(tmp_path):
    told = refusal(str(tmp_path / "imagse"))
    assert told == "images of study 7 and 2 others, found nothing there; correct the path"


def test_an_empty_folder_is_told(folder, tmp_path):
    told = refusal(folder(".DS_Store"), "7")
    assert told == "images of study 7, found an empty folder; correct the path"


def test_a_file_that_is_no_manifest_is_told(folder):
    assert f"found a file that is no folder; give the folder, or {MANIFEST}" in refusal(
        folder("a.zip") + "/a.zip"
    )


def test_files_called_otherwise_are_told(folder):
    told = refusal(folder(*whole("107"), *whole("108"), "7_LIA.jpg"))
    assert (
        f"found 17 files, such as 107LI-A.jpg, none called as 7LI-A.jpg is; rename them, or {MANIFEST}"
        in told
    )


@pytest.mark.parametrize("name", ["IM0001.dcm", "7LI-A.DCM", "IM0001", "1.2.840.10008.1", "I7"])
def test_dicom_without_a_manifest_is_told(folder, name):
    images = folder(name)
    storage.write_bytes(f"{images}/{name}", storage.read_bytes(get_testdata_file("CT_small.dcm")))
    assert f"found 1 files, such as {name}, which is DICOM; {MANIFEST}" in refusal(images)


@pytest.mark.parametrize("name", ["7LI-A.dcm", "x.DICOM", "x.ima"])
def test_files_called_as_dicom_are_told_whatever_they_hold(folder, name):
    assert f"such as {name}, which is DICOM; {MANIFEST}" in refusal(folder("a.txt", name))


@pytest.mark.parametrize("below", ["images", "train_set/images", "a/b/c"])
def test_a_folder_too_high_is_told(folder, below):
    images = folder(*(f"{below}/{name}" for name in whole("8")))
    assert refusal(images).endswith(f"found them in {images}/{below}; give that folder")


def test_a_folder_too_deep_is_told(folder):
    images = folder(*whole("8"), "thumbnails/x.jpg")
    assert refusal(f"{images}/thumbnails").endswith(f"found them in {images}; give that folder")


def test_a_folder_for_each_study_is_told(folder):
    images = folder(*(f"{index}/{name}" for index in "789" for name in whole(index)))
    assert refusal(images).endswith(
        f"found them in {images}/7 and 2 other folders; put them into one, or {MANIFEST}"
    )


def test_a_remote_folder_is_told_alike():
    for name in whole("7"):
        with fsspec.open(f"memory://cohort/high/images/{name}", "wb") as file:
            file.write(b"")
    assert refusal("memory://cohort/high").endswith("cohort/high/images; give that folder")
    assert "found nothing there; correct the path" in refusal("memory://cohort/none")
    assert len(image_files("memory://cohort/high/images", studies("7"))) == 8


def test_a_store_that_lets_nobody_in_is_told(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    told = refusal("s3://another-bucket/images")
    assert "found no answer from s3:// (NoCredentialsError: Unable to locate credentials)" in told


def test_a_manifest_of_other_studies_is_told(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text("Index,view,path\n1,LI-A,a.jpg\n1,LI-B,b.jpg\n2,LI-A,c.jpg\n")
    told = refusal(str(path))
    assert told.startswith(
        "images of study 7 and 2 others, found those of study 1 and 1 others alone; give the man"
    )


def test_a_manifest_whose_files_are_nowhere_is_told(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text(
        "Index,view,path\n" + "".join(f"{i},{v},raw/{i}{v}.dcm\n" for i in "789" for v in VIEW_NAMES)
    )
    told = refusal(str(path))
    assert told.startswith(
        f"the files that it names, found none of them, such as {tmp_path}/raw/7LI-A.dcm; correct"
    )
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "9RV-B.dcm").touch()
    assert len(image_files(str(path), studies("7", "8", "9"))) == 24


def test_a_manifest_that_is_not_there_and_a_folder_called_like_one_are_told_apart(tmp_path):
    told = refusal(str(tmp_path / "images.csv"))
    assert told == "a CSV, found nothing there; correct the path or the permissions"
    (tmp_path / "folder.csv").mkdir()
    for name in whole("7"):
        (tmp_path / "folder.csv" / name).touch()
    assert len(image_files(str(tmp_path / "folder.csv"), studies("7"))) == 8


def test_no_study_wants_no_image(tmp_path):
    assert image_files(str(tmp_path / "none"), studies()) == []
