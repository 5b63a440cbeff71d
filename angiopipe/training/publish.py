"""Trained models to the folder that the manifest, written last, makes count."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from angiopipe import storage
from angiopipe.environment import environment
from angiopipe.records.manifest import MANIFEST_NAME, Member, ModelManifest, ensemble_sha256
from angiopipe.training.members import Fitted, Job


def manifest_of(job: Job, fitted: Sequence[Fitted], validation_auroc: float) -> ModelManifest:
    """The manifest of trained models that are yet to be published.

    Args:
      job: what was trained.
      fitted: one model, or the members of an ensemble.
      validation_auroc: of what they say together.
    """
    members: tuple[Member, ...] = ()
    if job.recipe.training.ensemble:
        members = tuple(
            Member(
                weights=one.weights.name,
                weights_sha256=one.sha256,
                best_epoch=one.outcome.best.epoch,
                fold_auroc=one.outcome.best.validation_auroc,
            )
            for one in fitted
        )
    return ModelManifest(
        location=storage.join(job.folder, "model"),
        recipe=job.recipe,
        examples_fingerprint=job.examples.fingerprint,
        data_fingerprint=job.examples.data_fingerprint,
        seed=job.seed,
        best_epoch=0 if members else fitted[0].outcome.best.epoch,
        validation_auroc=validation_auroc,
        weights_sha256=ensemble_sha256(members) if members else fitted[0].sha256,
        members=members,
    )


def publish(trained: ModelManifest, fitted: Sequence[Fitted]) -> None:
    """Writes weights, history, environment and, last, the manifest whose presence makes the folder count."""
    for uri, one in zip(trained.weights_files, fitted, strict=True):
        with storage.new_file(uri) as path:
            shutil.move(one.weights, path)
    storage.write_text(trained.history_uri, _history(fitted).to_csv(index=False))
    storage.write_text(trained.environment_uri, json.dumps(environment(), indent=1) + "\n")
    trained.write(storage.join(trained.location, MANIFEST_NAME))


def _history(fitted: Sequence[Fitted]) -> pd.DataFrame:
    """Every epoch, a row each; of an ensemble with its member, counted from 0."""
    tables = [pd.DataFrame([asdict(epoch) for epoch in one.outcome.history]) for one in fitted]
    if len(tables) == 1:
        return tables[0]
    return pd.concat([table.assign(member=number) for number, table in enumerate(tables)])
