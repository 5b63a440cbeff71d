"""The graphs' results equal what the pure functions give, and appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from angiopipe import storage
from angiopipe.cohort.labels import read_labels
from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.recipe import load_recipe
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import ExamplesManifest, ShardedManifest, StudiesManifest
from angiopipe.records.schema import ExampleRecord, StudyRecord
from angiopipe.step import FaultyStudies
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES

SMALL = ["preprocessing.size=32"]


class Line:
    """The data half of the pipeline in one folder."""

    def __init__(self, folder: Path):
        self.folder, self.root = folder, str(folder / "root")

    def validate(self, cohort):
        return validate(cohort.images, cohort.labels, str(self.folder / "inventory.json"), self.root)

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
    labels = read_labels(cohort.labels).set_index(INDEX)
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
            assert example.index == study.index
            np.testing.assert_array_equal(example.views, views)
            np.testing.assert_array_equal(example.present, present)
            np.testing.assert_array_equal(example.labels, study.labels)


def test_two_processes_write_the_bytes_that_one_writes(tmp_path, cohort):
    processes = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    results = []
    for name, options in (("one", {}), ("two", {"beam_args": processes})):
        (tmp_path / name).mkdir()
        line = Line(tmp_path / name)
        line.validate(cohort)
        results.append((shard_bytes(line.ingest(**options)), shard_bytes(line.preprocess(**options))))
    assert results[0] == results[1]


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
