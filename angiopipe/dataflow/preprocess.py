"""The preprocess step: studies become examples, uint8 views ready for training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from angiopipe import defaults, storage
from angiopipe.clinical import MODEL_VARIABLES, encode
from angiopipe.dataflow.shards import make_once, make_shards
from angiopipe.faults import FaultyStudies
from angiopipe.imaging.preprocess import preprocess_study, preprocessing_version
from angiopipe.recipe import DEFAULT_RECIPE, Preprocessing, load_recipe
from angiopipe.records.framing import read_records
from angiopipe.records.manifest import ExamplesManifest, StudiesManifest
from angiopipe.records.schema import ExampleRecord, StudyRecord
from angiopipe.step import record_figures, step

RECORD_FORMAT = "examples-2"


@dataclass(frozen=True)
class ExamplesPlan:
    """One shard of examples to be made from one shard of studies."""

    name: str
    split: str
    source: str


@step("preprocess")
def preprocess(
    studies: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    beam_args: Sequence[str] = defaults.BEAM_ARGS,
) -> ExamplesManifest:
    """Makes a recipe's examples from studies.

    Args:
      studies: URI of the studies' manifest.
      out: where the examples' manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      recipe: whose preprocessing to apply.
      overrides: recipe fields to change, such as `preprocessing.size=128`.
      beam_args: Beam's own options: `--beam-args="--runner=PortableRunner --parallelism=2"`.

    Raises:
      FaultyStudies: views cannot be decoded; names every one.
    """
    source = StudiesManifest.read(studies)
    settings = load_recipe(recipe, overrides).preprocessing
    fingerprint = _fingerprint(source, settings)
    location = storage.join(storage.absolute(data_root), "examples", fingerprint)
    manifest = make_once(
        ExamplesManifest,
        location,
        lambda: ExamplesManifest(
            fingerprint=fingerprint,
            data_fingerprint=source.data_fingerprint,
            location=location,
            shards=make_shards(
                plan_examples(source), partial(make_examples, settings=settings), location, beam_args
            ),
            shape=settings.shape,
            recipe=recipe,
            preprocessing_digest=settings.digest(),
            clinical=source.clinical,
        ),
    )
    manifest.write(out)
    record_figures(studies_in=source.studies, studies_out=manifest.studies, bytes_out=manifest.bytes)
    return manifest


def plan_examples(studies: StudiesManifest) -> list[ExamplesPlan]:
    """One shard of examples for each shard of studies."""
    return [
        ExamplesPlan(shard.name, shard.split, storage.join(studies.location, shard.name))
        for shard in studies.shards
    ]


def make_examples(plan: ExamplesPlan, settings: Preprocessing) -> Iterator[bytes]:
    """Yields the examples of a shard, one study in memory at a time.

    Raises:
      CorruptRecord: the shard of studies is not what was written.
      FaultyStudies: after the last study, if views cannot be decoded.
    """
    faults = []
    with storage.staged(plan.source) as path, path.open("rb") as file:
        for payload in read_records(file, plan.source):
            study = StudyRecord.decode(payload)
            try:
                views, present = preprocess_study(study.views, settings)
            except ValueError as error:
                faults.append(f"study {study.index}: {error}")
                continue
            known = encode(study.clinical) if study.clinical else None
            example = ExampleRecord(
                study.index, study.labels, present, views, study.sha256, study.sizes, known
            )
            yield example.encode()
    if faults:
        raise FaultyStudies(f"{plan.source}: {len(faults)} studies cannot be preprocessed:", faults)


def _fingerprint(studies: StudiesManifest, settings: Preprocessing) -> str:
    parts = [RECORD_FORMAT, studies.fingerprint, preprocessing_version(settings)]
    if studies.clinical:  # Another way of encoding makes other examples.
        parts.append(repr([(v.name, v.categories, v.centre, v.scale) for v in MODEL_VARIABLES]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
