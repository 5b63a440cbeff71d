"""How a local run ends: each pipeline's last artefact has words of its own, whatever became of the model."""

from __future__ import annotations

import importlib
import typing

import pytest
from google.protobuf.json_format import MessageToDict

from angiopipe.__main__ import COMMANDS
from angiopipe.dataflow.score import PredictionsManifest
from angiopipe.outcome import outcome
from angiopipe.records.manifest import Shard
from angiopipe.registry.gate import Outcome
from angiopipe.registry.promote import PromotionManifest
from angiopipe.step import run_folder
from pipelines.commands.run import TELLERS, summary
from pipelines.graphs import PIPELINES, load

RETRAINING = "retraining"
"""Ends in an exit handler, so in no artefact but in the account of the run."""


def last_artefact(pipeline: str) -> str:
    """The kind of the manifest that the step writes which a pipeline's own output comes from."""
    root = MessageToDict(load(pipeline).pipeline_spec)["root"]["dag"]
    if "outputs" not in root:
        return "outcome"
    (selector,) = root["outputs"]["artifacts"]["Output"]["artifactSelectors"]
    step = selector["producerSubtask"]
    function = getattr(importlib.import_module(COMMANDS[step]), step)
    manifest = typing.get_type_hints(function)["return"]
    return str(manifest.model_fields["kind"].default)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_pipeline_ends_with_has_words_of_its_own(pipeline):
    assert last_artefact(pipeline) in TELLERS


def promotion(ended: str) -> PromotionManifest:
    promoted = ended in ("first", "passed")
    return PromotionManifest(
        tracking_uri="sqlite:////data/mlflow.db",
        model_name="aneurysm-detector",
        version=2,
        mlflow_run_id="r",
        promoted=promoted,
        outcome=ended,
        reason=f"because it is {ended}",
        champion=2 if promoted else 1,
        aliases=("champion", "challenger") if promoted else (),
        overruled=False,
        metrics={"test_auroc": 0.9, "test_auroc_low": 0.8, "test_auroc_high": 0.95, "test_studies": 9.0},
        report_uri="/data/report.html",
    )


@pytest.mark.parametrize("ended", typing.get_args(Outcome))
@pytest.mark.parametrize("pipeline", [name for name in PIPELINES if name != "scoring"])
def test_a_model_at_the_gate_is_told_with_its_figures_and_what_became_of_it(pipeline, ended, tmp_path):
    made = promotion(ended)
    if pipeline == RETRAINING:
        made.write(f"{run_folder(str(tmp_path), 'r')}/promotion.json")
        told = summary(outcome("SUCCEEDED", str(tmp_path / "out.json"), str(tmp_path), "r"), 7)
        assert f"outcome      {'promoted' if made.promoted else 'not promoted'}: because" in told
    else:
        assert last_artefact(pipeline) == made.kind
        told = summary(made.model_dump(), 7)
    aliases = "champion, challenger" if made.promoted else "none"
    assert "test AUROC   0.900 (95 % interval 0.800 to 0.950, 9 studies)" in told
    assert f"registered   aneurysm-detector, version 2, alias {aliases}\n" in told
    assert f"gate         {'promoted' if made.promoted else 'not promoted'}: because it is {ended}" in told
    assert told.endswith("finished     in 7 s")


def test_a_run_that_came_to_no_model_says_why(tmp_path):
    account = outcome("SUCCEEDED", str(tmp_path / "out.json"), str(tmp_path))
    assert summary(account, 7).strip().startswith("outcome      ended: no step noted a result")


def test_scored_studies_are_counted():
    shards = tuple(Shard(name=str(n), split="scored", studies=n, bytes=1, sha256="0") for n in (3, 4))
    made = PredictionsManifest(
        fingerprint="f", data_fingerprint="d", location="/data", shards=shards, model_name="m",
        model_version="2", weights_sha256="w", operating_point="youden", quarantined=1,
    )  # fmt: skip
    assert "scored       7 studies (1 left out), data d\nmodel        m, version 2" in summary(
        made.model_dump(), 7
    )
