"""The graphs' results equal what the pure functions give, and appear whole or not at all."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.uid import XRayAngiographicImageStorage

from angiopipe import storage
from angiopipe.cohort.labels import read_labels
from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.defaults import BEAM_ARGS
from angiopipe.faults import FaultyStudies
from angiopipe.imaging import octoview
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.recipe import load_recipe
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import ExamplesManifest, ShardedManifest, StudiesManifest
from angiopipe.records.schema import ExampleRecord, StudyRecord
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES
from tests.small_disks import Mount

SMALL = ["preprocessing.size=32"]
PROCESSES = ("--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


class Line:
    """The data half of the pipeline in one folder."""

    def __init__(self, folder: Path):
        self.folder, self.root = folder, str(folder / "root")

    def validate(self, cohort, **options):
        return validate(
            cohort.images, cohort.labels, str(self.folder / "inventory.json"), self.root, **options
        )

    def ingest(self, **options) -> StudiesManifest:
        out = str(self.folder / "studies.json")
        return ingest(str(self.folder / "inventory.json"), out, self.root, **options)

    def preprocess(self, recipe: str = "octoview", **options) -> ExamplesManifest:
        out = str(self.folder / "examples.json")
        return preprocess(
            str(self.folder / "studies.json"), out, self.root, recipe=recipe, overrides=SMALL, **options
        )


@pytest.fixture
def line(tmp_path, cohort) -> Line:
    line = Line(tmp_path)
    line.validate(cohort)
    return line


def payloads(manifest: ShardedManifest, split: str) -> list[bytes]:
    found: list[bytes] = []
    for uri in manifest.shard_uris(split):
        with open(uri, "rb") as file:
            found += read_records(file, uri)
    return found


def shard_bytes(manifest: ShardedManifest) -> dict[str, bytes]:
    return {shard.name: Path(manifest.location, shard.name).read_bytes() for shard in manifest.shards}


def test_studies_hold_every_image_unchanged_and_every_label(line, cohort):
    manifest = line.ingest()
    labels = read_labels(cohort.labels)[0].set_index(INDEX)
    studies = [StudyRecord.decode(payload) for split in SPLITS for payload in payloads(manifest, split)]
    assert sorted(study.index for study in studies) == sorted(labels.index)
    for study in studies:
        assert study.labels.tolist() == labels.loc[study.index, list(LABELS)].tolist()
        for view, encoded in zip(VIEW_NAMES, study.views, strict=True):
            assert encoded == Path(cohort.images, f"{study.index}{view}.jpg").read_bytes()


def test_a_manifest_tells_its_shards_truly(line):
    manifest = line.ingest()
    for shard in manifest.shards:
        path = Path(manifest.location, shard.name)
        assert (shard.bytes, shard.sha256) == (path.stat().st_size, storage.file_sha256(path))
    for split in SPLITS:
        studies = [StudyRecord.decode(payload) for payload in payloads(manifest, split)]
        assert len(studies) == manifest.counts[split]
        assert {study.split for study in studies} == {split}


@pytest.mark.parametrize("recipe", ["kium_vgg16", "coding_vessels", "octoview"])
def test_examples_equal_the_direct_computation(line, recipe):
    studies, examples = line.ingest(), line.preprocess(recipe)
    fields = load_recipe(recipe, SMALL).preprocessing
    assert examples.shape == fields.shape
    for split in SPLITS:
        pairs = zip(payloads(studies, split), payloads(examples, split), strict=True)
        for study, example in (
            (StudyRecord.decode(s), ExampleRecord.decode(e, fields.shape)) for s, e in pairs
        ):
            views, present = preprocess_study(study.views, fields)
            assert (example.index, example.sha256, example.sizes) == (study.index, study.sha256, study.sizes)
            np.testing.assert_array_equal(example.views, views)
            np.testing.assert_array_equal(example.present, present)
            np.testing.assert_array_equal(example.labels, study.labels)


def test_threads_and_processes_write_the_bytes_that_one_thread_writes(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr("angiopipe.dataflow.ingest.STUDIES_PER_SHARD", 4)
    results = []
    for name, cores, options in (("one", 1, {}), ("threads", 3, {}), ("two", 1, {"beam_args": PROCESSES})):
        monkeypatch.setattr("angiopipe.dataflow.shards.usable_cores", lambda cores=cores: cores)
        (tmp_path / name).mkdir()
        line = Line(tmp_path / name)
        line.validate(cohort)
        results.append((shard_bytes(line.ingest(**options)), shard_bytes(line.preprocess(**options))))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("beam_args", [BEAM_ARGS, PROCESSES], ids=["threads", "processes"])
def test_a_full_disk_is_one_error_that_names_the_shard(line, mount: Mount, beam_args, capfd):
    disk = mount("200k")
    capfd.readouterr()
    with pytest.raises(OSError, match="no space left on device; free some space there") as caught:
        ingest(
            str(line.folder / "inventory.json"),
            str(line.folder / "studies.json"),
            str(disk),
            beam_args=beam_args,
        )
    assert re.match(rf"{disk}/studies/\w+/\w+-00000-of-00001\.tfrecord: ", str(caught.value))
    assert "Traceback" not in capfd.readouterr().err
    assert not list(disk.glob("studies/*/.writing-*"))


def test_unchanged_images_are_not_ingested_again(line, caplog):
    first, examples = line.ingest(), line.preprocess()
    times = {path: path.stat().st_mtime_ns for path in Path(line.root).glob("*/*/*.tfrecord")}
    assert (line.ingest(), line.preprocess()) == (first, examples)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_an_interrupted_run_is_finished_without_making_shards_twice(line):
    manifest = line.ingest()
    whole = shard_bytes(manifest)
    folder = Path(manifest.location)
    (folder / "manifest.json").unlink()
    lost, kept = (folder / shard.name for shard in manifest.shards[:2])
    (folder / f"{lost.name}.json").unlink()  # killed between the shard and its receipt
    before = kept.stat().st_mtime_ns
    assert line.ingest() == manifest
    assert shard_bytes(manifest) == whole
    assert kept.stat().st_mtime_ns == before


def test_a_moved_data_root_is_still_found(line, tmp_path):
    line.ingest()
    Path(line.root).rename(tmp_path / "elsewhere")
    line.root = str(tmp_path / "elsewhere")
    source = (tmp_path / "inventory.json").read_text().replace("/root/", "/elsewhere/")
    (tmp_path / "inventory.json").write_text(source)
    assert line.ingest().location.startswith(line.root)


def test_absent_views_are_zero_and_marked_in_the_example(tmp_path, own_cohort):
    absent = sorted(Path(own_cohort.images).iterdir())[:2]
    for path in absent:
        path.unlink()
    line = Line(tmp_path)
    line.validate(own_cohort, allow_missing=2)
    studies, examples = line.ingest(), line.preprocess()
    index = absent[0].stem[:-4]
    found = {
        record.index: record
        for split in SPLITS
        for record in (ExampleRecord.decode(p, examples.shape) for p in payloads(examples, split))
    }
    assert found[index].present.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert not found[index].views[:2].any()
    assert found[index].views[2:].any()
    assert sum(studies.counts.values()) == 48


def test_nothing_of_the_patient_but_pixels_index_and_labels_enters_a_record(tmp_path, own_cohort):
    path = sorted(Path(own_cohort.images).iterdir())[0]
    exif = Image.Exif()
    exif[0x010E] = "KIM MINSU 1957-03-02"
    image = Image.open(path)
    image.load()
    image.save(path, exif=exif, comment=b"Patient Kim", quality="keep")
    line = Line(tmp_path)
    line.validate(own_cohort)
    manifest = line.ingest()
    stored = b"".join(shard_bytes(manifest).values())
    for planted in (b"KIM MINSU", b"Patient Kim", b"1957-03-02", str(own_cohort.images).encode()):
        assert planted not in stored
    report = pd.read_csv(Path(line.root, "runs", "local", "deidentification.csv"))
    assert dict(zip(report["what"], report["views"], strict=True)) == {"EXIF": 1, "comment": 1}


def dicom_run(view: np.ndarray) -> bytes:
    """A multi-frame XA in which contrast arrives with the second frame, with a patient's name in it."""
    dataset = pydicom.Dataset()
    dataset.PatientName, dataset.Modality, dataset.SOPClassUID = (
        "KIM^MINSU",
        "XA",
        XRayAngiographicImageStorage,
    )
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.NumberOfFrames = "MONOCHROME2", 1, 3
    dataset.Rows, dataset.Columns = view.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = np.stack([np.full_like(view, 255), view, np.full_like(view, 250)]).tobytes()
    buffer = io.BytesIO()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("frame", ["2", ""])
def test_a_dicom_run_becomes_the_example_that_its_pixels_make(tmp_path, own_cohort, frame):
    first, *others = sorted(Path(own_cohort.images).iterdir())
    view = cv2.imread(str(first), cv2.IMREAD_GRAYSCALE)
    run = tmp_path / "own" / "run.dcm"
    run.write_bytes(dicom_run(view))
    lines = [f"{path.stem[:-4]},{path.stem[-4:]},images/{path.name}," for path in others]
    table = ["Index,view,path,frame", f"{first.stem[:-4]},{first.stem[-4:]},run.dcm,{frame}", *lines]
    (tmp_path / "own" / "images.csv").write_text("\n".join(table) + "\n")
    line = Line(tmp_path)
    line.validate(own_cohort._replace(images=str(tmp_path / "own" / "images.csv")))
    studies, examples = line.ingest(), line.preprocess()
    assert b"MINSU" not in b"".join(shard_bytes(studies).values())
    records = [ExampleRecord.decode(p, examples.shape) for split in SPLITS for p in payloads(examples, split)]
    found = next(record for record in records if record.index == first.stem[:-4])
    # The projection takes each pixel's darkest frame, which is the second's but where that is white.
    expected = octoview.transform(
        np.minimum(view, 250) if not frame else view, load_recipe("octoview", SMALL).preprocessing
    )
    np.testing.assert_array_equal(found.views[0], expected)


def test_studies_of_converted_images_are_named_after_the_conversion(tmp_path, own_cohort, monkeypatch):
    line = Line(tmp_path)
    names = []
    for version in (1, 2):
        monkeypatch.setattr("angiopipe.dataflow.ingest.CONVERSION", version)
        line.validate(own_cohort)
        names.append(line.ingest().fingerprint)
    assert names[0] == names[1]  # the images' own bytes, which nothing converts
    first = min(Path(own_cohort.images).iterdir())
    cv2.imwrite(str(first.with_suffix(".tif")), cv2.imread(str(first), cv2.IMREAD_GRAYSCALE))
    first.unlink()
    line.validate(own_cohort)
    for version in (1, 2):
        monkeypatch.setattr("angiopipe.dataflow.ingest.CONVERSION", version)
        names.append(line.ingest().fingerprint)
    assert len(set(names)) == 3


def test_pseudonyms_replace_every_index_and_need_a_key(line, monkeypatch):
    monkeypatch.delenv("ANGIOPIPE_PSEUDONYM_KEY", raising=False)
    with pytest.raises(ValueError, match="expected a key of 16 bytes or more, found 0"):
        line.ingest(pseudonymise=True)
    monkeypatch.setenv("ANGIOPIPE_PSEUDONYM_KEY", "a key that nobody guesses")
    plain, hidden = line.ingest(), line.ingest(pseudonymise=True)
    indices = {s.index for s in (StudyRecord.decode(p) for p in payloads(plain, "train"))}
    pseudonyms = {s.index for s in (StudyRecord.decode(p) for p in payloads(hidden, "train"))}
    assert len(pseudonyms) == len(indices)
    assert not pseudonyms & indices
    assert hidden.fingerprint != plain.fingerprint


def test_a_leak_planted_in_the_inventory_stops_ingest(line):
    views = Path(line.root, "runs", "local", "inventory", "views.parquet")
    table = pd.read_parquet(views)
    labels = pd.read_parquet(views.with_name("labels.parquet")).set_index(INDEX)["split"]
    train, test = (labels.index[labels == split][0] for split in ("train", "test"))
    table.loc[table[INDEX] == test, "sha256"] = table.loc[table[INDEX] == train, "sha256"].to_numpy()
    table.to_parquet(views)
    with pytest.raises(FaultyStudies, match="studies leak between splits"):
        line.ingest()


@pytest.mark.parametrize("moment", ["a shard is written", "receipts are there"])
def test_a_run_killed_at_any_moment_shows_nothing_partial_and_is_finished_by_a_rerun(
    tmp_path, cohort, moment
):
    line = Line(tmp_path)
    line.validate(cohort)
    code = (
        "import angiopipe.dataflow.ingest as i, sys; i.STUDIES_PER_SHARD = 1; "
        "i.ingest(sys.argv[1], sys.argv[2], sys.argv[3])"
    )
    command = [
        sys.executable,
        "-c",
        code,
        str(tmp_path / "inventory.json"),
        str(tmp_path / "x.json"),
        line.root,
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wanted = ".writing-*" if moment == "a shard is written" else "*.json"
    while process.poll() is None and not list(Path(line.root).glob(f"studies/*/{wanted}")):
        time.sleep(0.0005)
    process.kill()
    process.wait()
    assert not list(Path(line.root).glob("studies/*/manifest.json"))
    for path in Path(line.root).glob("studies/*/*.tfrecord"):
        with path.open("rb") as file:
            assert len(list(read_records(file, path.name))) == 1
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    manifest = StudiesManifest.read(str(tmp_path / "x.json"))
    assert sum(manifest.counts.values()) == 48
    for shard in manifest.shards:
        assert storage.file_sha256(Path(manifest.location, shard.name)) == shard.sha256


def test_images_that_changed_since_validation_are_all_named(tmp_path, own_cohort):
    line = Line(tmp_path)
    line.validate(own_cohort)
    first, second = sorted(Path(own_cohort.images).iterdir())[::200]
    for path in (first, second):
        path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FaultyStudies) as caught:
        line.ingest()
    told = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 2
    assert f"study {first.stem[:-4]}, view {first.stem[-4:]}" in told
    assert str(second) in told
    assert not list(Path(line.root).glob("studies/*/manifest.json"))
