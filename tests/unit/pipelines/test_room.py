"""What no node of the named cluster could hold is refused by each command that starts runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from angiopipe import storage
from pipelines.__main__ import main
from tests.unit.cluster.made_nodes import GPU_LABELS, GPU_TAINT, make_node, write_kubeconfig
from tests.unit.cluster.replayed_api import Answer, ReplayedApi
from tests.unit.pipelines.recorded_kubeflow import recorded_run

GPU = {"nvidia": {"accelerator": "nvidia.com/gpu", "node_selector": GPU_LABELS}}
ON_GPU = {"pool": "nvidia", "accelerators": 1}


@pytest.fixture
def api(tmp_path, monkeypatch) -> Iterator[ReplayedApi]:
    """A cluster with one small node and one with a GPU, which the kubeconfig knows as `hospital`."""
    server = ReplayedApi()
    server.nodes = [
        make_node("small"),
        make_node("gpu-1", gpus="1", labels=GPU_LABELS, taints=(GPU_TAINT,)),
    ]
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")  # The settings' word counts in a pod, too.
    # The client has read KUBECONFIG when it was imported.
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    yield server
    server.close()


def submit(settings: str, *arguments: str) -> None:
    main(["submit", "training", "--settings", settings, *arguments])


def refused(settings: str, *arguments: str, command: str = "submit") -> str:
    with pytest.raises(SystemExit) as caught:
        main([command, "training", "--settings", settings, *arguments])
    return str(caught.value)


def test_what_fits_is_told_and_starts(api, kubeflow, write_settings, capsys):
    submit(write_settings(context="hospital", pools=GPU, steps={"train": ON_GPU}))
    printed = capsys.readouterr().out
    assert "context hospital: every step fits its nodes when they are empty (nodes: 2)" in printed
    assert "not checked" not in printed
    assert len(kubeflow.sent("POST", "/runs")) == 1
    assert [one.path for one in api.requests] == ["/api/v1/nodes"]


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_one_error_names_every_step_that_no_node_holds(api, kubeflow, write_settings, arguments):
    job = "memory://room/job.yaml"
    storage.write_text(job, "namespace: kubeflow\nimage: x\nworkers: 2\ncpu: '2'\nmemory: 8Gi\n")
    settings = write_settings(
        context="hospital",
        pools={**GPU, "amd": {"node_selector": {"gpu": "mi300"}}},
        steps={
            "ingest": {"cpu": "8"},
            "preprocess": {"memory": "16Gi"},
            "evaluate": {"pool": "amd"},
            "audit": {"pool": "nvidia"},
            "train": {**ON_GPU, "accelerators": 2},
        },
    )
    assert refused(settings, "--cluster-settings", job, *arguments) == (
        "context hospital: expected every step to fit its nodes when they are empty (nodes: 2), found:\n"
        "  audit: the nodes that are large enough (gpu-1) have taints that it does not tolerate: "
        "nvidia.com/gpu=present:NoSchedule; add them to tolerations\n"
        "  evaluate: there is no node with the labels gpu=mi300; correct node_selector, or label or add nodes\n"
        "  ingest: it asks for cpu 8, of which no node has more than cpu 3920m; ask for less, or add larger nodes\n"
        "  preprocess: it asks for memory 16Gi, of which no node has more than memory 13645432Ki; ask for less, or add "
        "larger nodes\n"
        "  train: it asks for nvidia.com/gpu 2, of which no node with the labels "
        "cloud.google.com/gke-accelerator=nvidia-l4 has more than nvidia.com/gpu 1; ask for less, or add larger nodes\n"
        "  TrainJob: nodes have room for 1 of 2 pods, each cpu 2, memory 8Gi, nvidia.com/gpu 1; ask for fewer workers, or "
        "add nodes\n"
        "correct that, in the settings or for the TrainJob in its cluster settings; where nodes are added when pods wait "
        "for them, set `autoscaled: true`"
    )
    assert not kubeflow.sent("POST", "")


def test_schedule_and_resume_refuse_it_as_well(api, kubeflow, write_settings):
    submit(write_settings())
    ended = recorded_run("failed")
    kubeflow.runs[0] |= {
        name: ended[name] for name in ("state", "state_history", "finished_at", "run_details")
    }
    kubeflow.frames = [kubeflow.runs[0]]
    started = len(kubeflow.sent("POST", ""))
    settings = write_settings(context="hospital", steps={"train": {"memory": "64Gi"}})
    told = "  train: it asks for memory 64Gi, of which no node has more than memory 13645432Ki"
    assert told in refused(settings, "--cron", "0 0 3 * * 1", "--dry-run", command="schedule")
    with pytest.raises(SystemExit, match=told):
        main(["resume", kubeflow.runs[0]["run_id"], "--settings", settings])
    assert len(kubeflow.sent("POST", "")) == started


def test_nodes_that_are_added_when_pods_wait_are_no_reason_to_refuse(api, kubeflow, write_settings, capsys):
    submit(write_settings(context="hospital", autoscaled=True, steps={"ingest": {"cpu": "8"}}))
    printed = capsys.readouterr().out
    assert "  ingest: it asks for cpu 8, of which no node has more than cpu 3920m" in printed
    assert "not refused, as the settings have `autoscaled`" in printed
    assert len(kubeflow.sent("POST", "/runs")) == 1


def test_a_cordoned_node_is_not_there_and_is_counted(api, write_settings):
    api.nodes = [make_node("small"), make_node("large", cpu="31850m", cordoned=True)]
    told = refused(write_settings(context="hospital", steps={"ingest": {"cpu": "8"}}))
    assert (
        "(nodes: 1, and 1 cordoned), found:\n  ingest: it asks for cpu 8, of which no node has more" in told
    )


def test_a_step_that_only_launches_needs_no_room_for_training(api, kubeflow, write_settings, capsys):
    job = "memory://room/small.yaml"
    storage.write_text(job, "namespace: kubeflow\nimage: x\ncpu: '2'\nmemory: 8Gi\n")
    api.nodes[0] = make_node("small", memory="4194304Ki")
    submit(write_settings(context="hospital"), "--cluster-settings", job, "--dry-run")
    printed = capsys.readouterr().out
    assert "every step fits its nodes" in printed
    assert "  train        cpu 250m, memory 512Mi\n" in printed


FORBIDDEN = 'nodes is forbidden: User "{}" cannot list resource "nodes" in API group "" at the cluster scope'


def test_who_may_not_list_nodes_is_told_that_nothing_was_checked(api, kubeflow, write_settings, capsys):
    api.answers = [Answer("GET", "/nodes", 403, FORBIDDEN.format("anna"))]
    submit(write_settings(context="hospital", steps={"ingest": {"cpu": "8"}}))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("not checked"))
    assert line == (
        "not checked: whether a node can hold the steps; context hospital: expected to read nodes, found status 403: "
        f"{FORBIDDEN.format('anna')}; the role that lets anna list nodes is an administrator's to give"
    )
    assert len(kubeflow.sent("POST", "/runs")) == 1


@pytest.mark.parametrize(
    ("status", "message"), [(401, "Unauthorized"), (403, FORBIDDEN.format("system:anonymous"))]
)
def test_who_is_not_logged_in_is_refused(api, write_settings, status, message):
    api.answers = [Answer("GET", "/nodes", status, message)]
    told = refused(write_settings(context="hospital"))
    assert f"context hospital: expected to read nodes, found status {status}: {message}; the cred" in told
    assert "log in again" in told


def test_a_context_that_is_not_there_is_refused(api, write_settings, tmp_path):
    told = refused(write_settings(context="hopsital"))
    assert told.startswith(
        "context hopsital: expected a context of this name in the kubeconfig, found none ("
    )
    assert "hopsital" in told.partition("found none")[2]
    assert told.endswith("correct `context`, or name the kubeconfig in KUBECONFIG")
    (tmp_path / "kubeconfig").write_text("clusters: [")
    assert "expected a context of this name in the kubeconfig, found none (" in refused(
        write_settings(context="hospital")
    )
    (tmp_path / "kubeconfig").unlink()
    assert "expected a context of this name in the kubeconfig, found none (" in refused(
        write_settings(context="hospital")
    )


def test_a_cluster_that_does_not_answer_is_refused(api, write_settings):
    settings = write_settings(context="laptop", request_seconds=1)
    told = refused(settings)
    assert told.startswith("context laptop: http://127.0.0.1:9: expected an answer within 1 s, found ")
    assert told.endswith("check that the cluster's API server is up and can be reached")


def test_without_a_context_no_cluster_is_asked(api, write_settings, capsys):
    submit(write_settings(steps={"ingest": {"cpu": "8"}}), "--dry-run")
    assert (
        "not checked: whether a node can hold them, as the settings name no `context`"
        in capsys.readouterr().out
    )
    assert not api.requests
