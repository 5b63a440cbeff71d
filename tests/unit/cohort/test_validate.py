import io
import shutil
from pathlib import Path

import pandas as pd
import pytest

from angiopipe import storage
from angiopipe.cohort.validate import validate
from angiopipe.step import FaultyStudies


def run(cohort, tmp_path, root="root"):
    return validate(cohort.images, cohort.labels, str(tmp_path / "out.json"), str(tmp_path / root))


def test_an_inventory_lists_every_image(cohort, tmp_path):
    manifest = run(cohort, tmp_path)
    views = pd.read_parquet(io.BytesIO(storage.read_bytes(manifest.views_uri)))
    assert manifest.studies == 48
    assert len(views) == 8 * 48
    first = views.iloc[0]
    content = Path(first["uri"]).read_bytes()
    assert first["bytes"] == len(content)
    assert first["sha256"] == storage.file_sha256(Path(first["uri"]))


def test_the_fingerprint_names_content_not_place_or_order(cohort, own_cohort, tmp_path):
    lines = Path(own_cohort.labels).read_text().splitlines()
    Path(own_cohort.labels).write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert run(own_cohort, tmp_path).data_fingerprint == run(cohort, tmp_path).data_fingerprint


def test_the_fingerprint_changes_with_one_images_bytes(cohort, own_cohort, tmp_path):
    first, second = sorted(Path(own_cohort.images).iterdir())[:2]
    shutil.copy(second, first)
    assert run(own_cohort, tmp_path).data_fingerprint != run(cohort, tmp_path).data_fingerprint


def test_all_faults_are_told_in_one_error_and_nothing_is_written(own_cohort, tmp_path):
    images = sorted(Path(own_cohort.images).iterdir())
    names = [path.stem for path in (images[0], images[9], images[20])]
    images[0].unlink()
    images[9].write_bytes(b"")
    images[20].write_bytes(images[20].read_bytes()[:40])
    with pytest.raises(FaultyStudies) as caught:
        run(own_cohort, tmp_path)
    told = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    assert f"study {names[0][:-4]}: expected 8 views, found 7: {names[0][-4:]} is missing (line " in told
    assert f"study {names[1][:-4]}, view {names[1][-4:]} ({images[9]}, line " in told
    assert "expected a readable JPEG, PNG or TIFF, found 40 bytes that are not one" in told
    assert not (tmp_path / "out.json").exists()


def test_a_folder_without_images_names_every_study(own_cohort, tmp_path):
    shutil.rmtree(own_cohort.images)
    with pytest.raises(
        FaultyStudies, match="found 0: LI-A, LI-B, LV-A, LV-B, RI-A, RI-B, RV-A, RV-B are missing"
    ):
        run(own_cohort, tmp_path)
