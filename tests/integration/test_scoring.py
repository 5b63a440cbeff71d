"""Scoring on Beam: what the pipeline writes is what the champion answers, study by study."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe import storage
from angiopipe.dataflow.score import PredictionsManifest, make_predictions, plan_scoring, write_tables
from angiopipe.faults import FaultyStudies
from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.pointed import point_mlflow_at
from angiopipe.registry.register import register
from angiopipe.registry.score import RegisteredModel, score
from angiopipe.study import ANEURYSM, INDEX, LABELS, LOCATIONS, VIEW_NAMES
from tests.packaged_model import make_manifests

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IN_PROCESSES = ("--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


def make_registry(folder: Path, *overrides: str) -> Path:
    """A data root whose registry has a champion."""
    model, evaluation = make_manifests(folder / "trained", overrides=overrides)
    for manifest in (model, evaluation):
        manifest.write(str(folder / f"{manifest.kind}.json"))
    paths = [str(folder / name) for name in ("model.json", "evaluation.json", "registration.json")]
    registration = register(*paths, str(folder))
    aliases = Aliases(mlflow.MlflowClient(registration.tracking_uri), registration.model_name)
    aliases.move(CHAMPION, registration.version, "for the tests", "promote", aliases.read(CHAMPION))
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Path:
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def champion(registry):
    point_mlflow_at(f"sqlite:///{registry}/mlflow.db")
    return mlflow.pyfunc.load_model("models:/aneurysm-detector@champion")


def study_list(folder: Path, cohort, studies: int = 40) -> tuple[str, list[str]]:
    """A list in an order of its own, with labels that must not matter."""
    indices = sorted({path.name[:-8] for path in Path(cohort.images).iterdir()})[:studies][::-1]
    path = folder / "test.csv"
    path.write_text("Index,Aneurysm\n" + "".join(f"{index},\n" for index in indices))
    return str(path), indices


def run_score(tmp_path: Path, registry: Path, images: str, listed: str, **options) -> PredictionsManifest:
    return score(
        images, listed, str(tmp_path / "predictions.json"), str(tmp_path / "root"),
        tracking_uri=f"sqlite:///{registry}/mlflow.db", **options,
    )  # fmt: skip


def rows(cohort, indices: list[str]) -> pd.DataFrame:
    contents = [
        [(Path(cohort.images) / f"{index}{view}.jpg").read_bytes() for view in VIEW_NAMES]
        for index in indices
    ]
    return pd.DataFrame(contents, columns=list(VIEW_NAMES), index=indices)


def assert_answers(output: str, champion, cohort, indices: list[str]) -> None:
    """The table is the competition's, and each row is what the model says of that study alone."""
    table = pd.read_csv(output, dtype={INDEX: str})
    assert list(table) == [INDEX, ANEURYSM, *LOCATIONS]
    assert table[INDEX].tolist() == indices
    direct = pd.concat([champion.predict(rows(cohort, [index])) for index in indices])
    np.testing.assert_allclose(table[ANEURYSM], direct[ANEURYSM], atol=1e-6)
    assert table[ANEURYSM].nunique() > len(indices) // 2
    decisions = table[list(LOCATIONS)].to_numpy()
    assert np.array_equal(decisions, (direct[list(LOCATIONS)] >= 0.5).to_numpy().astype(int))
    assert 0 < decisions.mean() < 1


def test_the_output_is_what_the_champion_answers(tmp_path, registry, champion, cohort):
    listed, indices = study_list(tmp_path, cohort)
    made = run_score(tmp_path, registry, cohort.images, listed, output=str(tmp_path / "elsewhere.csv"))
    assert_answers(made.output_uri, champion, cohort, indices)
    assert storage.read_bytes(str(tmp_path / "elsewhere.csv")) == storage.read_bytes(made.output_uri)
    assert PredictionsManifest.read(str(tmp_path / "predictions.json")) == made
    assert made.counts == {"scored": 40}
    assert len(made.shards) == 2


def test_every_prediction_says_what_it_came_from(tmp_path, registry, champion, cohort):
    listed, indices = study_list(tmp_path, cohort, 3)
    made = run_score(tmp_path, registry, cohort.images, listed, operating_point="sensitivity_90")
    table = pd.read_csv(made.predictions_uri, dtype={INDEX: str, "model_version": str})
    direct = champion.predict(rows(cohort, indices))
    np.testing.assert_allclose(table[list(LABELS)], direct[list(LABELS)], atol=1e-6)
    assert set(table["model_name"]) == {"aneurysm-detector"}
    assert set(table["model_version"]) == {"1"}
    assert set(table["data_fingerprint"]) == {made.data_fingerprint}
    assert set(table["decision"]) == {0}  # its threshold is 1
    weights = storage.file_sha256(registry / "trained" / "model.weights.h5")
    assert set(table["weights_sha256"]) == {weights}
    for index, row in table.set_index(INDEX).iterrows():
        for view in VIEW_NAMES:
            file = Path(cohort.images) / f"{index}{view}.jpg"
            assert row[f"sha256_{view}"] == storage.file_sha256(file)


def test_a_model_that_takes_them_is_told_the_clinical_variables(tmp_path, cohort):
    registry = make_registry(tmp_path / "registry", 'model.clinical=["age","sex"]')
    listed, indices = study_list(tmp_path, cohort, 5)
    clinical = tmp_path / "clinical.csv"  # the last is unknown, and smoking is not asked for
    patients = [(71, "female"), (30, "male"), (55, ""), ("", "male")]
    lines = [f"{index},{age},{sex},1" for index, (age, sex) in zip(indices, patients, strict=False)]
    clinical.write_text("\n".join(["Index,age,sex,smoking", *lines]))
    made = run_score(tmp_path, registry, cohort.images, listed, clinical=str(clinical))
    point_mlflow_at(f"sqlite:///{registry}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/aneurysm-detector@champion")
    told = rows(cohort, indices).assign(
        age=[71, 30, 55, None, None], sex=["female", "male", None, "male", None]
    )
    scored = pd.read_csv(made.predictions_uri)
    np.testing.assert_allclose(scored[list(LABELS)], model.predict(told)[list(LABELS)], atol=1e-6)
    without = run_score(tmp_path, registry, cohort.images, listed)
    assert without.fingerprint != made.fingerprint
    unknown = pd.read_csv(without.predictions_uri)[ANEURYSM]
    assert (unknown != scored[ANEURYSM]).tolist() == [True, True, True, True, False]


def test_a_model_of_views_alone_refuses_clinical_variables(tmp_path, registry, cohort):
    listed, indices = study_list(tmp_path, cohort, 2)
    (tmp_path / "clinical.csv").write_text(f"Index,age\n{indices[0]},71\n")
    with pytest.raises(
        ValueError, match="expected a model that takes clinical variables, found one of views"
    ):
        run_score(tmp_path, registry, cohort.images, listed, clinical=str(tmp_path / "clinical.csv"))
    assert not list((tmp_path / "root").rglob("*.tfrecord"))


def test_an_interrupted_run_goes_on_and_a_finished_one_is_reused(tmp_path, registry, cohort):
    listed, _ = study_list(tmp_path, cohort)
    made = run_score(tmp_path, registry, cohort.images, listed)
    output = storage.read_bytes(made.output_uri)
    first, second = (Path(made.location) / shard.name for shard in made.shards)
    (Path(made.location) / "manifest.json").unlink()
    second.unlink()
    written = first.stat().st_mtime_ns
    again = run_score(tmp_path, registry, cohort.images, listed)
    assert again == made
    assert first.stat().st_mtime_ns == written
    assert second.stat().st_mtime_ns > written
    written = second.stat().st_mtime_ns
    run_score(tmp_path, registry, cohort.images, listed)
    assert second.stat().st_mtime_ns == written
    assert storage.read_bytes(made.output_uri) == output


def test_faults_stop_the_run_before_anything_is_scored_or_are_left_out(
    tmp_path, registry, champion, own_cohort
):
    listed, indices = study_list(tmp_path, own_cohort, 6)
    images = Path(own_cohort.images)
    (images / f"{indices[1]}LI-A.jpg").write_bytes(b"broken")
    (images / f"{indices[2]}RV-B.jpg").unlink()
    Path(listed).write_text(Path(listed).read_text() + "../6,\n")
    with pytest.raises(FaultyStudies, match="3 faults in 3 of 7 studies; nothing was scored:") as caught:
        run_score(tmp_path, registry, own_cohort.images, listed)
    for told in (
        f"study {indices[1]}, view LI-A",
        f"study {indices[2]} (line 4): expected 8 views",
        "'../6'",
    ):
        assert told in str(caught.value)
    assert not list((tmp_path / "root").rglob("output.csv"))
    made = run_score(
        tmp_path, registry, own_cohort.images, listed, on_fault="quarantine", quarantine_share=0.5
    )
    assert made.quarantined == 3
    assert_answers(made.output_uri, champion, own_cohort, [indices[0], *indices[3:]])
    faults = pd.read_csv(Path(made.output_uri).with_name("faults.csv"))
    assert len(faults) == 3


def test_a_missing_view_may_be_allowed(tmp_path, registry, own_cohort):
    listed, indices = study_list(tmp_path, own_cohort, 2)
    (Path(own_cohort.images) / f"{indices[0]}RV-B.jpg").unlink()
    made = run_score(tmp_path, registry, own_cohort.images, listed, allow_missing=1)
    table = pd.read_csv(made.predictions_uri, keep_default_na=False)
    assert table["missing_views"].tolist() == ["RV-B", ""]
    assert table["sha256_RV-B"].iloc[0] == ""


def test_images_that_change_after_they_were_listed_are_all_named(tmp_path, registry, own_cohort):
    from angiopipe.registry.score import _inventory, _registered

    _, indices = study_list(tmp_path, own_cohort, 3)
    studies = pd.DataFrame({INDEX: indices, "line": [2, 3, 4]})
    views, faults = _inventory(own_cohort.images, studies, 0)
    assert faults == []
    for index in indices[:2]:
        path = Path(own_cohort.images) / f"{index}LI-A.jpg"
        path.write_bytes((Path(own_cohort.images) / f"{indices[2]}LI-A.jpg").read_bytes())
    model = _registered(f"sqlite:///{registry}/mlflow.db", "aneurysm-detector", "champion")
    with pytest.raises(FaultyStudies, match="2 faults") as caught:
        make_predictions(plan_scoring(studies, views), model, described(), str(tmp_path), IN_PROCESSES[:1])
    assert all(f"study {index}, view LI-A" in str(caught.value) for index in indices[:2])


@dataclass(frozen=True)
class CountedModel(RegisteredModel):
    """Leaves a line with the process's id whenever it is loaded."""

    log: str = ""

    def __call__(self):
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")
        return super().__call__()


def described(**places: str) -> PredictionsManifest:
    return PredictionsManifest(
        fingerprint="", data_fingerprint="d" * 16, location="", shards=(), model_name="aneurysm-detector",
        model_version="1", weights_sha256="w", operating_point="youden", **places,
    )  # fmt: skip


def test_two_worker_processes_load_the_model_once_each_and_answer_as_one(
    tmp_path, registry, champion, cohort, monkeypatch
):
    from apache_beam.internal.cloudpickle import cloudpickle

    from angiopipe.registry.score import _inventory

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # The workers cannot import tests.
    monkeypatch.setattr("angiopipe.dataflow.score.STUDIES_PER_SHARD", 4)
    _, indices = study_list(tmp_path, cohort, 16)
    studies = pd.DataFrame({INDEX: indices, "line": range(2, 18)})
    views, _ = _inventory(cohort.images, studies, 0)
    log = tmp_path / "loads"
    model = CountedModel(f"sqlite:///{registry}/mlflow.db", "aneurysm-detector", "1", "", str(log))
    places = {name: str(tmp_path / f"{name}.csv") for name in ("output_uri", "predictions_uri")}
    plans = plan_scoring(studies, views)
    assert len(plans) == 4
    made = make_predictions(plans, model, described(**places), str(tmp_path / "root"), IN_PROCESSES)
    write_tables(made, 0.5)
    assert_answers(made.output_uri, champion, cohort, indices)
    loads = log.read_text().split()
    assert len(loads) == len(set(loads)) <= 2
    assert str(os.getpid()) not in loads


def test_the_pipeline_runs_and_ends_by_telling_what_it_made(tmp_path, registry, champion, cohort):
    listed, indices = study_list(tmp_path, cohort, 5)
    command = [sys.executable, "-m", "pipelines", "run", "scoring", "--images", cohort.images]
    command += ["--study-list", listed, "--data-root", str(tmp_path / "root")]
    command += ["--tracking-uri", f"sqlite:///{registry}/mlflow.db"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (output,) = (tmp_path / "root" / "runs").glob("*/scoring/output.csv")
    assert_answers(str(output), champion, cohort, indices)
    assert "scored       5 studies (0 left out)" in done.stdout
    assert "model        aneurysm-detector, version 1" in done.stdout
    assert f"answers      {output}" in done.stdout


def test_a_registry_without_such_a_model_is_told(tmp_path, registry, cohort):
    listed, _ = study_list(tmp_path, cohort, 1)
    with pytest.raises(ValueError, match="models:/aneurysm-detector@best in sqlite:.* found none"):
        run_score(tmp_path, registry, cohort.images, listed, alias="best")
