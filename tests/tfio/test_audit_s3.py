"""The audit of studies on a real S3 server, read by TensorFlow through tensorflow-io."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from angiopipe import storage
from angiopipe.faults import FaultyStudies
from angiopipe.records import tensorflow_reader
from angiopipe.records.audit import AuditReport, audit
from angiopipe.records.manifest import MANIFEST_NAME, StudiesManifest
from tests import written_studies as written
from tests.tfio.conftest import run_audit

SHARD = "train-00001-of-00002.tfrecord"


@dataclass
class Written:
    """A data set under a root, on S3 or on disk."""

    root: str
    manifest: StudiesManifest

    @property
    def shard(self) -> str:
        return f"{self.manifest.location}/{SHARD}"

    @property
    def report(self) -> str:
        return f"{self.root}/report.json"

    @property
    def arguments(self) -> dict[str, str]:
        return {
            "studies": f"{self.manifest.location}/{MANIFEST_NAME}",
            "out": self.report,
            "data_root": f"{self.root}/data",
            "labels": f"{self.root}/labels.csv",
        }

    def command(self):
        flags = [(f"--{name.replace('_', '-')}", value) for name, value in self.arguments.items()]
        return run_audit(*(part for flag in flags for part in flag))

    def flip(self) -> int:
        """Flips a byte in the content of the shard's second record; tells where the record begins."""
        content = storage.read_bytes(self.shard)
        start = written.record_starts(content)[1]
        storage.write_bytes(self.shard, written.flipped(content, start + 1000))
        return start


def write(root: str) -> Written:
    studies = written.cohort()
    written.write_labels(f"{root}/labels.csv", studies)
    return Written(root, written.write_studies(f"{root}/studies", studies))


@pytest.fixture
def on_s3(s3) -> Written:
    return write(f"{s3}/{uuid.uuid4().hex}")


@pytest.fixture
def on_disk(tmp_path) -> Written:
    return write(str(tmp_path))


def test_sound_studies_pass_through_tensorflow_io(on_s3):
    done = on_s3.command()
    assert done.returncode == 0, done.stderr
    report = AuditReport.read(on_s3.report)
    assert report.reader == "tensorflow-io 0.37.1"
    assert report.counts == {"train": 6, "validation": 3, "test": 3}
    assert report.views == 96
    assert report.bytes == sum(shard.bytes for shard in on_s3.manifest.shards)
    assert storage.exists(f"{on_s3.root}/data/runs/local/steps/audit.json")
    assert "read back whole by tensorflow-io 0.37.1" in done.stderr


def test_a_byte_flipped_on_s3_is_found_and_named(on_s3):
    start = on_s3.flip()
    done = on_s3.command()
    assert done.returncode == 1, done.stderr
    assert (
        f"{SHARD}: record at byte {start} (study after 1003): its checksum does not fit its content"
        in done.stderr
    )
    assert f"{SHARD}: expected SHA-256" in done.stderr
    assert not storage.exists(on_s3.report)
    assert SHARD in storage.read_text(f"{on_s3.root}/data/runs/local/failures/audit.json")


def test_a_shard_lost_from_s3_is_named(on_s3):
    storage.remove(on_s3.shard)
    done = on_s3.command()
    assert done.returncode == 1, done.stderr
    assert f"{SHARD}: expected a file of" in done.stderr
    assert done.stderr.count("tfrecord:") == 1


def test_plain_tensorflow_audits_staged_copies_of_what_is_on_s3(on_s3, monkeypatch):
    monkeypatch.setattr(tensorflow_reader, "_has_tensorflow_io", lambda: False)
    assert audit(**on_s3.arguments).reader == "tensorflow 2.17.1"
    start = on_s3.flip()
    with pytest.raises(FaultyStudies, match=f"{SHARD}: record at byte {start}"):
        audit(**on_s3.arguments)


def test_a_local_disk_needs_no_tensorflow_io(on_disk):
    report = audit(**on_disk.arguments)
    assert (report.reader, report.views) == ("tensorflow 2.17.1", 96)
    start = on_disk.flip()
    with pytest.raises(FaultyStudies, match=f"{SHARD}: record at byte {start}"):
        audit(**on_disk.arguments)
    assert not Path(on_disk.report).exists()
