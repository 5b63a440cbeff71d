"""Nodes as a cluster's API gives them, as far as they are looked at, and a kubeconfig that leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
GPU_LABELS = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


def make_node(
    name: str,
    cpu: str = "3920m",
    memory: str = "13645432Ki",
    gpus: str = "",
    labels: dict[str, str] | None = None,
    taints: tuple[dict[str, str], ...] = (),
    cordoned: bool = False,
) -> dict[str, Any]:
    """A node; its capacity is more than what the kubelet leaves to pods, as on a real one."""
    gpu = {"nvidia.com/gpu": gpus} if gpus else {}
    spec: dict[str, Any] = {"podCIDR": "10.4.0.0/24", "providerID": f"gce://project/zone/{name}"}
    if cordoned:
        own = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        spec |= {"unschedulable": True, "taints": [*taints, own]}
    elif taints:
        spec["taints"] = list(taints)
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", **(labels or {})}},
        "spec": spec,
        "status": {
            "capacity": {"cpu": "64", "memory": "264Gi", "pods": "110", **gpu},
            "allocatable": {
                "cpu": cpu,
                "ephemeral-storage": "47093746742",
                "hugepages-2Mi": "0",
                "memory": memory,
                "pods": "110",
                **gpu,
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def write_kubeconfig(path: Path, url: str) -> Path:
    """Two contexts, of which `hospital` leads to the server and the current one to nothing."""
    clusters = {"hospital": url, "laptop": "http://127.0.0.1:9"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "laptop",
        "clusters": [{"name": name, "cluster": {"server": at}} for name, at in clusters.items()],
        "users": [{"name": "anna", "user": {"token": "t0ken"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "anna"}} for name in clusters],
    }
    path.write_text(yaml.safe_dump(content))
    return path
