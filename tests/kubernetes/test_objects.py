"""A real API server takes every object of ours, and its controllers make every pod."""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.servers import ControlPlane
from tests.unit.infra.built import EVERY, new_secrets, overlay

pytestmark = pytest.mark.kubernetes

PODS_SECONDS = 60


@pytest.mark.parametrize("name", EVERY)
def test_every_object_is_taken_without_a_warning(cluster: ControlPlane, name: str) -> None:
    told = cluster.apply(overlay(name), "--dry-run=server", "--force-conflicts")
    assert "arning" not in told
    assert len(told.splitlines()) == len(overlay(name))
    made = cluster.apply(new_secrets(name, "--promoter", "anna"), "--dry-run=server")
    assert "arning" not in made


def test_applying_it_again_changes_nothing(cluster: ControlPlane) -> None:
    def versions() -> dict[tuple[str, str], str]:
        kinds = "configmaps,services,networkpolicies,resourcequotas,roles,rolebindings,cronjobs"
        return {
            (one["kind"], one["metadata"]["name"]): one["metadata"]["resourceVersion"]
            for namespace in ("angiopipe", "kubeflow")
            for one in cluster.get(kinds, namespace, "-l", "app.kubernetes.io/part-of=angiopipe")
            if one["kind"] != "ResourceQuota"  # Its status is counted anew.
        }

    before = versions()
    cluster.apply(overlay("kind"))
    assert before
    assert versions() == before


def test_every_deployment_and_job_gets_its_pods(cluster: ControlPlane) -> None:
    """Pod security, quotas and service accounts are asked when a pod is made, not when its owner is."""
    owners = {}
    for one in overlay("kind"):
        name = one["metadata"]["name"]
        if one["kind"] in ("Deployment", "StatefulSet"):
            owners[name] = one["spec"].get("replicas", 1)
        if one["kind"] == "CronJob":
            cluster.kubectl("create", "job", f"{name}-now", f"--from=cronjob/{name}", "-n", "angiopipe")
            owners[f"{name}-now"] = 1
    assert owners.keys() >= {"mlflow", "mlflow-backup-now", "flink-taskmanager"}

    until = time.monotonic() + PODS_SECONDS
    while (made := _pods_by_owner(cluster, list(owners))) != owners and time.monotonic() < until:
        time.sleep(1)
    warnings = [
        f"{one['involvedObject']['name']}: {one['message']}"
        for one in cluster.get("events", "angiopipe")
        # The CronJob's controller warns of jobs that a person made from it.
        if one["type"] == "Warning" and one["reason"] != "UnexpectedJob"
    ]
    assert not warnings
    assert made == owners


def _pods_by_owner(cluster: ControlPlane, owners: list[str]) -> dict[str, int]:
    names = [one["metadata"]["name"] for one in cluster.get("pods", "angiopipe")]
    # The longest name that fits: mlflow-backup is not mlflow's.
    owned = [max((o for o in owners if name.startswith(f"{o}-")), key=len) for name in names]
    return {owner: owned.count(owner) for owner in owners if owner in owned}


def test_a_pod_that_is_not_confined_is_refused(cluster: ControlPlane) -> None:
    told = cluster.kubectl("run", "shell", "-n", "angiopipe", "--image=busybox", "--privileged", check=False)
    assert 'violates PodSecurity "restricted' in told
    assert "allowPrivilegeEscalation" in told


RIGHTS = {
    "create trainjobs.trainer.kubeflow.org": True,
    "get trainjobs.trainer.kubeflow.org": True,
    "delete trainjobs.trainer.kubeflow.org": True,
    "list pods": True,
    "list events": True,
    "get pods --subresource=log": True,
    "list trainjobs.trainer.kubeflow.org": False,
    "create pods": False,
    "create pods --subresource=exec": False,
    "get secrets": False,
    "get clustertrainingruntimes.trainer.kubeflow.org": False,
}


def test_the_launchers_account_may_do_what_it_must_and_no_more(cluster: ControlPlane) -> None:
    def may(account: str, right: str) -> bool:
        who = ("-n", "kubeflow", f"--as=system:serviceaccount:kubeflow:{account}")
        return cluster.kubectl("auth", "can-i", *right.split(), *who, check=False).splitlines()[-1] == "yes"

    assert {right: may("pipeline-runner", right) for right in RIGHTS} == RIGHTS
    assert not any(may("angiopipe-worker", right) for right in RIGHTS)
