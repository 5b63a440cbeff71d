"""The Terraform module: parsed here; its variables judged by Terraform itself where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.unit.infra.built import INFRA, named, overlay, pods
from tests.unit.infra.test_training import settings_of

GCP = INFRA / "gcp"
FILES = sorted(GCP.glob("*.tf"))

with_terraform = pytest.mark.skipif(not shutil.which("terraform"), reason="no terraform on the PATH")

GOOD = {
    "project": "example-project",
    "region": "europe-west4",
    "cluster": "kubeflow",
    "cluster_location": "europe-west4-a",
    "bucket": "example-project-angiopipe",
}
POOL = 'machine_type="g2-standard-8", accelerator="nvidia-l4"'


def clean(value: Any) -> Any:
    """The parser's values without its marks and the quotes of strings."""
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [clean(one) for one in value]
    return value.strip('"') if isinstance(value, str) else value


def blocks(kind: str, labels: int) -> dict[str, Any]:
    """Every block of a kind by its last label."""
    found: dict[str, Any] = {}
    for file in FILES:
        for block in clean(hcl2.loads(file.read_text())).get(kind, []):
            for _ in range(labels):
                [(name, block)] = block.items()
            found[name] = block
    return found


VARIABLES = blocks("variable", labels=1)


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_every_variable_has_a_type_and_says_what_it_is(name):
    variable = VARIABLES[name]
    assert variable["type"]
    assert len(variable["description"]) > 20


def test_every_variable_is_used():
    text = "".join(file.read_text() for file in FILES)
    assert not [name for name in VARIABLES if not re.search(rf"var\.{name}\b(?!.*error_message)", text)]


def test_the_gpu_pools_scale_from_nothing_and_keep_other_pods_away():
    pool = blocks("resource", labels=2)["gpu"]
    [scaling] = pool["autoscaling"]
    assert "min_nodes" in scaling["total_min_node_count"]
    [variable] = re.findall(r"min_nodes\s+= optional\(number, (\d+)\)", (GCP / "variables.tf").read_text())
    assert variable == "0"
    [node] = pool["node_config"]
    [taint] = node["taint"]
    # What angiopipe.cluster's TrainJobs tolerate.
    assert (taint["key"], taint["effect"]) == (settings_of("gke").gpu_resource, "NO_SCHEDULE")
    assert "each.value.spot" in node["spot"]


def test_the_accounts_with_an_identity_are_those_of_the_pods():
    text = (GCP / "storage.tf").read_text()
    accounts = set(re.findall(r'namespace = var\.(\w+)_namespace, name = "([\w-]+)"', text))
    clients = {
        ("servers", template["spec"]["serviceAccountName"])
        for _, _, template in pods(overlay("gke"))
        if "angiopipe/object-store" in template["metadata"].get("labels", {})
    }
    training = {("pipelines", settings_of("gke").service_account), ("pipelines", "pipeline-runner")}
    assert accounts == clients | training


def test_versions_are_pinned():
    [settings] = [clean(hcl2.loads((GCP / "versions.tf").read_text()))["terraform"]][0]
    assert settings["required_version"].startswith(">=")
    assert settings["required_providers"][0]["google"]["version"].startswith("~>")


def test_the_example_bucket_and_registry_are_one_project():
    store = named(overlay("gke"), "ConfigMap", "object-store")["data"]
    assert all(uri.startswith(f"gs://{GOOD['bucket']}/") for uri in store.values())


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments], capture_output=True, text=True, timeout=120
    )


@with_terraform
def test_it_is_formatted():
    checked = terraform(GCP, "fmt", "-check", "-diff")
    assert checked.returncode == 0, checked.stdout


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The variables alone: they need no provider, which could not be had without the network."""
    folder = tmp_path_factory.mktemp("variables")
    shutil.copy(GCP / "variables.tf", folder)
    made = terraform(folder, "init", "-backend=false")
    assert made.returncode == 0, made.stderr
    return folder


@with_terraform
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"gpu_pools": f"{{a100={{{POOL}, gpus=8, max_nodes=2, spot=true}}}}"}, ""),
        ({"project": "Example Project"}, "expected 6 to 30 lower-case letters"),
        ({"region": "Europe"}, "expected a region"),
        ({"cluster_location": "europe"}, "expected a region or zone"),
        ({"cluster": ""}, "expected the name of a cluster"),
        ({"bucket": "a"}, "expected 3 to 63"),
        ({"kept_versions_days": "0.5"}, "at least 1"),
        ({"gpu_pools": "{}"}, "expected at least one pool"),
        ({"gpu_pools": f"{{GPU={{{POOL}, gpus=1, max_nodes=2}}}}"}, "expected at least one pool, named"),
        ({"gpu_pools": f"{{a100={{{POOL}, gpus=3, max_nodes=2}}}}"}, "expected 1, 2, 4, 8 or 16"),
        ({"gpu_pools": f"{{a100={{{POOL}, gpus=1, max_nodes=1, min_nodes=2}}}}"}, "min_nodes <= max_nodes"),
        ({"gpu_pools": f"{{a100={{{POOL}, gpus=1, max_nodes=1, disk_gb=20}}}}"}, "disk_gb of at least 100"),
    ],
)
def test_wrong_variables_are_refused(variables, changed, told):
    values = [f"-var={name}={value}" for name, value in {**GOOD, **changed}.items()]
    planned = terraform(variables, "plan", "-input=false", "-no-color", *values)
    assert (planned.returncode == 0) == (told == ""), planned.stderr
    assert told in " ".join(planned.stderr.replace("│", " ").split())
