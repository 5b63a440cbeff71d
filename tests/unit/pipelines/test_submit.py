"""`submit` against a server that answers as a real one was recorded to."""

from __future__ import annotations

import json
import re
import threading

import pytest

from angiopipe import storage
from angiopipe.cohort.validate import validate
from angiopipe.study import LABELS
from pipelines.__main__ import main
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.connection import Connection
from pipelines.kubeflow.following import failed_steps, follow, is_finished
from pipelines.settings import Settings
from tests.unit.pipelines.conftest import DIGEST
from tests.unit.pipelines.recorded_kubeflow import as_it_was, moments, recorded_run


def renamed(run: dict, **names: str) -> dict:
    """A recorded run with its steps called as ours are."""
    text = json.dumps(run)
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return json.loads(text)


def over_time(run: dict) -> list[dict]:
    return [as_it_was(run, moment) for moment in moments(run)]


def submit(settings: str, *arguments: str) -> None:
    main(["submit", "training", "--settings", settings, *arguments])


def test_a_version_is_uploaded_once_and_each_submission_starts_a_run(kubeflow, write_settings, capsys):
    settings = write_settings()
    submit(settings, "--seed", "7")
    submit(settings, "--seed", "8", "--overrides", "training.epochs=1")
    printed = capsys.readouterr().out
    (version,) = (name for _, name in kubeflow.versions)
    assert re.fullmatch(r"[0-9a-f]{12}(-changed)?-[0-9a-f]{8}", version)
    assert f"version {version}: uploaded" in printed
    assert f"version {version}: exists already" in printed
    assert len(kubeflow.sent("POST", "/upload_version")) == 1
    first, second = (one.body for one in kubeflow.sent("POST", "/runs"))
    assert first["runtime_config"]["parameters"]["seed"] == 7
    assert first["runtime_config"]["parameters"]["images"] == "s3://raw/images"
    assert second["runtime_config"]["parameters"]["overrides"] == ["training.epochs=1"]
    assert first["pipeline_version_reference"] == second["pipeline_version_reference"]
    assert f"{kubeflow.url}/#/runs/details/{kubeflow.runs[0]['run_id']}" in printed


def test_what_is_uploaded_names_its_images_by_digest(kubeflow, write_settings):
    submit(write_settings())
    graph, _ = kubeflow.sent("POST", "/upload_version")[0].body["documents"]
    images = {one["container"]["image"] for one in graph["deploymentSpec"]["executors"].values()}
    assert images == {f"registry.example.org/python-{name}:1@{DIGEST}" for name in ("base", "train")}


def test_a_tag_without_a_registry_is_refused_unless_it_is_asked_for(kubeflow, write_settings):
    images = {"base": "127.0.0.1:9/base:1", "train": f"127.0.0.1:9/train@{DIGEST}"}
    settings = write_settings(images=images)
    with pytest.raises(SystemExit, match="images.base: 127.0.0.1:9/base:1: expected its registry") as caught:
        submit(settings)
    assert "images.train" not in str(caught.value)
    assert not kubeflow.requests
    submit(settings, "--unpinned")
    assert kubeflow.runs


def test_what_only_a_laptop_has_is_refused(kubeflow, write_settings):
    with pytest.raises(SystemExit) as caught:
        submit(write_settings(storage={}, tracking_uri=""), "--data-root", "data")
    assert "data_root: expected a URI that every pod reaches, found data" in str(caught.value)
    assert "tracking_uri: expected MLflow's server, found none" in str(caught.value)
    assert not kubeflow.requests


def test_other_settings_of_the_same_commit_are_another_version(kubeflow, write_settings):
    submit(write_settings())
    submit(write_settings(steps={"train": {"memory": "32Gi"}}))
    assert len(kubeflow.versions) == 2


def test_what_another_made_meanwhile_is_used(kubeflow, write_settings, capsys):
    settings = write_settings()
    submit(settings)
    # The version and the experiment are not there at first sight, and then they are.
    kubeflow.instead += [
        ("GET", "/versions", "list filter is_substring"),
        ("GET", "/experiments", "list filter is_substring"),
    ]
    submit(settings)
    assert len(kubeflow.versions) == len(kubeflow.experiments) == 1
    assert len(kubeflow.runs) == 2


def test_waiting_tells_each_steps_change_and_ends_with_the_run(kubeflow, write_settings, capsys):
    kubeflow.frames = over_time(renamed(recorded_run("succeeded"), stamp="ingest"))
    submit(write_settings(), "--wait", "--poll-seconds", "0.01")
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines() if " ingest: " in line]
    assert told == ["ingest: pending", "ingest: succeeded after 10 s"]


def test_a_state_that_flickers_is_not_believed():
    run = recorded_run("failed")
    assert [step["state"] for step in run["state_history"] if step["state"] != "PENDING"] == [
        "RUNNING",
        "FAILED",
        "RUNNING",
        "FAILED",
    ]
    seen = [(one["state"], is_finished(one)) for one in over_time(run)]
    assert ("FAILED", False) in seen
    assert [one for one in seen if one[1]] == [("FAILED", True)]


def test_following_a_flickering_run_sees_its_step_tried_again(kubeflow):
    kubeflow.frames = over_time(recorded_run("failed"))
    told: list[str] = []
    settings = Settings(host=kubeflow.url)
    run = follow(Kubeflow(settings), "any", ["fail", "cleanup"], 0.01, told.append)
    lines = [line.split(" ", 1)[1] for line in told]
    assert [line.split(" after")[0] for line in lines if line.startswith("fail")] == [
        "fail: pending",
        "fail: failed",
        "fail: pending again",
        "fail: failed",
    ]
    assert run["finished_at"] == "2026-11-22T07:19:25Z"
    assert failed_steps(run, ["fail", "cleanup"]) == ["fail"]


def test_a_failed_run_ends_with_what_its_step_left_behind(kubeflow, write_settings, tmp_path):
    run = renamed(recorded_run("failed"), fail="validate")
    kubeflow.frames = [run]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"Index,{','.join(LABELS)}\n7,{','.join('0' for _ in LABELS)}\n")
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="things would stop this run"):
        validate(
            images=str(tmp_path / "images"),
            labels=str(labels),
            out=str(tmp_path / "out"),
            data_root=f"memory://{tmp_path.name}",
            run_id=run["run_id"],
        )
    with pytest.raises(SystemExit, match=r"failed after 110 s; failed: validate") as caught:
        submit(write_settings(), "--wait")
    assert "validate failed: 2 things would stop this run; no image was read:" in str(caught.value)
    assert f"{labels}: expected studies with and without an aneurysm, found 0 with and 1" in str(caught.value)


def test_a_data_root_that_cannot_be_read_from_here_is_told(kubeflow, write_settings):
    kubeflow.frames = [recorded_run("failed")]
    settings = write_settings(storage={"data_root": "nosuch://bucket/root"})
    with pytest.raises(SystemExit, match="the cause may lie in nosuch://bucket/root/runs/.*cannot be read"):
        submit(settings, "--wait")


def test_a_run_that_somebody_ended_is_told_as_such(kubeflow, write_settings):
    run = recorded_run("failed")
    run["state_history"].insert(2, {"update_time": "2026-11-22T07:19:00Z", "state": "CANCELING"})
    kubeflow.frames = [run]
    with pytest.raises(SystemExit, match="was terminated"):
        submit(write_settings(), "--wait")


def test_waiting_outlasts_a_server_that_is_away(kubeflow):
    kubeflow.frames = [recorded_run("succeeded")]
    kubeflow.silent = True
    settings = Settings(host=kubeflow.url, request_seconds=0.2)
    seen = Kubeflow(settings, Connection(settings, patience_seconds=20))
    threading.Timer(1, lambda: setattr(kubeflow, "silent", False)).start()
    assert follow(seen, "any", [], 0.01)["state"] == "SUCCEEDED"


def test_what_a_run_will_ask_for_is_told_before_it_starts(kubeflow, write_settings, capsys, tmp_path):
    job = f"memory://{tmp_path.name}/job.yaml"
    storage.write_text(job, "namespace: kubeflow\nimage: x\nworkers: 2\ngpus: 1\n")
    settings = write_settings(
        pools={"gpu": {"accelerator": "nvidia.com/gpu"}},
        steps={"train": {"pool": "gpu", "accelerators": 2, "cpu": "8", "memory": "32Gi"}},
    )
    submit(settings, "--cluster-settings", job, "--dry-run")
    printed = capsys.readouterr().out
    assert "  train        cpu 8, memory 32Gi, 2 nvidia.com/gpu, pool gpu\n" in printed
    assert "  audit        cpu 500m, memory 3Gi\n" in printed
    assert "  TrainJob     2 workers, each cpu 4, memory 16Gi, 1 nvidia.com/gpu\n" in printed
    assert "no like run has succeeded yet" in printed
    assert "not checked: whether a node can hold them" in printed
    assert not kubeflow.sent("POST", "")
    submit(settings)
    took = recorded_run("succeeded")
    kubeflow.runs[0] |= {name: took[name] for name in ("state", "created_at", "finished_at")}
    submit(settings, "--dry-run")
    assert "the last like run took 30 s" in capsys.readouterr().out
    assert len(kubeflow.runs) == 1
