"""The audit passes what is sound and names each thing that is not, one by one and all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from angiopipe import storage
from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.faults import FaultyStudies
from angiopipe.records.audit import AuditReport, audit
from angiopipe.records.example import encode_example
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, StudiesManifest
from angiopipe.study import LABELS
from tests import written_studies as written

FIRST, SECOND = "train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"


class Written:
    """A data set on disk and what the audit says of it."""

    def __init__(self, folder: Path):
        self.folder, self.location = folder, folder / "studies"
        self.studies = written.cohort()
        self.by_index = {features["index"][0].decode(): features for features in self.studies}
        self.labels = str(folder / "labels.csv")
        written.write_labels(self.labels, self.studies)

    def write(self, **options) -> StudiesManifest:
        return written.write_studies(str(self.location), self.studies, **options)

    def audit(self, **options) -> AuditReport:
        uri, out = str(self.location / MANIFEST_NAME), str(self.folder / "report.json")
        return audit(uri, out, str(self.folder / "root"), **{"labels": self.labels, **options})

    def faults(self, **options) -> list[str]:
        with pytest.raises(FaultyStudies) as caught:
            self.audit(**options)
        assert not (self.folder / "report.json").exists()
        return caught.value.faults

    def damage(self, shard: str, change: Callable[[bytes], bytes]) -> None:
        path = self.location / shard
        path.write_bytes(change(path.read_bytes()))

    def starts(self, shard: str) -> list[int]:
        return written.record_starts((self.location / shard).read_bytes())

    def change_manifest(self, change: Callable[[dict], None]) -> None:
        path = self.location / MANIFEST_NAME
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))


@pytest.fixture
def data(tmp_path) -> Written:
    return Written(tmp_path)


def test_sound_studies_pass_and_the_report_tells_what_was_read(data):
    manifest = data.write()
    report = data.audit()
    assert report == AuditReport.read(str(data.folder / "report.json"))
    assert report.counts == {"train": 6, "validation": 3, "test": 3}
    assert (report.views, report.absent_views) == (96, 0)
    assert report.bytes == sum(shard.bytes for shard in manifest.shards)
    assert (report.reader.split()[0], report.verdict) == ("tensorflow", "sound")
    record = json.loads((data.folder / "root" / "runs" / "local" / "steps" / "audit.json").read_text())
    assert record["step"] == "audit"


def test_what_the_graphs_write_passes_with_its_labels_and_examples(cohort, tmp_path):
    inventory, studies, examples, root = (
        str(tmp_path / n) for n in ("inventory", "studies", "examples", "root")
    )
    validate(cohort.images, cohort.labels, inventory, root)
    ingest(inventory, studies, root)
    preprocess(studies, examples, root, overrides=["preprocessing.size=32"])
    out = str(tmp_path / "report")
    report = audit(studies, out, root, labels=cohort.labels, examples=examples)
    assert sum(report.counts.values()) == 48
    assert report.views == 8 * 48
    assert report.examples_fingerprint == ExamplesManifest.read(examples).fingerprint


def test_absent_views_are_counted_not_blamed(data):
    written.replace_view(data.by_index["1001"], 3, b"")
    data.write()
    report = data.audit()
    assert (report.views, report.absent_views) == (95, 1)


@pytest.mark.parametrize(
    ("within", "told"),
    [
        (5, "the checksum of its length does not fit"),
        (9, "the checksum of its length does not fit"),
        (12, "its checksum does not fit its content"),
        (4000, "its checksum does not fit its content"),
    ],
)
def test_a_flipped_byte_is_named_by_shard_and_record(data, within, told):
    data.write()
    start = data.starts(SECOND)[1]
    data.damage(SECOND, lambda content: written.flipped(content, start + within))
    sha, record = data.faults()
    assert sha.startswith(f"{SECOND}: expected SHA-256")
    assert record.startswith(
        f"{SECOND}: record at byte {start} (study after 1003): {told}; 2 of 3 records could not be audited"
    )


@pytest.mark.parametrize("kept", [5, 12, 100])
def test_a_shard_that_breaks_off_is_named(data, kept):
    data.write()
    start = data.starts(FIRST)[2]
    data.damage(FIRST, lambda content: content[: start + kept])
    size, _, record = data.faults()
    assert f"{FIRST}: expected " in size
    assert f"found {start + kept}" in size
    assert f"{FIRST}: record at byte {start} (study after 1001): the file ends inside it" in record


def test_a_missing_shard_is_named_and_its_studies_are_not_blamed(data):
    data.write()
    (data.location / SECOND).unlink()
    (fault,) = data.faults()
    assert fault.startswith(f"{SECOND}: expected a file of ")
    assert "No such file" in fault


def test_a_manifest_of_other_content_is_told(data):
    data.write()
    data.change_manifest(lambda m: m["shards"][0].update(sha256="0" * 64, bytes=1, studies=2))
    size, sha, count = data.faults()
    assert f"{FIRST}: expected 1 bytes, found" in size
    assert f"{FIRST}: expected SHA-256 000000000000..., found" in sha
    assert f"{FIRST}: expected 2 records, found 3" in count


def test_a_shard_cut_off_between_records_is_short_of_studies(data):
    """Its checksums all fit: only the manifest knows."""
    data.write()
    start = data.starts(FIRST)[2]
    data.damage(FIRST, lambda content: content[:start])
    faults = data.faults()
    assert any(f"{FIRST}: expected 3 records, found 2" in fault for fault in faults)
    assert any("study 1002 (line 4): expected a record, found none in any shard" in fault for fault in faults)


def test_a_label_that_is_not_the_csvs_is_named(data):
    labels = bytearray(data.by_index["1004"]["labels"][0])
    labels[0] = labels[LABELS.index("BA")] = 1
    data.by_index["1004"]["labels"] = [bytes(labels)]
    data.write()
    (fault,) = data.faults()
    assert fault.startswith(
        f"study 1004 ({SECOND}, line 6): expected the labels of its line, found Aneurysm 1, not 0, BA 1, not 0"
    )
    assert data.audit(labels="").labels == ""


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (bytes([1] + [0] * 21), "expected Aneurysm 0, as its locations say, found 1"),
        (bytes([1, 2] + [0] * 20), "expected 22 labels of 0 or 1"),
        (bytes(21), "expected 22 labels of 0 or 1"),
    ],
)
def test_labels_that_cannot_be_are_named(data, labels, told):
    data.by_index["1001"]["labels"] = [labels]
    data.write()
    (fault,) = data.faults(labels="")
    assert f"study 1001 ({FIRST}): {told}" in fault


def test_a_line_without_a_record_is_told_unless_faulty_studies_were_set_aside(data):
    lost = data.studies.pop()
    data.write()
    (fault,) = data.faults()
    assert fault.startswith(f"study {lost['index'][0].decode()} (line 13): expected a record")
    assert data.audit(on_fault="quarantine").counts["test"] == 2


def test_a_record_without_a_line_is_told(data):
    data.studies.append(written.study(2000, "test"))
    data.write()
    (fault,) = data.faults()
    assert "study 2000" in fault
    assert "expected a line in the labels CSV, found none" in fault


def test_pseudonyms_are_compared_by_their_labels(data):
    for features in data.studies:
        features["index"] = [b"p" + features["index"][0][::-1]]
    data.write()
    assert data.audit(pseudonymise=True).verdict == "sound"
    assert len(data.faults()) == 24
    labels = bytearray(22)
    labels[0] = labels[LABELS.index("BA")] = 1
    data.by_index["1004"]["labels"] = [bytes(labels)]
    data.write()
    (fault,) = data.faults(pseudonymise=True)
    assert "study p4001" in fault
    assert "with its labels, not taken by another study, found none" in fault
    data.studies = data.studies[:4]
    data.write()
    (fault,) = data.faults(pseudonymise=True)
    assert "labels CSV: expected 12 records, found 4" in fault


def test_a_csv_without_a_column_is_told(data):
    data.write()
    Path(data.labels).write_text("Index,Aneurysm\n1000,0\n")
    assert "column L_ICA is missing" in data.faults()


@pytest.mark.parametrize("content", [b"no image", b"\xff\xd8\xff\xe0 broken off", b"II*\0 a TIFF"])
def test_a_view_that_cannot_be_decoded_is_named(data, content):
    written.replace_view(data.by_index["1003"], 7, content)
    data.write()
    (fault,) = data.faults()
    assert fault.startswith(f"study 1003, view RV-B ({SECOND}): expected an image that TensorFlow decodes")
    assert f"{len(content)} bytes" in fault


def test_an_image_broken_off_is_named(data):
    written.replace_view(data.by_index["1003"], 0, written.jpeg(1)[:700])
    data.write()
    (fault,) = data.faults()
    assert "study 1003, view LI-A" in fault


def test_a_view_of_another_size_or_other_bytes_is_named(data):
    data.by_index["1002"]["height"][1] = 99
    data.by_index["1002"]["sha256"][2] = b"0" * 64
    data.write()
    size, sha = data.faults()
    assert f"study 1002, view LI-B ({FIRST}): expected 99 x 40 pixels, as recorded, found 32 x 40" in size
    assert "view LV-A" in sha
    assert "expected the bytes of its SHA-256 000000000000..." in sha


def test_a_study_without_a_view_is_named(data):
    for position in range(8):
        written.replace_view(data.by_index["1002"], position, b"")
    data.write()
    (fault,) = data.faults()
    assert f"study 1002 ({FIRST}): expected at least one view, found none" in fault


@pytest.mark.parametrize("feature", ["views", "labels", "index", "height"])
def test_a_record_without_a_feature_is_named(data, feature):
    del data.studies[1][feature]
    data.write(placed=["train"] * 6 + ["validation"] * 3 + ["test"] * 3)
    (fault,) = data.faults()
    assert fault.startswith(f"{FIRST}: record 2 (study after 1000): ")
    assert feature in fault


def test_seven_views_are_told(data):
    data.studies[1]["views"].pop()
    data.write()
    (fault,) = data.faults()
    assert fault.startswith(f"{FIRST}: record 2 (study after 1000): ")


def test_a_study_in_two_splits_is_told_once(data):
    again = {**data.studies[0], "split": [b"test"]}
    data.studies.append(again)
    data.write()
    (fault,) = data.faults()
    assert fault.startswith("study 1000: expected one record in one split, found train (")
    assert "and test (" in fault


def test_a_study_twice_in_one_split_is_told(data):
    data.studies.append(data.studies[0])
    data.write()
    assert any("study 1000: expected one record" in fault for fault in data.faults())


def test_an_image_in_two_splits_is_told_whatever_its_study_is_called(data):
    written.replace_view(data.by_index["1011"], 5, data.by_index["1000"]["views"][0])
    data.write()
    (fault,) = data.faults()
    assert f"study 1000, view LI-A ({FIRST}): expected image" in fault
    assert "in train only, found it as study 1011 view RI-B (test) too" in fault


def test_a_study_in_a_shard_of_another_split_is_named(data):
    data.write(placed=["test"] + ["train"] * 5 + ["validation"] * 3 + ["test"] * 3)
    (fault,) = data.faults()
    assert "study 1000 (test-0" in fault
    assert "expected split test, as the manifest says, found train" in fault


def test_all_faults_are_told_at_once(data):
    written.replace_view(data.by_index["1000"], 2, b"no image")
    written.replace_view(data.by_index["1006"], 0, data.by_index["1001"]["views"][0])
    data.by_index["1002"]["labels"] = [bytes([1] + [0] * 21)]
    data.studies.append({**data.by_index["1001"], "split": [b"validation"]})
    data.write()
    start = data.starts(SECOND)[0]
    data.damage(SECOND, lambda content: written.flipped(content, start + 50))
    (data.location / "test-00000-of-00001.tfrecord").unlink()
    told = "\n".join(data.faults())
    for expected in (
        f"{SECOND}: record at byte 0 (the first study): its checksum does not fit its content; 3 of 3 records",
        f"study 1000, view LV-A ({FIRST}): expected an image",
        f"study 1002 ({FIRST}): expected Aneurysm 0",
        f"study 1002 ({FIRST}, line 4): expected the labels of its line",
        "study 1001: expected one record in one split",
        "study 1001, view LI-A",
        "test-00000-of-00001.tfrecord: expected a file",
    ):
        assert expected in told


def test_an_object_store_is_read_through_staged_copies(data):
    location = "memory://audit/studies"
    written.write_studies(location, data.studies)
    uri, root = f"{location}/{MANIFEST_NAME}", str(data.folder / "root")
    out = str(data.folder / "report.json")
    assert audit(uri, out, root, labels=data.labels).views == 96
    content = storage.read_bytes(f"{location}/{SECOND}")
    storage.write_bytes(f"{location}/{SECOND}", written.flipped(content, 30))
    with pytest.raises(FaultyStudies, match=f"{SECOND}: record at byte 0"):
        audit(uri, out, root)
    fsspec.filesystem("memory").rm("/audit", recursive=True)
    with pytest.raises(FileNotFoundError):
        audit(uri, out, root)


def examples_of(data: Written, **changes) -> str:
    """Examples of 8 x 2 x 2 x 1 bytes made from the studies; `changes` replaces features of study 1001."""
    payloads: dict[str, list[bytes]] = {"train": [], "validation": [], "test": []}
    for features in data.studies:
        example = {
            "index": features["index"],
            "labels": features["labels"],
            "present": [np.ones(8, np.uint8).tobytes()],
            "views": [bytes(range(32))],
        }
        if features["index"] == [b"1001"]:
            example.update(changes)
        payloads[features["split"][0].decode()].append(encode_example(example))
    location = str(data.folder / "examples")
    shards = [written.write_shard(location, f"{split}.tfrecord", split, p) for split, p in payloads.items()]
    manifest = ExamplesManifest(
        fingerprint="e" * 16,
        data_fingerprint="d" * 16,
        location=location,
        shards=tuple(shards),
        shape=(8, 2, 2, 1),
        recipe="octoview",
        preprocessing_digest="",
    )
    manifest.write(f"{location}/{MANIFEST_NAME}")
    return f"{location}/{MANIFEST_NAME}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"views": [bytes(31)]}, "expected views of 8 x 2 x 2 x 1 bytes, found 31 bytes"),
        ({"present": [bytes([1] * 7 + [2])]}, "expected 8 presence flags of 0 or 1"),
        ({"present": [bytes([1] * 7 + [0])]}, "view RV-B (train.tfrecord): expected zeros, as it is absent"),
        ({"present": [bytes([0] + [1] * 7)]}, "expected the study's present (True, True"),
        ({"labels": [bytes([1, 1] + [0] * 20)]}, "expected the study's labels"),
        ({"index": [b"1999"]}, "expected a study it was made from"),
        ({"labels": [bytes(3)]}, "expected 22 labels"),
    ],
)
def test_examples_that_are_not_those_of_the_studies_are_named(data, changes, told):
    data.write()
    assert data.audit(examples=examples_of(data)).examples_fingerprint == "e" * 16
    assert told in "\n".join(data.faults(examples=examples_of(data, **changes)))
