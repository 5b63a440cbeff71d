"""Which pods no node could hold, were it empty."""

from __future__ import annotations

import pytest

from angiopipe.cluster.nodes import Demand, demand_of, why_unplaceable
from angiopipe.cluster.settings import ClusterSettings
from tests.unit.cluster.made_nodes import GPU_LABELS, GPU_TAINT, make_node

TOLERANT = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)


def demand(pods=1, selector=None, tolerations=(), **requests: str) -> Demand:
    named = {name.replace("gpu", "nvidia.com/gpu"): value for name, value in requests.items()}
    return Demand("train", named or {"cpu": "1"}, selector or {}, tolerations, pods)


def gpu_node(name="gpu-1", **fields) -> dict:
    return make_node(name, gpus="1", labels=GPU_LABELS, taints=(GPU_TAINT,), **fields)


@pytest.mark.parametrize(
    ("asked", "nodes"),
    [
        (demand(cpu="3920m", memory="13645432Ki"), [make_node("a")]),
        (demand(cpu="3.92", memory="13Gi"), [make_node("a", cpu="500m"), make_node("b")]),
        (demand(cpu="3", gpu="1", selector=GPU_LABELS, tolerations=TOLERANT), [make_node("a"), gpu_node()]),
        (demand(gpu="1", pods=2, tolerations=TOLERANT), [gpu_node("a"), gpu_node("b")]),
        (demand(cpu="1900m", pods=2), [make_node("a")]),
        (demand(), [make_node("a"), make_node("b", cordoned=True)]),
        (demand(), [make_node("a", taints=({**GPU_TAINT, "effect": "PreferNoSchedule"},))]),
        (demand(), [make_node("a", taints=({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},))]),
        (demand(tolerations=({"operator": "Exists"},)), [gpu_node()]),
        (demand(tolerations=({"key": "nvidia.com/gpu", "operator": "Exists"},)), [gpu_node()]),
        (
            demand(tolerations=({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"},)),
            [gpu_node()],
        ),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_an_empty_node_could_hold_is_no_fault(asked, nodes):
    assert why_unplaceable(asked, nodes) == ""


@pytest.mark.parametrize(
    ("asked", "nodes", "why"),
    [
        (demand(), [], "there is no node that takes pods; correct node_selector, or label or add nodes"),
        (demand(), [make_node("a", cordoned=True)], "there is no node that takes pods"),
        (
            demand(gpu="1", selector=GPU_LABELS, tolerations=TOLERANT),
            [make_node("a"), gpu_node(cordoned=True)],
            "there is no node with the labels cloud.google.com/gke-accelerator=nvidia-l4; correct",
        ),
        (
            demand(selector={**GPU_LABELS, "zone": "b"}),
            [gpu_node(), make_node("a", labels={"zone": "b"})],
            "there is no node with the labels cloud.google.com/gke-accelerator=nvidia-l4, zone=b; correct",
        ),
        (
            demand(cpu="8", memory="4Gi"),
            [make_node("a", cpu="980m"), make_node("b")],
            "it asks for cpu 8, of which no node has more than cpu 3920m; ask for less, or add larger nodes",
        ),
        (
            demand(cpu="3921m", memory="14Gi"),
            [make_node("a")],
            "it asks for cpu 3921m, memory 14Gi, of which no node has more than cpu 3920m, memory 13645432Ki; ask",
        ),
        (
            demand(cpu="1", gpu="1"),
            [make_node("a")],
            "it asks for nvidia.com/gpu 1, of which no node has more than nvidia.com/gpu 0; ask",
        ),
        (
            demand(gpu="2", selector=GPU_LABELS, tolerations=TOLERANT),
            [gpu_node()],
            "of which no node with the labels cloud.google.com/gke-accelerator=nvidia-l4 has more than nvidia.com/gpu 1",
        ),
        (
            demand(cpu="8", memory="32Gi"),
            [make_node("wide", cpu="15"), make_node("deep", memory="64Gi")],
            "it asks for cpu 8, memory 32Gi, which no node has together; ask",
        ),
        (
            demand(gpu="1"),
            [make_node("a"), gpu_node()],
            "the nodes that are large enough (gpu-1) have taints that it does not tolerate: "
            "nvidia.com/gpu=present:NoSchedule; add them to tolerations",
        ),
        (
            demand(gpu="1", tolerations=({"key": "nvidia.com/gpu", "operator": "Equal", "value": "absent"},)),
            [gpu_node()],
            "nvidia.com/gpu=present:NoSchedule; add",
        ),
        (
            demand(tolerations=TOLERANT),
            [make_node("a", taints=({**GPU_TAINT, "effect": "NoExecute"}, {"key": "b", "effect": "NoSchedule"}))],
            "does not tolerate: b:NoSchedule, nvidia.com/gpu=present:NoExecute; add",
        ),
        (
            demand(gpu="1", pods=4, tolerations=TOLERANT),
            [gpu_node("a"), gpu_node("b"), make_node("c")],
            "nodes have room for 2 of 4 pods, each nvidia.com/gpu 1; ask for fewer workers, or add nodes",
        ),
        (
            demand(cpu="2", pods=2),
            [make_node("a"), make_node("b", cpu="940m"), make_node("c", cordoned=True)],
            "nodes have room for 1 of 2 pods, each cpu 2; ask",
        ),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_no_node_could_hold_is_told_with_what_there_is(asked, nodes, why):
    assert why in why_unplaceable(asked, nodes)


def test_a_trainjobs_workers_ask_for_what_its_settings_say():
    settings = {"namespace": "kubeflow", "image": "x", "workers": 2, "cpu": "2", "memory": "8Gi"}
    job = demand_of(ClusterSettings(**settings, node_selector=GPU_LABELS))
    assert why_unplaceable(job, [gpu_node("a"), gpu_node("b")]) == ""
    assert "room for 1 of 2 pods, each cpu 2, memory 8Gi, nvidia.com/gpu 1" in why_unplaceable(
        job, [gpu_node()]
    )
    assert "there is no node with the labels" in why_unplaceable(job, [make_node("a")])
    bare = demand_of(ClusterSettings(**settings, gpus=0))
    assert why_unplaceable(bare, [make_node("a"), make_node("b")]) == ""
    assert "does not tolerate" in why_unplaceable(bare, [gpu_node()])
