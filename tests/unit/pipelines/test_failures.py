"""What is told of a step that waits, was taken over, failed or was killed, as far as Kubeflow and the data root know."""

from __future__ import annotations

import json

import pytest

import pipelines.kubeflow.following as following
from angiopipe import storage
from pipelines.commands.wait import wait
from pipelines.errors import PipelineError
from pipelines.kubeflow.api import Kubeflow
from pipelines.kubeflow.following import follow
from pipelines.settings import Settings
from tests.unit.pipelines.recorded_kubeflow import as_it_was, moments, recorded_run

RUN = recorded_run("failed")
RUN_ID = RUN["run_id"]
# Argo names a node by its path and numbers it by that name's FNV-1a hash; the numbers are the recorded ones.
NODE = "p-fail-mfj5v(0).root(0).exit-handler-1(0).fail(0).executor(0)"
POD = "p-fail-mfj5v-system-container-impl-1988891808"


def workflow(phase: str, message: str) -> str:
    """The v1beta1 answer for the recorded run, its step's pod as Argo tells of one in that state."""
    node = {
        "id": "p-fail-mfj5v-1988891808",
        "name": NODE,
        "type": "Pod",
        "templateName": "system-container-impl",
        "phase": phase,
        "message": message,
        "startedAt": "2026-11-22T07:19:16Z",
    }
    manifest = json.dumps({"status": {"nodes": {node["id"]: node}}})
    return json.dumps({"run": {"id": RUN_ID}, "pipeline_runtime": {"workflow_manifest": manifest}})


def told(kubeflow, data_root: str, **fields) -> str:
    kubeflow.frames = [RUN]
    with pytest.raises(PipelineError) as caught:
        wait(Kubeflow(Settings(host=kubeflow.url, **fields)), RUN_ID, ["fail", "cleanup"], data_root, 0)
    message = str(caught.value)
    assert message.startswith(f"run {RUN_ID}: failed after 110 s; failed: fail\n")
    assert message.endswith(f"to go on from there: python -m pipelines resume {RUN_ID}")
    return message


def fnv(name: str) -> int:
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def test_the_node_is_the_recorded_one():
    assert POD.endswith(f"-{fnv(NODE)}")


def test_a_root_that_can_be_read_and_holds_no_record_is_told_as_such(kubeflow, tmp_path):
    message = told(kubeflow, str(tmp_path))
    assert f"fail failed: {tmp_path}/runs/{RUN_ID}/failures can be read and holds no error of it" in message
    assert "Kubeflow has no log of its pod" in message
    assert "killed" not in message


def test_a_root_that_cannot_be_read_is_told_with_the_stores_answer(kubeflow):
    message = told(kubeflow, "nosuch://bucket/root")
    assert "fail failed; whether it left an error is not known here" in message
    assert (
        f"the cause may lie in nosuch://bucket/root/runs/{RUN_ID}/failures, which cannot be read" in message
    )
    assert "no answer from nosuch:// (ValueError: Protocol not known: nosuch)" in message
    assert "holds no error" not in message


@pytest.mark.parametrize(
    "path",
    [
        f"/apis/v2beta1/runs/{RUN_ID}/nodes/{POD}/log",
        f"/apis/v1alpha1/runs/{RUN_ID}/nodes/{POD}/log",
        "/k8s/pod/logs",
    ],
)
@pytest.mark.parametrize("account", [True, False])
def test_the_pods_log_is_told_where_no_record_could_be_left(kubeflow, tmp_path, path, account):
    line = {"level": "ERROR", "message": "OSError: s3://mlpipeline/x: no answer from s3://"}
    kubeflow.texts = {path: f"first\n{json.dumps(line)}\nfailed to execute component: exit status 1\n"}
    if account:
        kubeflow.texts["/apis/v1beta1/runs/" + RUN_ID] = workflow("Failed", "Error (exit code 1)")
    message = told(kubeflow, str(tmp_path))
    assert "  OSError: s3://mlpipeline/x: no answer from s3://\n  failed to execute component" in message
    assert ("fail failed (Error (exit code 1)): " in message) == account


@pytest.mark.parametrize("answer", ["", "{}", "[1]", '{"pipeline_runtime": {"workflow_manifest": "[]"}}'])
def test_another_answer_in_place_of_a_log_or_an_account_means_there_is_none(kubeflow, tmp_path, answer):
    kubeflow.texts = {"/apis/v1beta1/runs/" + RUN_ID: answer, "/k8s/pod/logs": answer}
    assert "Kubeflow has no log of its pod" in told(kubeflow, str(tmp_path))


def test_a_step_that_was_killed_for_memory_is_named_with_its_limit(kubeflow, tmp_path):
    kubeflow.texts = {"/apis/v1beta1/runs/" + RUN_ID: workflow("Failed", "OOMKilled (exit code 137)")}
    expected = (
        "fail was killed, as where memory runs out (OOMKilled (exit code 137)): it may use 3Gi; raise steps.fail.memory "
        "in the settings"
    )
    assert expected in told(kubeflow, str(tmp_path), steps={"default": {"memory": "3Gi"}})
    assert expected in told(kubeflow, "nosuch://bucket/root", steps={"default": {"memory": "3Gi"}})


def test_a_launcher_that_saw_its_process_killed_says_so_in_the_log(kubeflow, tmp_path):
    kubeflow.texts = {"/k8s/pod/logs": "epoch 1/8\nfailed to execute component: signal: killed\n"}
    assert "fail was killed, as where memory runs out (signal: killed): it may use 2Gi" in told(
        kubeflow, str(tmp_path)
    )


def test_a_step_that_began_and_left_nothing_is_told_as_killed(kubeflow, tmp_path):
    begun = {"step": "fail", "began": "2026-11-22T07:19:17+00:00", "memory_mb": 2048}
    storage.write_text(f"{tmp_path}/runs/{RUN_ID}/steps/fail.begun", json.dumps(begun))
    message = told(kubeflow, str(tmp_path))
    assert "fail began at 2026-11-22T07:19:17+00:00 and left neither result nor error" in message
    assert "2,048 MB" in message


def followed(kubeflow, steps: list[str]) -> list[str]:
    lines: list[str] = []
    follow(Kubeflow(Settings(host=kubeflow.url)), RUN_ID, steps, 0, lines.append)
    return [line.split(" ", 1)[1] for line in lines]


UNSCHEDULABLE = "Unschedulable: 0/3 nodes are available: 3 Insufficient memory."


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (UNSCHEDULABLE, "no node has as much free; ask for less cpu or memory, or add larger nodes"),
        (
            'ImagePullBackOff: Back-off pulling image "x"',
            "the image cannot be pulled; correct image, push it",
        ),
        ("", "see the events of its pod"),
    ],
)
def test_a_step_that_waits_says_why_and_after_a_while_what_to_do(kubeflow, monkeypatch, message, remedy):
    monkeypatch.setattr(following, "LONG_PENDING_SECONDS", 0.0)
    kubeflow.frames = [as_it_was(RUN, moment) for moment in moments(RUN)]
    kubeflow.texts = {"/apis/v1beta1/runs/" + RUN_ID: workflow("Pending", message)}
    lines = followed(kubeflow, ["fail"])
    first, long = lines[:2]
    assert first == (f"fail: pending: {message}" if message else "fail: pending")
    assert long.startswith(f"fail: pending for 0 min, which `timeout` does not count; {remedy}")
    assert long.endswith(f"or end the run: {kubeflow.url}/#/runs/details/{RUN_ID}")
    # Once each time that it waits, however often one looks.
    assert sum("`timeout`" in line for line in lines) == sum("pending again" in line for line in lines) + 1


def test_a_step_whose_driver_waits_is_pending(kubeflow):
    run = recorded_run("succeeded")
    early = as_it_was(run, "2026-11-22T07:25:02Z")
    assert not [one for one in early["run_details"]["task_details"] if one.get("display_name") == "stamp"]
    kubeflow.frames = [early, run]
    assert followed(kubeflow, ["stamp"]) == ["stamp: pending", "stamp: succeeded after 10 s"]


@pytest.mark.parametrize("whole", [True, False])
def test_work_that_is_taken_over_is_told_apart_from_work_that_was_done(kubeflow, whole):
    text = json.dumps(recorded_run("succeeded")).replace('"stamp"', '"train"')
    run = json.loads(text)
    for one in run["run_details"]["task_details"]:
        if one.get("display_name") in ("executor", *(("train",) if whole else ())):
            one["state"] = "SKIPPED"
    run["run_details"]["task_details"] = [
        one for one in run["run_details"]["task_details"] if one.get("display_name") != "executor(0)"
    ]
    kubeflow.frames = [run]
    assert followed(kubeflow, ["train"]) == ["train: cached: an earlier run's work is taken over"]
    kubeflow.frames = [json.loads(text)]
    assert followed(kubeflow, ["train"]) == ["train: succeeded after 10 s"]
