import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from angiopipe.cohort.drift import drift
from angiopipe.cohort.statistics_page import THUMBNAIL_PIXELS, SheetRow, contact_sheet, render
from angiopipe.study import INDEX, LABELS, VIEW_NAMES
from tests.parsed_page import parsed
from tests.unit.cohort.made_up import made_up_statistics


def text(html: str) -> str:
    return parsed(html).text


def images_of(cohort) -> pd.DataFrame:
    paths = sorted(Path(cohort.images).iterdir())
    rows = [(path.stem[:-4], path.stem[-4:], str(path)) for path in paths]
    return pd.DataFrame(rows, columns=[INDEX, "view", "uri"])


def shown(source: str) -> np.ndarray:
    encoded = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)


def test_a_contact_sheet_shows_the_drawn_studies_own_views(cohort):
    views = images_of(cohort)
    sheet = contact_sheet(views, 5, seed=0)
    assert len({row.study for row in sheet}) == 5
    assert [row.study for row in sheet] == sorted(row.study for row in sheet)
    assert sheet == contact_sheet(views.sample(frac=1, random_state=0), 5, seed=0)
    assert sheet != contact_sheet(views, 5, seed=1)
    for view, source in zip(VIEW_NAMES, sheet[2].thumbnails, strict=True):
        original = cv2.imread(f"{cohort.images}/{sheet[2].study}{view}.jpg", cv2.IMREAD_GRAYSCALE)
        small = shown(source)
        assert max(small.shape) <= THUMBNAIL_PIXELS
        assert small.mean() == pytest.approx(original.mean(), abs=3)


def test_a_contact_sheet_reads_no_image_of_another_study(own_cohort):
    views = images_of(own_cohort)
    drawn = {row.study for row in contact_sheet(views, 3, seed=0)}
    for row in views.rename(columns={INDEX: "study"}).itertuples(index=False):
        if row.study not in drawn:
            Path(row.uri).unlink()
    assert {row.study for row in contact_sheet(views, 3, seed=0)} == drawn


def test_absent_views_and_small_cohorts_have_a_sheet_too(cohort):
    views = images_of(cohort)
    few = views[views[INDEX].isin(views[INDEX].unique()[:2]) & (views["view"] != "RI-B")]
    sheet = contact_sheet(few, 12, seed=0)
    assert [len(row.thumbnails) for row in sheet] == [8, 8]
    assert [row.thumbnails[VIEW_NAMES.index("RI-B")] for row in sheet] == [None, None]
    assert text(render(made_up_statistics(2), sheet)).count("absent") == 2


def test_a_frame_of_a_dicom_run_is_shown(tmp_path):
    content = (np.array([50, 200], np.uint8)[:, None, None] * np.ones((1, 64, 64))).astype(np.uint8)
    run = tmp_path / "run"
    write_dicom_run(run, content)
    views = pd.DataFrame(
        [("7", "LI-A", str(run), 2), ("7", "LI-B", str(run), None)], columns=[INDEX, "view", "uri", "frame"]
    ).astype({"frame": "Int64"})
    thumbnails = contact_sheet(views, 1, seed=0)[0].thumbnails
    # A whole run is shown by its darkest levels, where the contrast agent has been.
    assert shown(thumbnails[0]).mean() > 150 > 100 > shown(thumbnails[1]).mean()
    assert thumbnails[2:] == [None] * 6


def write_dicom_run(path: Path, frames: np.ndarray) -> None:
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = pydicom.uid.XRayAngiographicImageStorage, "1.2.3"
    made.set_pixel_data(frames, "MONOCHROME2", 8)
    made.save_as(path, enforce_file_format=True)


def test_an_image_that_is_none_is_named(own_cohort):
    views = images_of(own_cohort)
    for uri in views["uri"]:
        Path(uri).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"LI-A\.jpg: "):
        contact_sheet(views, 1, seed=0)


def test_the_page_holds_the_figures():
    statistics = made_up_statistics(1200)
    words = text(render(statistics, []))
    train = statistics.splits["train"]
    positives = train.positives["L_MCA"]
    assert f"1,200 studies, {statistics.positives():,} with an aneurysm 9,600 images, 288 MB" in words
    assert f"L_MCA {positives} ({100 * positives / train.studies:.1f} %)" in words
    assert "720 \N{MULTIPLICATION SIGN} 720 9,600 (100.0 %)" in words
    assert "There is no previous run to compare with." in words
    assert all(label in words for label in LABELS)


def test_the_page_needs_nothing_but_itself(cohort):
    html = render(made_up_statistics(30), contact_sheet(images_of(cohort), 2, 0))
    tags = parsed(html).seen
    assert not {"script", "link", "iframe", "object"} & set(tags)
    assert tags.count("svg") == 8
    assert tags.count("img") == 16
    links = re.findall(r"""(?:src|href)=["'](.*?)["']|url\((.*?)\)|@import""", html)
    assert {link[:5] for found in links for link in found if link and not link.startswith("#")} == {"data:"}
    assert "prefers-color-scheme: dark" in html


def test_shifts_are_told_in_words():
    before, now = made_up_statistics(60), made_up_statistics(60, seed=1, darker=25)
    html = render(now, [], drift(before, now), before)
    words = text(html)
    assert "Since the previous run, 8 of 41 figures have shifted, 0 moderately." in words
    assert "shifted LI-A mean grey level PSI" in words
    assert "none BA prevalence odds ratio" in words
    assert html.count('<polyline class="before"') == 8


def test_nothing_shifted_is_told_too():
    before, now = made_up_statistics(60), made_up_statistics(60, seed=1)
    assert "None of 41 figures has shifted since the previous run." in text(
        render(now, [], drift(before, now))
    )


def test_a_label_that_no_training_study_has_is_told():
    assert "No training study has" in text(render(made_up_statistics(12), []))
    assert "No training study has" not in text(render(made_up_statistics(400, prevalence=0.2), []))


def test_a_name_cannot_smuggle_in_html():
    attack = "\"><script>alert('x')</script>"
    statistics = made_up_statistics(12)
    formats = statistics.formats.model_copy(update={"counts": {attack: 96}})
    html = render(statistics.model_copy(update={"formats": formats}), [SheetRow(attack, [None] * 8)])
    assert "script" not in parsed(html).seen
    assert html.count("&lt;script&gt;") >= 2


def test_the_same_statistics_give_the_same_bytes():
    statistics = made_up_statistics(12)
    assert render(statistics, []) == render(statistics, [])


def test_absent_views_are_told():
    whole = made_up_statistics(12)
    without = whole.model_copy(
        update={"views": whole.views | {"LI-A": whole.views["LI-A"].model_copy(update={"images": 5})}}
    )
    assert "7 of 96 views are absent." in text(render(without, []))
    assert "views are absent" not in text(render(whole, []))
