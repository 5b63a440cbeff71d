"""What the compiled packages ask Kubeflow to try again, and what the docs say of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from angiopipe import stores
from angiopipe.cluster.api import PATIENCE_SECONDS
from pipelines.graphs import PIPELINES
from pipelines.package import compile_package
from pipelines.settings import STEPS, Settings, Step
from tests.unit.pipelines.test_placement import tasks

DOCS = Path(__file__).parents[3] / "docs"
SECTION = (
    (DOCS / "deploy.md").read_text().partition("## What Kubeflow tries again\n")[2].partition("\n## ")[0]
)
RETRY_FIELDS = {"maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration"}


@pytest.mark.parametrize("pipeline", list(PIPELINES))
def test_every_step_has_the_retries_that_the_docs_say_and_no_say_in_what_they_act_on(pipeline):
    graph, platform = compile_package(pipeline, Settings(), {}).documents
    usual, fewer, names = re.search(r"has `retries` \((\d); ([\w, ]+) (\d)\)", SECTION).group(1, 3, 2)
    first, second = re.search(r"with waits of (\d+) s, (\d+) s", SECTION).groups()
    for task in tasks(graph["root"], graph["components"]).values():
        component = task["componentRef"]["name"].removeprefix("comp-").split("-")[0]
        policy = task["retryPolicy"]
        assert set(policy) == RETRY_FIELDS
        assert policy["maxRetryCount"] == int(fewer if component in names.split(", ") else usual), component
        assert policy["backoffDuration"] == f"{first}s"
        assert int(first) * policy["backoffFactor"] == int(second)
    assert "retry" not in str(platform).lower()


def test_the_docs_name_every_step_whose_retries_are_others():
    names = re.search(r"has `retries` \(\d; ([\w, ]+) \d\)", SECTION)[1].split(", ")
    usual = Step().retries
    assert sorted(names) == sorted(name for name, one in STEPS.items() if one.get("retries", usual) != usual)


def test_the_docs_patch_changes_the_policy_and_nothing_else():
    """A ConfigMap of the shape that Kubeflow Pipelines has: YAML in a string."""
    defaults = {
        "spec": {
            "ttlStrategy": {"secondsAfterCompletion": 3600},
            "templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}},
        }
    }
    data = {"executor": "imagePullPolicy: IfNotPresent\n", "workflowDefaults": yaml.safe_dump(defaults)}
    before = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "workflow-controller-configmap"},
        "data": data,
    }
    (script,) = re.findall(r"sed '([^']+)'", SECTION)
    for style in (None, "|"):  # As kubectl prints strings with line ends.
        text = yaml.dump(before, default_style=style)
        patched = subprocess.run(
            ["sed", script], input=text, capture_output=True, text=True, check=True
        ).stdout
        after = yaml.safe_load(patched)
        found = yaml.safe_load(after["data"].pop("workflowDefaults"))
        assert found["spec"]["templateDefaults"]["retryStrategy"].pop("retryPolicy") == "Always"
        assert found["spec"]["templateDefaults"]["retryStrategy"] == {"limit": "2"}
        assert found["spec"]["ttlStrategy"] == defaults["spec"]["ttlStrategy"]
        assert after == {**before, "data": {"executor": data["executor"]}}


def test_the_docs_waits_are_the_codes():
    assert "five minutes each" in SECTION
    assert stores.PATIENCE_SECONDS == PATIENCE_SECONDS == 300


def test_no_page_says_that_kubeflow_tries_a_failed_step_again():
    promise = re.compile(r"(step's|pipeline's\s+own|Kubeflow's) retr(y|ies)\b(?!Policy)", re.IGNORECASE)
    found = {page.name: promise.findall(page.read_text()) for page in DOCS.glob("*.md")}
    assert not any(found.values()), found
