"""The data set of a run, as MLflow lists a run's inputs: one a split, with our fingerprint as digest."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.schema import TensorDatasetSchema
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import DatasetInput, InputTag
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from angiopipe import storage
from angiopipe.records.manifest import MANIFEST_NAME, ExamplesManifest, ModelManifest
from angiopipe.registry.tracking import Tracking
from angiopipe.study import LABELS

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


def dataset_name(split: str) -> str:
    """MLflow keeps one input of a name and digest, so each split has a name of its own."""
    return f"angiograms-{split}"


class Examples(Dataset):
    """The examples of one split.

    Attributes:
      manifest: of the examples.
      split: train, validation or test.
    """

    def __init__(self, manifest: ExamplesManifest, split: str):
        self.manifest, self.split = manifest, split
        super().__init__(_source(manifest.location), dataset_name(split), manifest.data_fingerprint)

    def _compute_digest(self) -> str:
        return self.manifest.data_fingerprint

    @property
    def profile(self) -> dict[str, Any]:
        """What there is of it, and in which form."""
        return {
            "studies": self.manifest.counts.get(self.split, 0),
            "recipe": self.manifest.recipe,
            "examples_fingerprint": self.manifest.fingerprint,
            "preprocessing_digest": self.manifest.preprocessing_digest,
        }

    @property
    def schema(self) -> TensorDatasetSchema:
        """Views in, labels out."""
        views = TensorSpec(np.dtype(np.uint8), (-1, *self.manifest.shape), name="views")
        labels = TensorSpec(np.dtype(np.uint8), (-1, len(LABELS)), name="labels")
        return TensorDatasetSchema(Schema([views]), Schema([labels]))

    def to_dict(self) -> dict[str, str]:
        """The fields that MLflow stores, JSON within JSON."""
        return {
            **super().to_dict(),
            "profile": json.dumps(self.profile),
            "schema": json.dumps(self.schema.to_dict()),
        }


def _source(location: str) -> DatasetSource:
    # MLflow finds two kinds of local source, the same but for their warning.
    local = storage.is_local(location)
    return LocalArtifactDatasetSource(location) if local else resolve_dataset_source(location)


def log_datasets(tracking: Tracking, trained: ModelManifest) -> None:
    """Names the splits of the examples as the run's inputs, with their contexts."""
    location = storage.join(
        storage.absolute(tracking.key.data_root), "examples", trained.examples_fingerprint
    )
    uri = storage.join(location, MANIFEST_NAME)
    if not storage.exists(uri):
        log.warning("%s: not found, so the MLflow run names no data set", uri)
        return
    manifest = ExamplesManifest.read(uri)
    inputs = [
        DatasetInput(Examples(manifest, split)._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, split)])
        for split in SPLITS
    ]
    tracking.ask("logging the data set", lambda: tracking.client.log_inputs(tracking.run_id, inputs))
