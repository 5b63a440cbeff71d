"""The object that is created, its settings, and the runtime it refers to."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from angiopipe.cluster.owner import owner
from angiopipe.cluster.settings import load_cluster_settings
from angiopipe.cluster.trainjob import MAX_NAME, job_name
from tests.unit.cluster.replayed_api import Frame
from tests.unit.cluster.seen import COMPLETE, event, running, succeeded, waiting

INFRA = Path(__file__).parents[3] / "infra"
TRAINING = INFRA / "base" / "training"


@pytest.mark.parametrize(
    "run_id", ["local", "0b6c1f04-2f3a-4a5d-9c0e-1f2e3d4c5b6a", "My_Run", "x" * 200, "-a-", "", "é"]
)
def test_names_fit_into_those_of_pods_and_are_valid(run_id):
    name = job_name(run_id)
    assert len(f"{name}-node-0-99-abcde") <= 63
    assert len(name) <= MAX_NAME
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert name == job_name(run_id)


def test_a_pipelines_run_id_stays_readable_and_different_runs_never_meet():
    assert (
        job_name("0b6c1f04-2f3a-4a5d-9c0e-1f2e3d4c5b6a") == "angiopipe-0b6c1f04-2f3a-4a5d-9c0e-1f2e3d4c5b6a"
    )
    ids = ["my-run", "My-run", "my_run", "my-run-", "x" * 60, "x" * 61]
    assert len({job_name(one) for one in ids}) == len(ids)


def test_the_trainer_gets_command_arguments_nodes_and_resources(make_job):
    spec = make_job(gpus=2, cpu="8", memory="64Gi").body()["spec"]
    assert spec["runtimeRef"]["name"] == "angiopipe-tensorflow"
    trainer = spec["trainer"]
    assert trainer["command"] == ["python", "-m", "angiopipe", "train"]
    assert trainer["args"] == ["--examples", "s3://b/examples.json"]
    assert trainer["numNodes"] == 2
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
    }
    assert {"name": "ANGIOPIPE_WORKERS", "value": "2"} in trainer["env"]
    assert {"name": "ANGIOPIPE_START_DEADLINE", "value": "600"} in trainer["env"]
    assert spec["activeDeadlineSeconds"] == 86_400


def test_another_command_can_be_run(make_job):
    job = replace(make_job(), command=("python", "-m", "angiopipe.training.worker"))
    assert job.body()["spec"]["trainer"]["command"] == ["python", "-m", "angiopipe.training.worker"]
    assert job.digest != make_job().digest


def test_kubernetes_does_not_expand_dollars(make_job):
    trainer = make_job(env={"PRICE": "$(HOME) $5"}).body()["spec"]["trainer"]
    assert {"name": "PRICE", "value": "$$(HOME) $$5"} in trainer["env"]


def test_secrets_are_referred_to(make_job):
    where = {"AWS_SECRET_ACCESS_KEY": {"secret": "minio", "key": "secretkey"}}
    env = make_job(secret_env=where).body()["spec"]["trainer"]["env"]
    source = {"secretKeyRef": {"name": "minio", "key": "secretkey"}}
    assert {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": source} in env


@pytest.mark.parametrize(
    "env",
    [{"AWS_SECRET_ACCESS_KEY": "x"}, {"DB": "postgresql://me:pw@host/db"}, {"MLFLOW_TRACKING_TOKEN": "x"}],
)
def test_secrets_by_value_are_refused(make_job, env):
    with pytest.raises(ValidationError, match="put the value into a Secret and name it in secret_env"):
        make_job(env=env)


def test_the_launchers_own_variables_are_refused(make_job):
    with pytest.raises(ValidationError, match="ANGIOPIPE_WORKERS; set workers and start_seconds instead"):
        make_job(env={"ANGIOPIPE_WORKERS": "3"})


def test_the_patch_places_the_pods_and_labels_them(make_job):
    body = make_job(
        node_selector={"gpu": "l4"},
        tolerations=[{"key": "team", "operator": "Equal", "value": "x", "effect": "NoExecute"}],
        service_account="trainer",
        shared_memory="4Gi",
        labels={"team": "x"},
    ).body()
    [patch] = body["spec"]["runtimePatches"]
    [job] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    template = job["template"]["spec"]["template"]
    assert job["name"] == "node"
    assert template["metadata"]["labels"]["team"] == body["metadata"]["labels"]["team"] == "x"
    pod = template["spec"]
    assert pod["nodeSelector"] == {"gpu": "l4"}
    assert pod["tolerations"] == [
        {"key": "team", "operator": "Equal", "value": "x", "effect": "NoExecute"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["volumes"] == [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}]
    mounts = [{"name": "shared-memory", "mountPath": "/dev/shm"}]
    # Environment and resources of this container are the trainer's; a patch of them is refused.
    assert pod["containers"] == [{"name": "node", "volumeMounts": mounts}]


def test_the_digest_tells_jobs_apart_by_what_they_ask_for(make_job):
    assert make_job().digest == make_job().digest
    others = [make_job(gpus=2), make_job(labels={"a": "b"}), make_job(env={"A": "b"}), make_job(image="y")]
    assert len({one.digest for one in [make_job(), *others]}) == 5
    assert re.fullmatch("[0-9a-f]{16}", make_job().digest)


def test_without_a_gpu_none_is_asked_for(make_job):
    body = make_job(gpus=0).body()
    assert "gpu" not in str(body["spec"])


def test_the_owner_is_the_steps_pod_in_the_same_namespace(tmp_path):
    (tmp_path / "namespace").write_text("kubeflow")
    pod = {"KFP_POD_NAME": "step-1", "KFP_POD_UID": "u-1"}
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "step-1", "uid": "u-1"}
    assert owner("kubeflow", pod, tmp_path) == reference
    assert owner("elsewhere", pod, tmp_path) is None
    assert owner("kubeflow", {}, tmp_path) is None
    assert owner("kubeflow", pod, tmp_path / "none") is None


def test_an_owner_does_not_make_it_another_job(make_job):
    job = make_job()
    owned = job.body({"kind": "Pod", "name": "p", "uid": "u", "apiVersion": "v1"})
    assert owned["metadata"].pop("ownerReferences")
    assert owned == job.body()


def test_the_shipped_settings_are_valid():
    settings = load_cluster_settings(str(INFRA / "overlays" / "kind" / "training.yaml"))
    assert settings.workers == 2
    assert settings.secret_env["AWS_SECRET_ACCESS_KEY"].secret == "object-store-keys"


@pytest.mark.parametrize("content", ["workers: two", "a: [", "namespace: x\nimage: y\nworker: 2"])
def test_wrong_settings_are_told_with_their_file(tmp_path, content):
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"s\.yaml: expected cluster settings in YAML, found"):
        load_cluster_settings(str(tmp_path / "s.yaml"))


def test_the_runtime_fails_at_once_and_keeps_pods_and_logs(make_job):
    runtime = yaml.safe_load((TRAINING / "clustertrainingruntime.yaml").read_text())
    assert runtime["apiVersion"] == make_job().body()["apiVersion"]
    assert runtime["kind"] == "ClusterTrainingRuntime"
    assert runtime["metadata"]["name"] == make_job().settings.runtime
    assert runtime["metadata"]["labels"]["trainer.kubeflow.org/framework"] == "tensorflow"
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 1}
    jobset = runtime["spec"]["template"]["spec"]
    assert jobset["failurePolicy"] == {"maxRestarts": 0}
    [job] = jobset["replicatedJobs"]
    assert (job["name"], job["replicas"]) == ("node", 1)
    labels = job["template"]["metadata"]["labels"]
    assert labels == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert job["template"]["spec"]["backoffLimit"] == 0
    pod = job["template"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] <= 15
    [container] = pod["containers"]
    assert container["name"] == "node"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert "ttlSecondsAfterFinished" not in str(runtime)


def test_the_role_allows_exactly_what_the_launcher_asks_for(api, launch_job, make_job):
    api.add_job(make_job(gpus=3).body())
    events = [event("Job", "angiopipe-run-1-node-0", "FailedCreate", "quota")]
    api.frames = [
        Frame([running(0)], events=events),
        Frame([running(0), waiting(1, "ContainerCreating")]),
        *[Frame([running(0), running(1)])] * 10,
        Frame([succeeded(0), succeeded(1)], [COMPLETE]),
    ]
    launch_job()
    asked = {_right(one.method, one.path) for one in api.requests}
    role, *_ = yaml.safe_load_all((TRAINING / "rbac.yaml").read_text())
    allowed = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert asked == allowed


def _right(method, path):
    parts = path.split("/")
    if parts[-1] == "log":
        return "pods/log", "get"
    kind = next(one for one in ("trainjobs", "pods", "events") if one in parts)
    return kind, {"POST": "create", "DELETE": "delete"}.get(method, "list" if parts[-1] == kind else "get")
