"""docs/deploy.md speaks of what there is."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.unit.infra.built import INFRA, OVERLAYS, Object, build, containers, overlay, pods

PAGE = (INFRA.parent / "docs" / "deploy.md").read_text()


def test_every_file_it_names_exists():
    root = INFRA.parent
    paths = set(
        re.findall(r"\b((?:infra|docker|requirements|tests)/[\w./-]*\w)", PAGE.replace("$OVERLAY", "gke"))
    )
    assert len(paths) > 10
    assert not sorted(path for path in paths if not (root / path).exists())


def test_every_object_it_names_exists():
    names = {one["metadata"]["name"] for name in OVERLAYS for one in overlay(name)}
    told = re.findall(r"(?:service/|cronjob/|scale deployment |quota `|deployment `)([\w-]+)", PAGE)
    assert len(told) > 10
    assert set(told) - names == {"ml-pipeline-ui"}  # Kubeflow Pipelines' own


def test_the_restore_replaces_what_the_form_holds():
    [restore] = [one for one in build("base") if one["metadata"]["name"] == "mlflow-restore"]
    assert '"newest"' in yaml.safe_dump(restore, default_style='"')
    assert 's/"newest"/' in PAGE


def cores(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def gibibytes(text: str) -> float:
    return float(text[:-2]) / 1024 if text.endswith("Mi") else float(text.removesuffix("Gi"))


def servers_ask(objects: tuple[Object, ...]) -> tuple[float, float]:
    """Cores and GiB that our servers ask for, replicas and sidecars counted."""
    replicas = {
        one["metadata"]["name"]: one["spec"]["replicas"]
        for one in objects
        if one["kind"] in ("Deployment", "StatefulSet")
    }
    asked = [
        (replicas[owner], container["resources"]["requests"])
        for owner, _, template in pods(objects)
        if owner in replicas
        for container in containers(template)
        if container in template["spec"]["containers"] or container.get("restartPolicy") == "Always"
    ]
    return sum(n * cores(one["cpu"]) for n, one in asked), sum(
        n * gibibytes(one["memory"]) for n, one in asked
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("kind", "{:g} cores and {:g} GiB on kind"), ("gke", "for {:g} and {:g} GiB on GKE")],
)
def test_what_the_servers_ask_for_is_told(name, sentence):
    assert sentence.format(*servers_ask(overlay(name))) in PAGE
