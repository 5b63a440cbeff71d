"""Settings: typed, complete in what they refuse, replaced by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.errors import PipelineError
from pipelines.settings import Settings, load_settings


@pytest.fixture
def load(tmp_path: Path):
    def load(environ: dict[str, str] | None = None, **content) -> Settings:
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_settings(path, environ or {})

    return load


def test_every_fault_is_told_at_once(load):
    with pytest.raises(PipelineError) as caught:
        load(hots="x", request_seconds=0, schedules={"training": "0 3 * * *"}, images={"tain": "x"})
    told = str(caught.value)
    assert "settings.yaml: " in told
    assert "hots: Extra inputs are not permitted" in told
    assert "request_seconds: Input should be greater than 0" in told
    assert "schedules.training: expected six cron fields" in told
    assert "images: expected only base, train, found tain" in told


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({"train": {"memory": "lots"}}, "steps.train: memory: String should match"),
        ({"train": {"gpus": 1}}, "steps.train: gpus: Extra inputs are not permitted"),
        ({"trian": {"memory": "9Gi"}}, "steps: expected only default, validate, ingest, audit,"),
        ({"train": {"pool": "gpu"}}, "steps.train.pool: expected one of [], found 'gpu'"),
        ({"train": {"accelerators": 1}}, "expected a pool that names its accelerator, found 'no pool'"),
    ],
)
def test_a_steps_faults_are_told_before_compiling(load, steps, told):
    with pytest.raises(PipelineError) as caught:
        load(steps=steps)
    assert told in str(caught.value)


def test_a_steps_fields_are_the_settings_then_the_defaults_then_the_librarys(load):
    settings = load(steps={"default": {"retries": 5}, "train": {"memory": "9Gi"}})
    assert settings.step("train").memory == "9Gi"
    assert settings.step("train").retries == settings.step("validate").retries == 5
    assert settings.step("train").shared_memory == "1Gi"
    assert settings.step("another").memory == "2Gi"


def test_the_environment_replaces_any_field(load):
    environ = {
        "ANGIOPIPE_KFP_HOST": "http://there",
        "ANGIOPIPE_KFP_STORAGE__DATA_ROOT": "s3://b/d",
        "ANGIOPIPE_KFP_STEPS__TRAIN__CPU": "3",
        "ANGIOPIPE_KFP_BEAM_ARGS": "[--runner=FlinkRunner]",
        "ANGIOPIPE_OTHER": "x",
    }
    settings = load(environ, host="http://here", storage={"endpoint": "http://s3"})
    assert settings.host == "http://there"
    assert settings.storage.data_root == "s3://b/d"
    assert settings.storage.endpoint == "http://s3"
    assert settings.step("train").cpu == "3"
    assert settings.beam_args == ("--runner=FlinkRunner",)


def test_a_misspelt_variable_is_told(load):
    with pytest.raises(PipelineError, match="hosst: Extra inputs"):
        load({"ANGIOPIPE_KFP_HOSST": "http://there"})


@pytest.mark.parametrize(
    "content",
    [
        {"env": {"DB_PASSWORD": "x"}},
        {"env": {"DB": "postgresql://me:secret@db/mlflow"}},
        {"steps": {"train": {"env": {"API_TOKEN": "x"}}}},
    ],
)
def test_a_secrets_value_is_refused(load, content):
    with pytest.raises(PipelineError, match="put the value into a Secret"):
        load(**content)


def test_a_token_in_a_file_is_refused(load):
    with pytest.raises(PipelineError, match="give it in ANGIOPIPE_KFP_TOKEN"):
        load(token="abc")


def test_parameters_are_checked_against_the_pipeline(load):
    settings = load(parameters={"training": {"seed": 1.5, "epochs": 3, "recipe": "octoview"}})
    with pytest.raises(PipelineError) as caught:
        settings.parameters_of("training")
    assert "seed: expected int, found 1.5" in str(caught.value)
    assert "epochs: the pipeline has no such parameter" in str(caught.value)
    assert "recipe" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(PipelineError, match=r"none\.yaml: expected a YAML file of settings"):
        load_settings(tmp_path / "none.yaml", {})


def test_a_flag_counts_more_than_the_settings_and_they_more_than_the_pipeline(tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"training": {"seed": 5, "folds": 3}}}))
    monkeypatch.setenv("ANGIOPIPE_KFP_SETTINGS", str(path))
    out = tmp_path / "training.yaml"
    main(["compile", "training", "--out", str(out), "--seed", "6", "--images", "s3://b/i"])
    graph, _ = yaml.safe_load_all(out.read_text())
    given = graph["root"]["inputDefinitions"]["parameters"]
    assert (given["seed"]["defaultValue"], given["folds"]["defaultValue"], given["fold"]["defaultValue"]) == (
        6,
        3,
        0,
    )
    assert given["images"]["defaultValue"] == "s3://b/i"
    assert "defaultValue" not in given["labels"]


def test_commands_and_pipelines_are_listed():
    with pytest.raises(
        SystemExit, match=r"compile\|run\|submit\|schedule\|unschedule training\|retraining\|search\|scoring"
    ):
        main([])
