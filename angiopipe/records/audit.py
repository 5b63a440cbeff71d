"""The audit step: what was written is read back with TensorFlow's own reader, and judged."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from angiopipe import storage
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.records.agreement import (
    example_faults,
    label_faults,
    leaked_images,
    pseudonymous_label_faults,
    read_label_lines,
    repeated_studies,
)
from angiopipe.records.manifest import ExamplesManifest, Manifest, StudiesManifest
from angiopipe.step import record_figures, step

if TYPE_CHECKING:  # It imports TensorFlow, which the command line should not wait for.
    from angiopipe.records.readback import SeenStudy, ShardAudit

log = logging.getLogger(__name__)

CHECKS = (
    "bytes and SHA-256 of each shard",
    "checksum of each record",
    "features of each record",
    "each view's SHA-256, decoded pixels and size",
    "labels",
    "counts",
    "each study once",
    "no image in two splits",
)


class AuditReport(Manifest):
    """A passed audit; one that found faults ends in an error instead.

    Attributes:
      location: of the studies' shards.
      fingerprint: of the studies.
      examples_fingerprint: of the examples that were audited with them, if any.
      checks: what was looked at.
      counts: studies per split.
      views: how many were read.
      absent_views: how many more are absent.
      labels: URI of the CSV that the labels equal; empty where none was given.
      bytes: that were read.
      seconds: that it took.
      reader: what read the shards, with its version.
    """

    kind: Literal["audit"] = "audit"
    location: str
    fingerprint: str
    examples_fingerprint: str
    checks: tuple[str, ...]
    counts: dict[str, int]
    views: int
    absent_views: int
    labels: str
    bytes: int
    seconds: float
    reader: str
    verdict: Literal["sound"] = "sound"


@step("audit")
def audit(
    studies: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    labels: str = "",
    examples: str = "",
    on_fault: str = "stop",
    pseudonymise: bool = False,
) -> AuditReport:
    """Reads back every shard with TensorFlow's own reader, whatever wrote it.

    Args:
      studies: URI of the studies' manifest.
      out: where the report is written; nothing is if there are faults.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      labels: the labels CSV that the records must equal; empty skips that.
      examples: URI of the manifest of examples made from the studies; empty skips them.
      on_fault: as in validate: unless it is "quarantine", each line of the labels must have a record.
      pseudonymise: as in ingest: the labels are compared as a whole, for no Index leads from a
        record to its line.

    Raises:
      FaultyStudies: names every fault of every shard.
    """
    # Kept out of the module so that the command line does not wait for TensorFlow.
    from angiopipe.records.readback import audit_shards, example_check, study_check

    started = time.monotonic()
    storage.remove(out)  # An earlier report says nothing of what is there now.
    manifest = StudiesManifest.read(studies)
    found = audit_shards(manifest, study_check(manifest))
    faults = _faults(found) + _label_faults(found, labels, on_fault, pseudonymise)
    derived = ExamplesManifest.read(examples) if examples else None
    made = audit_shards(derived, example_check(derived)) if derived else []
    faults += _example_faults(found, made)
    if faults:
        summary = f"{manifest.location}: {len(faults)} faults in what was written; remove the folder and make it again:"
        raise FaultyStudies(summary, faults)
    report = _report(manifest, found, derived, made, labels, started)
    report.write(out)
    total = sum(report.counts.values())
    record_figures(studies_in=manifest.studies, studies_out=total, views=report.views)
    log.info("audit: %d studies, %d views, read back whole by %s", total, report.views, report.reader)
    return report


def _faults(found: Sequence[ShardAudit]) -> list[Fault | str]:
    """What is wrong in each shard, then what is wrong between them."""
    studies = _studies(found)
    inside = [fault for shard in found for fault in shard.faults]
    return [*inside, *repeated_studies(studies), *leaked_images(studies)]


def _label_faults(
    found: Sequence[ShardAudit], labels: str, on_fault: str, pseudonymise: bool
) -> list[Fault | str]:
    if not labels:
        return []
    # Studies behind a damaged record are out of reach, not absent: that fault is told already.
    complete = on_fault != "quarantine" and all(shard.whole for shard in found)
    differences = pseudonymous_label_faults if pseudonymise else label_faults
    return list(differences(_studies(found), read_label_lines(labels), complete))


def _example_faults(found: Sequence[ShardAudit], made: Sequence[ShardAudit]) -> list[Fault | str]:
    if not made:
        return []
    inside = [fault for shard in made for fault in shard.faults]
    examples = _studies(made)
    between = example_faults(_studies(found), examples) if all(s.whole for s in (*found, *made)) else ()
    return [*inside, *repeated_studies(examples), *between]


def _studies(found: Sequence[ShardAudit]) -> list[SeenStudy]:
    return [seen for shard in found for seen in shard.studies]


def _report(
    manifest: StudiesManifest,
    found: Sequence[ShardAudit],
    derived: ExamplesManifest | None,
    made: Sequence[ShardAudit],
    labels: str,
    started: float,
) -> AuditReport:
    from angiopipe.records.tensorflow_reader import reader_name

    present = [there for seen in _studies(found) for there in seen.present]
    return AuditReport(
        location=manifest.location,
        fingerprint=manifest.fingerprint,
        examples_fingerprint=derived.fingerprint if derived else "",
        checks=CHECKS,
        counts=manifest.counts,
        views=sum(present),
        absent_views=present.count(False),
        labels=labels and storage.absolute(labels),
        bytes=sum(shard.bytes for shard in (*found, *made)),
        seconds=round(time.monotonic() - started, 3),
        reader=reader_name(manifest.location),
    )
