"""A test set, and registered models that know it to a stated degree: what the gate's tests share."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from angiopipe.evaluation.fingerprint import studies_fingerprint
from angiopipe.records.framing import write_record
from angiopipe.records.manifest import (
    MANIFEST_NAME,
    Calibration,
    EvaluationManifest,
    InventoryManifest,
    Shard,
    StudiesManifest,
)
from angiopipe.records.schema import StudyRecord
from angiopipe.storage import file_sha256
from angiopipe.study import INDEX, LABELS, VIEW_NAMES
from tests.unit.registry.toy_model import ToyModel

NAME = "detector"
LOCATED = ("L_ICA", "BA")


def study(number: int, split: str) -> StudyRecord:
    """Every other study has an aneurysm, at L_ICA or BA in turn; the eighth view is absent."""
    labels = np.zeros(len(LABELS), np.uint8)
    if number % 2 == 0:
        labels[[0, LABELS.index(LOCATED[number // 2 % 2])]] = 1
    first = json.dumps({"index": str(number), "seed": number, "labels": labels.tolist()}).encode()
    views = (first, *(b"%d-%d" % (number, view) for view in range(1, 7)), b"")
    digests = tuple(hashlib.sha256(view).hexdigest() if view else "" for view in views)
    return StudyRecord(str(number), split, labels, views, digests, digests, ((1, 1),) * 8)


@dataclass
class World:
    """Where everything lies; `add_version` registers a model, `evaluation_of` writes its evaluation."""

    folder: Path
    client: MlflowClient
    tracking_uri: str
    test: list[StudyRecord]

    @property
    def data_root(self) -> str:
        return str(self.folder / "root")

    def add_version(self, skill: float | dict[str, float], seed: int, **settings: object) -> int:
        """Registers a toy model whose skill is one number, or one for each label by name."""
        by_label = skill if isinstance(skill, dict) else {"rest": skill}
        settings |= {
            "skill": [by_label.get(label, by_label["rest"]) for label in LABELS],
            "seed": seed,
            "labels": list(LABELS),
        }
        path = self.folder / f"settings-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]}.json"
        path.write_text(json.dumps(settings))
        evaluated = self.evaluation_of(path)
        run = self.client.create_run(self._experiment())
        self.client.log_param(run.info.run_id, "gate.margin", 0.05)
        self.client.log_artifact(run.info.run_id, evaluated.predictions_uri)
        # Saving takes MLflow a second or two; copies differ in their settings alone.
        package = shutil.copytree(self._package(), f"{run.info.artifact_uri}/model")
        shutil.copy(path, f"{package}/artifacts/settings.json")
        version = self.client.create_model_version(
            NAME,
            package,
            run.info.run_id,
            tags={"weights_sha256": evaluated.weights_sha256, "settings": str(path), "run": "a-run"},
        )
        return int(version.version)

    def _experiment(self) -> str:
        known = self.client.get_experiment_by_name("gate")
        if known:
            return str(known.experiment_id)
        self.client.create_registered_model(NAME)
        return str(self.client.create_experiment("gate", str(self.folder / "artefacts")))

    def _package(self) -> Path:
        """What MLflow makes of the toy model."""
        package = self.folder / "package"
        if not package.exists():
            (self.folder / "settings.json").write_text("{}")
            mlflow.pyfunc.save_model(
                package,
                python_model=str(Path(__file__).with_name("toy_model.py")),
                artifacts={"settings": str(self.folder / "settings.json")},
                pip_requirements=["numpy"],
                input_example=pd.DataFrame([{"LI-A": study(0, "test").views[0]}]),
                signature=False,
            )
        return package

    def settings(self, version: int) -> Path:
        return Path(self.client.get_model_version(NAME, str(version)).tags["settings"])

    def evaluation_of(self, settings: Path, offset: float = 0.0) -> EvaluationManifest:
        """What evaluation finds of the toy model: its answers, by direct computation."""
        model = ToyModel()
        model.settings = {**json.loads(settings.read_text()), "offset": offset, "fails_on": ""}
        answers = model.predict(None, pd.DataFrame({"LI-A": [item.views[0] for item in self.test]}))
        answers.columns = [f"probability_{label}" for label in LABELS]
        labels = np.stack([item.labels for item in self.test])
        truth = pd.DataFrame(labels, columns=[f"true_{label}" for label in LABELS])
        names = pd.DataFrame({INDEX: [item.index for item in self.test], "split": "test"})
        manifest = EvaluationManifest(
            location=str(self.folder / "evaluations" / settings.stem),
            examples_fingerprint="e" * 16,
            data_fingerprint="d" * 16,
            weights_sha256=file_sha256(settings),
            test_fingerprint=studies_fingerprint(
                [item.index for item in self.test], labels, [item.sha256 for item in self.test]
            ),
            calibration=Calibration(),
            operating_points=(),
            metrics={"test_auroc": 0.5},
            roc=(),
        )
        Path(manifest.location).mkdir(parents=True, exist_ok=True)
        pd.concat([names, truth, answers], axis=1).to_csv(manifest.predictions_uri, index=False)
        manifest.write(f"{manifest.location}/{MANIFEST_NAME}")
        return manifest

    def arguments(self, version: int, **changes: str) -> dict:
        """Of the promote step."""
        evaluated = self.folder / "evaluations" / self.settings(version).stem / MANIFEST_NAME
        return {
            "data_root": self.data_root,
            "tracking_uri": self.tracking_uri,
            "model_name": NAME,
            "version": version,
            "why": "a test",
            "evaluation": str(evaluated),
            "studies": str(self.folder / "studies" / MANIFEST_NAME),
            **changes,
        }


def make_world(folder: Path, tracking_uri: str, studies: int = 120) -> World:
    """Writes the studies' shards, two of the test split and one to train on."""
    test = [study(number, "test") for number in range(studies)]
    train = [study(1000 + number, "train") for number in range(4)]
    (folder / "studies").mkdir(parents=True)
    cut = studies // 3
    shards = [
        _write_shard(folder / "studies" / name, split, records)
        for name, split, records in (
            ("train-0.tfrecord", "train", train),
            ("test-0.tfrecord", "test", test[:cut]),
            ("test-1.tfrecord", "test", test[cut:]),
        )
    ]
    manifest = StudiesManifest(
        fingerprint="f" * 16,
        data_fingerprint="d" * 16,
        location=str(folder / "studies"),
        shards=tuple(shards),
    )
    manifest.write(str(folder / "studies" / MANIFEST_NAME))
    return World(folder, MlflowClient(tracking_uri), tracking_uri, test)


def write_inventory(folder: Path, splits: dict[int, str]) -> str:
    """An inventory's tables for studies by number; the URI of its manifest."""
    folder.mkdir(parents=True)
    records = [study(number, split) for number, split in splits.items()]
    pd.DataFrame({INDEX: [r.index for r in records], "split": [r.split for r in records]}).to_parquet(
        folder / "labels.parquet"
    )
    rows = [
        (record.index, view, digest)
        for record in records
        for view, digest in zip(VIEW_NAMES, record.original_sha256, strict=True)
        if digest
    ]
    pd.DataFrame(rows, columns=[INDEX, "view", "sha256"]).to_parquet(folder / "views.parquet")
    InventoryManifest(
        location=str(folder),
        fingerprint="i" * 16,
        data_fingerprint="d" * 16,
        studies=len(records),
        positives=0,
        images=0,
        quarantined=0,
    ).write(str(folder / MANIFEST_NAME))
    return str(folder / MANIFEST_NAME)


def _write_shard(path: Path, split: str, records: list[StudyRecord]) -> Shard:
    with path.open("wb") as file:
        for record in records:
            write_record(file, record.encode())
    return Shard(
        name=path.name, split=split, studies=len(records), bytes=path.stat().st_size, sha256=file_sha256(path)
    )
