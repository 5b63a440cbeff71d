"""A clinical CSV on its way from validate to the audited examples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from angiopipe import storage
from angiopipe.clinical import MODEL_NAMES, encode
from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.faults import FaultyStudies
from angiopipe.records.audit import audit
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import InventoryManifest, ShardedManifest
from angiopipe.records.schema import ExampleRecord, StudyRecord
from angiopipe.registry.news import source_fingerprint

AGE_OF_1001 = "age,Index,population\n95.5,1001,finnish\n,1003,\n"


class Way:
    """The data half of the pipeline in one folder."""

    def __init__(self, folder: Path, cohort):
        self.folder, self.cohort, self.root = folder, cohort, str(folder / "root")

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def validate(self, clinical: str = "", **options) -> InventoryManifest:
        uri = self.file("clinical.csv") if clinical else ""
        if clinical:
            Path(uri).write_text(clinical)
        cohort = self.cohort
        return validate(
            cohort.images, cohort.labels, self.file("inventory"), self.root, clinical=uri, **options
        )

    def examples(self) -> tuple[ShardedManifest, ShardedManifest]:
        studies = ingest(self.file("inventory"), self.file("studies"), self.root)
        small = ["preprocessing.size=32"]
        return studies, preprocess(self.file("studies"), self.file("examples"), self.root, overrides=small)

    def audit(self):
        data = {"labels": self.cohort.labels, "examples": self.file("examples")}
        return audit(self.file("studies"), self.file("report"), self.root, **data)


@pytest.fixture
def way(tmp_path, cohort) -> Way:
    return Way(tmp_path, cohort)


def payloads(manifest: ShardedManifest) -> list[bytes]:
    found: list[bytes] = []
    for split in manifest.counts:
        for uri in manifest.shard_uris(split):
            with open(uri, "rb") as file:
                found += read_records(file, uri)
    return found


def test_what_is_known_of_a_patient_reaches_the_examples_and_the_audit_agrees(way):
    inventory = way.validate(AGE_OF_1001)
    assert inventory.clinical == ("age",)
    table = pd.read_parquet(io.BytesIO(storage.read_bytes(inventory.clinical_uri))).set_index("Index")
    assert len(table) == 48
    assert table.loc["1001"].tolist() == [90, 2]
    assert table.loc["1002"].tolist() == [-1, -1]
    studies, examples = way.examples()
    assert studies.clinical == examples.clinical == ("age",)
    known = {study.index: study.clinical for study in map(StudyRecord.decode, payloads(studies))}
    assert known.pop("1001") == (90, -1, -1, -1, -1, -1)
    assert set(known.values()) == {(-1,) * 6}
    for payload in payloads(examples):
        example = ExampleRecord.decode(payload, examples.shape)
        expected = encode((90, *(-1,) * 5)) if example.index == "1001" else np.zeros(12)
        np.testing.assert_array_equal(example.clinical, expected)
    assert sum(way.audit().counts.values()) == 48
    told = InventoryManifest.read(way.file("inventory"))
    told_without = studies.model_copy(update={"clinical": ()})
    told_without.write(way.file("studies"))
    with pytest.raises(FaultyStudies, match=r"study 1001 .* expected no clinical values, found \[90, -1"):
        way.audit()
    other = way.validate("Index,age\n1001,31\n")
    assert other.data_fingerprint != told.data_fingerprint


def test_a_cohort_without_clinical_data_is_as_it_was(way):
    plain = way.validate()
    assert plain.clinical == ()
    nothing_known = way.validate("Index,age,population\n1001,,japanese\n")
    assert nothing_known.data_fingerprint == plain.data_fingerprint
    told = way.validate(AGE_OF_1001)
    assert told.data_fingerprint != plain.data_fingerprint
    assert source_fingerprint(way.cohort.images, way.cohort.labels) == plain.data_fingerprint
    found = source_fingerprint(way.cohort.images, way.cohort.labels, way.file("clinical.csv"))
    assert found == told.data_fingerprint


def test_faults_of_the_clinical_data_are_told_with_those_of_the_images(way, own_cohort):
    way.cohort = own_cohort
    next(Path(own_cohort.images).glob("1002LI-A*")).unlink()
    with pytest.raises(FaultyStudies) as caught:
        way.validate("Index,age,smoking\n1001,old,maybe\n7,50,1\n")
    told = "\n".join(caught.value.faults)
    for part in (
        "study 1001 (", "years from 0 to 120 in age, found 'old'", "0 or 1 in smoking, found 'maybe'",
        "study 7 (", "the Index of a study of the labels", "study 1002", "7: LI-A is missing",
    ):  # fmt: skip
        assert part in told
    kept = way.validate("Index,age\n1001,old\n1003,50\n", on_fault="quarantine", quarantine_share=0.1)
    assert (kept.quarantined, kept.clinical) == (2, ("age",))


def test_every_column_that_synthesize_writes_is_read(way):
    clinical = Path(way.cohort.labels).with_name("clinical.csv")
    assert way.validate(clinical.read_text()).clinical == MODEL_NAMES
