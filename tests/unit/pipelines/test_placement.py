"""What the compiled package tells Kubernetes about each task, by the settings that are in the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from components.face import CACHED
from pipelines.code import code_version
from pipelines.errors import PipelineError
from pipelines.graphs import PIPELINES, load
from pipelines.package import Package, compile_package
from pipelines.placement import placed
from pipelines.settings import Settings, load_settings

INFRA = Path(__file__).parents[3] / "infra"
GPU, ALONE = (
    load_settings(INFRA / "pipelines" / f"{name}.yaml", {}) for name in ("gpu-steps", "kubeflow-alone")
)
OVERLAYS = {name: load_settings(INFRA / "overlays" / name / "pipelines.yaml", {}) for name in ("gke", "kind")}


def compiled(pipeline: str, settings: Settings) -> Package:
    return compile_package(pipeline, settings, settings.parameters_of(pipeline))


def executors(package: Package) -> dict[str, tuple[dict, dict]]:
    """Each executor's container and what Kubernetes is told besides, by name."""
    graph, platform = package.documents
    told = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-"): (one["container"], told[name])
        for name, one in graph["deploymentSpec"]["executors"].items()
    }


def tasks(dag: dict[str, Any], components: dict[str, Any]) -> dict[str, dict]:
    found: dict[str, dict] = {}
    for name, task in dag["dag"]["tasks"].items():
        inner = components[task["componentRef"]["name"]]
        found |= tasks(inner, components) if "dag" in inner else {name: task}
    return found


@pytest.fixture(scope="module", params=list(PIPELINES))
def package(request) -> Package:
    return compiled(request.param, GPU)


def test_every_task_has_cpu_memory_time_and_labels(package):
    for name, (container, told) in executors(package).items():
        labels = told["podMetadata"]["labels"]
        assert labels["team"] == "neuroradiology"
        assert labels["app.kubernetes.io/component"] == name.split("-")[0]
        needs = GPU.step(labels["app.kubernetes.io/component"])
        gigabytes = int(needs.memory.removesuffix("Gi")) * 2**30 / 1e9
        assert container["resources"]["memoryLimit"] == container["resources"]["memoryRequest"] == gigabytes
        cores = {"500m": 0.5}.get(needs.cpu) or float(needs.cpu)
        assert container["resources"]["cpuRequest"] == cores
        assert int(told["activeDeadlineSeconds"]) == needs.timeout


def test_every_task_is_tried_again_after_a_growing_wait(package):
    graph, _ = package.documents
    for task in tasks(graph["root"], graph["components"]).values():
        policy = task["retryPolicy"]
        assert policy["maxRetryCount"] >= 1
        assert policy["backoffDuration"] == "30s"
        assert policy["backoffFactor"] == 2
        assert policy["backoffMaxDuration"] == "600s"


def test_only_what_allows_it_is_cached_keyed_by_data_and_code(package):
    graph, _ = package.documents
    for task in tasks(graph["root"], graph["components"]).values():
        component = task["componentRef"]["name"].removeprefix("comp-").split("-")[0]
        given = task["inputs"]["parameters"]
        assert task["cachingOptions"] == ({"enableCache": True} if component in CACHED else {})
        if component in CACHED:
            assert given["code_version"]["runtimeValue"]["constant"] == code_version()
            assert "taskOutputParameter" in given["fingerprint"]
            # The run's own id among the values would make each run's key another.
            assert given["run_id"]["runtimeValue"]["constant"] == "$ANGIOPIPE_RUN_ID"


def test_what_gives_a_verdict_or_looks_outside_is_never_cached():
    assert not CACHED & {"validate", "audit", "evaluate", "register", "promote", "score"}


def test_what_is_cached_finds_its_runs_id_in_its_pod(package):
    for name, (_, told) in executors(package).items():
        if name.split("-")[0] in CACHED:
            assert {
                "fieldPath": "metadata.labels['pipeline/runid']",
                "name": "ANGIOPIPE_RUN_ID",
            } in told["fieldPathAsEnv"]


def test_training_has_a_gpu_its_nodes_and_shared_memory():
    container, told = executors(compiled("training", GPU))["train"]
    assert container["resources"]["accelerator"]["type"] == "nvidia.com/gpu"
    assert container["resources"]["accelerator"]["count"] == "1"
    assert container["resources"]["memoryLimit"] == 32 * 2**30 / 1e9
    assert told["nodeSelector"]["labels"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert [one["key"] for one in told["tolerations"]] == ["nvidia.com/gpu", "angiopipe/gpu"]
    assert told["emptyDirMounts"] == [
        {"medium": "Memory", "mountPath": "/dev/shm", "sizeLimit": "4Gi", "volumeName": "shared-memory"}
    ]


@pytest.mark.parametrize("pipeline", list(PIPELINES))
def test_what_trains_and_nothing_else_has_a_gpu(pipeline):
    found = executors(compiled(pipeline, GPU))
    assert {name for name, (one, _) in found.items() if "accelerator" in one["resources"]} == {
        "train",
        "search",
    } & set(found)


def test_without_a_gpu_pool_nothing_asks_for_one():
    assert "accelerator" not in compiled("training", ALONE).content.decode()


def test_the_images_are_the_settings(package):
    assert set(package.images) <= set(GPU.images.values())


def test_secrets_come_from_kubernetes_and_are_nowhere_in_the_package(package):
    for name, (container, told) in executors(package).items():
        secret = {
            key["envVar"]: (each["secretName"], key["secretKey"])
            for each in told["secretAsEnv"]
            for key in each["keyToEnv"]
        }
        assert secret["MLFLOW_TRACKING_PASSWORD"] == ("mlflow-credentials", "password")
        assert ("ANGIOPIPE_PSEUDONYM_KEY" in secret) == (name in {"validate", "ingest", "audit"})
        assert told["imagePullSecret"][0]["secretName"] == "registry-credentials"
        assert not any(re.search("PASSWORD|SECRET|KEY", env["name"]) for env in container.get("env", ()))


def test_the_token_of_the_environment_stays_out_of_the_package():
    settings = load_settings(INFRA / "pipelines" / "gpu-steps.yaml", {"ANGIOPIPE_KFP_TOKEN": "s3cr3t-t0ken"})
    assert settings.token.get_secret_value() == "s3cr3t-t0ken"
    assert b"s3cr3t-t0ken" not in compiled("training", settings).content
    assert "s3cr3t-t0ken" not in repr(settings)


def test_an_object_store_of_ones_own_is_reached_with_credentials_from_a_secret():
    for container, told in executors(compiled("training", ALONE)).values():
        env = {one["name"]: one["value"] for one in container["env"]}
        assert env["AWS_ENDPOINT_URL"] == "http://seaweedfs.kubeflow:9000"
        assert {each["secretName"] for each in told["secretAsEnv"]} == {
            "mlpipeline-minio-artifact",
            "mlflow-steps",
        }


def test_the_same_settings_give_the_same_bytes(package):
    assert compiled(package.name, GPU).content == package.content


def test_the_steps_are_listed_as_they_run():
    assert compiled("training", ALONE).tasks == [
        "validate", "ingest", "audit", "preprocess", "train", "evaluate", "register",
        "promote",
    ]  # fmt: skip


def test_the_settings_parameters_are_the_packages_defaults():
    graph, _ = compiled("training", GPU).documents
    given = graph["root"]["inputDefinitions"]["parameters"]
    assert given["data_root"]["defaultValue"] == "gs://angiopipe/data"
    assert given["beam_args"]["defaultValue"] == list(GPU.beam_args)
    assert given["images"]["defaultValue"] == "gs://angiopipe/raw/images"


def test_a_pipeline_in_a_pipeline_is_refused():
    from kfp import dsl

    inner = load("training")

    @dsl.pipeline
    def outer():
        inner(images="a", labels="b", data_root="c")

    with pytest.raises(PipelineError, match="task training: expected a component, found a pipeline"):
        placed(outer, Settings())


def test_a_local_graph_is_told_nothing_that_it_would_warn_about():
    placed(load("training"), GPU)  # which must leave the graph itself as it is
    spec = MessageToDict(load("training").pipeline_spec)
    assert not MessageToDict(load("training").platform_spec)
    assert all(
        set(one["container"]) == {"image", "command", "args"}
        for one in spec["deploymentSpec"]["executors"].values()
    )
    assert not any("retryPolicy" in task for task in spec["root"]["dag"]["tasks"].values())


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_settings_of_the_clusters_fit_the_pipelines(pipeline, name):
    settings = OVERLAYS[name]
    graph, _ = compiled(pipeline, settings).documents
    given = graph["root"]["inputDefinitions"]["parameters"]
    assert given["data_root"]["defaultValue"] == settings.storage.data_root
    assert given["tracking_uri"]["defaultValue"] == settings.tracking_uri
    if "cluster_settings" in given:  # what trains here trains on as many nodes, whichever pipeline it is
        assert given["cluster_settings"]["defaultValue"].endswith("/settings/training.yaml")
