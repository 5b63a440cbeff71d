"""The whole line on Kubeflow's local runner: raw images in, a model that a stranger can load out."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe.registry.pointed import point_mlflow_at
from angiopipe.study import ANEURYSM, LABELS, LOCATIONS, VIEW_NAMES
from tests.conftest import Cohort
from tests.odd_paths import ALL

REDUCED = {
    "kium_vgg16": ["preprocessing.size=32", "model.widths=[4,4,8,8,8]", "model.dense=[16,16,8]"],
    "coding_vessels": ["preprocessing.size=64", "training.batch_size=8", "model.last_block=conv3_block1"],
    "octoview": ["preprocessing.size=64", 'model.clinical=["age","sex"]'],
}
CLINICAL = {"octoview": ["age", "sex"]}
"""What a recipe's model is told of a patient, besides the views."""
ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """What a run left behind."""

    folder: Path
    promotion: dict
    printed: str


def pipelines(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def run_pipeline(
    data_root: Path, images: str, labels: str, recipe: str, clinical: str = "", more: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    options = ["--images", images, "--labels", labels, "--data-root", str(data_root), "--recipe", recipe]
    told = ["--clinical", clinical] if clinical else []
    overrides = ["training.epochs=1", *REDUCED[recipe]]
    return pipelines("run", "training", *options, *told, "--overrides", *overrides, *more)


def finished(data_root: Path, cohort, recipe: str) -> Run:
    clinical = str(Path(cohort.labels).with_name("clinical.csv")) if recipe in CLINICAL else ""
    done = run_pipeline(data_root, cohort.images, cohort.labels, recipe, clinical)
    return left(data_root, done)


def left(data_root: Path, done: subprocess.CompletedProcess[str]) -> Run:
    assert done.returncode == 0, done.stdout + done.stderr
    path = max(data_root.glob("runs/*/promotion.json"), key=lambda path: path.stat().st_mtime)
    return Run(path.parent, json.loads(path.read_text()), done.stdout)


@pytest.fixture(scope="module")
def odd_cohort(tmp_path_factory, cohort) -> Cohort:
    """The cohort by names that Kubeflow, MLflow and shells could take for something else, and by links."""
    folder = tmp_path_factory.mktemp("cohort") / ALL
    folder.mkdir()
    images, labels = folder / "python3 images", folder / "it's python3.csv"
    images.symlink_to(cohort.images)
    labels.symlink_to(cohort.labels)
    return Cohort(str(images), str(labels))


@pytest.fixture(scope="module", params=list(REDUCED))
def run(request, tmp_path_factory, cohort, odd_cohort) -> Run:
    if request.param == "kium_vgg16":
        return finished(tmp_path_factory.mktemp(f"kium {ALL}"), odd_cohort, request.param)
    return finished(tmp_path_factory.mktemp(request.param), cohort, request.param)


def studies(cohort, indices: list[str], told: list[str]) -> pd.DataFrame:
    images = Path(cohort.images)
    rows = [[(images / f"{index}{view}.jpg").read_bytes() for view in VIEW_NAMES] for index in indices]
    table = pd.DataFrame(rows, columns=list(VIEW_NAMES), index=indices)
    patients = pd.read_csv(Path(cohort.labels).with_name("clinical.csv"), dtype={"Index": str})
    return table.join(patients.set_index("Index")[told])


def load(run: Run, alias: str):
    point_mlflow_at(run.promotion["tracking_uri"])
    return mlflow.pyfunc.load_model(f"models:/aneurysm-detector@{alias}")


@pytest.mark.slow
def test_the_run_ends_by_telling_what_it_made(run):
    metrics = run.promotion["metrics"]
    assert f"test AUROC   {metrics['test_auroc']:.3f} (95 % interval" in run.printed
    assert "registered   aneurysm-detector, version 1, alias champion, challenger" in run.printed
    assert "gate         promoted: there is no champion to compare with" in run.printed
    told = dict(re.findall(r"^(report|MLflow UI) +(.*)$", run.printed, re.MULTILINE))
    assert shlex.split(told["report"]) == [run.promotion["report_uri"]]
    assert shlex.split(told["MLflow UI"]) == [
        str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", run.promotion["tracking_uri"],
    ]  # fmt: skip
    assert "<html" in Path(run.promotion["report_uri"]).read_text()
    assert "KFP Executor" not in run.printed


@pytest.mark.slow
@pytest.mark.parametrize("run", ["kium_vgg16"], indirect=True)
def test_nothing_lies_outside_a_data_root_of_any_name(run):
    root = run.folder.parents[1]
    assert root.name.startswith("kium ")
    assert {path.name for path in root.iterdir()} == {
        "examples", "kubeflow", "mlartifacts", "mlflow.db", "mlflow.db.lock", "runs", "splits", "studies",
    }  # fmt: skip
    beside = [path.name for path in root.parent.iterdir() if not path.is_symlink()]
    assert [name for name in beside if name.startswith("kium")] == [root.name]


@pytest.mark.slow
def test_every_step_left_its_record(run):
    steps = {path.stem: json.loads(path.read_text()) for path in (run.folder / "steps").iterdir()}
    assert set(steps) == {
        "validate",
        "ingest",
        "audit",
        "preprocess",
        "train",
        "evaluate",
        "register",
        "promote",
    }
    assert all(record["peak_mb"] > 0 for record in steps.values())
    for name in ("validate", "ingest", "audit", "preprocess", "train", "evaluate"):
        assert steps[name]["studies_in"] > 0
    assert not (run.folder / "failures").exists()


@pytest.mark.slow
def test_the_mlflow_run_holds_what_the_steps_left(run):
    client, run_id = (
        mlflow.MlflowClient(run.promotion["tracking_uri"]),
        run.promotion["mlflow_run_id"],
    )
    metrics = client.get_run(run_id).data.metrics
    steps = {path.stem: json.loads(path.read_text()) for path in (run.folder / "steps").iterdir()}
    assert metrics["step/train/seconds"] == steps["train"]["seconds"]
    assert [metric.step for metric in client.get_metric_history(run_id, "epoch/loss")] == [1]
    assert len(client.get_run(run_id).inputs.dataset_inputs) == 3
    trained_in = Path(client.download_artifacts(run_id, "environment.json")).read_text()
    assert json.loads(trained_in) == json.loads((run.folder / "model" / "environment.json").read_text())


@pytest.mark.slow
def test_the_registered_model_scores_raw_images_as_the_evaluation_did(run, cohort):
    evaluated = pd.read_csv(run.folder / "evaluation" / "predictions.csv", dtype={"Index": str})
    evaluated = evaluated[evaluated["split"] == "test"].set_index("Index")
    told = CLINICAL.get(
        json.loads((run.folder / "model" / "manifest.json").read_text())["recipe"]["name"], []
    )
    scored = load(run, "champion").predict(studies(cohort, list(evaluated.index), told))
    predicted = [f"probability_{label}" for label in LABELS]
    np.testing.assert_allclose(scored[list(LABELS)], evaluated[predicted], atol=2e-5)
    assert (scored["missing_views"] == "").all()
    assert scored[list(LOCATIONS)].notna().all(axis=None) != run.folder.parts[-3].startswith("kium")


@pytest.mark.slow
def test_paths_count_as_images_and_absent_views_are_named(run, cohort):
    row = {"LI-A": str(next(Path(cohort.images).glob("*LI-A.jpg"))), "RV-B": None}
    scored = load(run, "champion").predict(pd.DataFrame([row]))
    assert scored["missing_views"].iloc[0] == ",".join(VIEW_NAMES[1:])
    assert 0 <= scored[ANEURYSM].iloc[0] <= 1


@pytest.mark.slow
def test_studies_that_cannot_be_scored_are_all_named(run):
    rows = pd.DataFrame({"LI-A": [b"broken", None], "LI-B": [None, None]}, index=["s1", "s2"])
    with pytest.raises(ValueError, match="2 faults in 2 studies; nothing was scored") as caught:
        load(run, "champion").predict(rows)
    assert "row s1, view LI-A: expected a JPEG, PNG, TIFF file" in str(caught.value)
    assert "row s2, expected at least one of LI-A" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("run", ["kium_vgg16"], indirect=True)  # the smallest; once is enough
def test_a_second_run_whose_registry_failed_goes_on_untrained_and_its_equal_model_passes_the_gate(
    run, cohort, tmp_path
):
    root = run.folder.parents[1]
    database = (root / "mlflow.db").rename(tmp_path / "mlflow.db")
    (root / "mlflow.db").mkdir()  # In the way of MLflow's database.
    failed = run_pipeline(root, cohort.images, cohort.labels, "kium_vgg16")
    (root / "mlflow.db").rmdir()
    database.rename(root / "mlflow.db")
    assert failed.returncode == 1
    assert "register failed: " in failed.stderr
    command = shlex.split(failed.stderr.splitlines()[-1].partition("; to go on from there: ")[2])
    assert command[:4] == ["python", "-m", "pipelines", "resume"], failed.stderr
    (folder,) = (path for path in (root / "runs").iterdir() if path != run.folder)
    weights = folder / "model" / "model.weights.h5"
    written = weights.stat().st_mtime_ns
    second = left(root, pipelines(*command[3:]))
    assert second.folder == folder
    assert "trained already by this run, reused" in second.printed
    assert weights.stat().st_mtime_ns == written
    assert json.loads((folder / "run.json").read_text())["succeeded"] is True
    assert not list((folder / "failures").iterdir())
    assert second.printed.count("unchanged, reused") == 2
    assert second.promotion["version"] == 2
    assert second.promotion["outcome"] == "passed"
    assert second.promotion["aliases"] == ["champion", "challenger"]
    assert "difference +0.000 (95 % interval +0.000 to +0.000)" in second.printed
    tags = mlflow.MlflowClient(run.promotion["tracking_uri"]).get_model_version("aneurysm-detector", "2").tags
    assert tags["gate_champion_scores"] == "stored"  # the same test studies
    assert tags["gate_exposure"].startswith("none of the ")
    assert load(run, "champion").metadata.run_id == second.promotion["mlflow_run_id"]


@pytest.mark.slow
@pytest.mark.parametrize("run", ["kium_vgg16"], indirect=True)
def test_a_challenger_of_another_recipe_is_compared_on_the_studies_themselves(run, cohort):
    """The champion's own preprocessing is applied to the test studies, not the challenger's."""
    champion = mlflow.MlflowClient(run.promotion["tracking_uri"])
    before = champion.get_model_version_by_alias("aneurysm-detector", "champion")
    champion.delete_model_version_tag("aneurysm-detector", before.version, "gate_test_fingerprint")
    third = finished(run.folder.parents[1], cohort, "octoview")
    tags = champion.get_model_version("aneurysm-detector", str(third.promotion["version"])).tags
    assert tags["gate_champion"] == str(before.version)
    assert tags["gate_champion_scores"] == "scored"
    evaluated = json.loads((run.folder / "evaluation" / "manifest.json").read_text())["metrics"]["test_auroc"]
    assert float(tags["gate_auroc_champion"]) == pytest.approx(evaluated, abs=1e-4)
    assert third.promotion["promoted"] == (tags["gate"] == "passed")


@pytest.mark.slow
def test_a_failing_run_ends_with_the_librarys_one_message(own_cohort, tmp_path):
    for path in sorted(Path(own_cohort.images).iterdir())[:2]:
        path.unlink()
    failed = run_pipeline(tmp_path / "root", own_cohort.images, own_cohort.labels, "kium_vgg16")
    assert failed.returncode == 1
    assert "validate failed" in failed.stderr
    assert "study 1001 (line 2): expected 8 views, found 6: LI-A, LI-B are missing" in failed.stderr
    assert not list((tmp_path / "root").glob("studies/*"))


@pytest.mark.slow
def test_what_the_last_step_would_refuse_is_refused_by_the_first(own_cohort, tmp_path):
    for path in Path(own_cohort.images).iterdir():
        path.write_bytes(b"")
    more = ("--model-name=team/model", "--workers=3", "--pseudonymise")
    failed = run_pipeline(tmp_path / "root", own_cohort.images, own_cohort.labels, "octoview", more=more)
    assert failed.returncode == 1
    assert "validate failed: 4 things would stop this run; no image was read:" in failed.stderr
    for told in (
        "model_name: ",
        "training.batch_size: ",
        "ANGIOPIPE_PSEUDONYM_KEY: ",
        "of model.clinical, found none",
    ):
        assert told in failed.stderr
