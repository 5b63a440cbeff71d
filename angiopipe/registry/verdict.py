"""The gate's verdict on one version, and what is kept of it in MLflow."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from angiopipe.records.manifest import Manifest
from angiopipe.registry.gate import PASSED, Difference, Judgement

FOLDER = "gate"
"""In the MLflow run of the version that was judged."""

ScoresFrom = Literal["scored", "stored", "none"]


class ServingCheck(Manifest):
    """The packaged predictor, loaded from the registry as a consumer does, against the evaluation.

    Attributes:
      studies: how many were compared.
      largest_difference: between two probabilities of the same label and study.
      tolerance: what may lie between them.
      failure: what is wrong, in words; empty where all is well.
      example: what it answers to the made-up study that it was registered with; a later check of the
        version needs no patient.
    """

    studies: int
    largest_difference: float | None
    tolerance: float
    failure: str = ""
    example: tuple[float | None, ...] = ()


class Verdict(Manifest):
    """Everything the gate found out about a challenger.

    Attributes:
      reason: the verdict in words.
      passed: whether it may become champion.
      model_name, challenger, champion: the versions compared; no champion is None.
      test_fingerprint, test_studies: the frozen test set.
      margin: the recipe's.
      judgement: figures.
      serving_check: of the challenger.
      champion_scores: "scored" now by its own predictor, or "stored" with its run by an evaluation on
        the same test set.
      champion_tested_on: fingerprint of the test set of the champion's own gate; None if not known.
      exposure: what is known of test studies that the champion was trained on, in words.
      notes: what else a reader should know.
      run_id: the pipeline's run.
      when: UTC.
    """

    kind: Literal["verdict"] = "verdict"
    reason: str
    passed: bool
    model_name: str
    challenger: int
    champion: int | None
    test_fingerprint: str
    test_studies: int
    margin: float
    judgement: Judgement
    serving_check: ServingCheck
    champion_scores: ScoresFrom = "none"
    champion_tested_on: str | None = None
    exposure: str = ""
    notes: tuple[str, ...] = ()
    run_id: str
    when: str

    @property
    def aneurysm(self) -> Difference | None:
        return self.judgement.aneurysm


def passed(judgement: Judgement) -> bool:
    return judgement.outcome in PASSED


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def artefact(client: MlflowClient, mlflow_run_id: str, name: str) -> bytes | None:
    """The content of a run's artefact; None where the run or the artefact is gone."""
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as folder:
        try:
            return Path(client.download_artifacts(mlflow_run_id, name, folder)).read_bytes()
        except (MlflowException, OSError):
            return None


def recorded(client: MlflowClient, model_name: str, version: int) -> Verdict | None:
    """The last verdict on a version; None where it never was at the gate."""
    known = client.get_model_version(model_name, str(version))
    name = known.tags.get("gate_verdict")
    content = artefact(client, known.run_id, name) if name else None
    return Verdict.model_validate_json(content) if content else None


def record(client: MlflowClient, verdict: Verdict, mlflow_run_id: str) -> None:
    """Keeps a verdict as an artefact of the version's run and as tags of the version."""
    against = "none" if verdict.champion is None else verdict.champion
    stamp = verdict.when.replace(":", "").partition("+")[0]
    name = f"verdict-{stamp}-against-{against}.json"
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as folder:
        path = Path(folder) / name
        verdict.write(str(path))
        client.log_artifact(mlflow_run_id, str(path), FOLDER)
    for key, value in _tags(verdict, f"{FOLDER}/{name}").items():
        client.set_model_version_tag(verdict.model_name, str(verdict.challenger), key, value)


def _tags(verdict: Verdict, artefact: str) -> dict[str, str]:
    tags = {
        "gate": verdict.judgement.outcome,
        "gate_reason": verdict.reason,
        "gate_champion": "none" if verdict.champion is None else str(verdict.champion),
        "gate_champion_scores": verdict.champion_scores,
        "gate_verdict": artefact,
        "gate_exposure": verdict.exposure,
    }
    if not verdict.serving_check.failure:
        # Only then do the scores stored with its run stand for what it serves.
        tags["gate_test_fingerprint"] = verdict.test_fingerprint
    if verdict.aneurysm:
        tags["gate_auroc_challenger"] = f"{verdict.aneurysm.challenger:.4f}"
        tags["gate_auroc_champion"] = f"{verdict.aneurysm.champion:.4f}"
        tags["gate_auroc_difference"] = (
            f"{verdict.aneurysm.difference:+.4f} ({verdict.aneurysm.low:+.4f} to {verdict.aneurysm.high:+.4f})"
        )
    return tags
