"""Which pods no node of a cluster could hold, were it empty.

Only what a person has to change counts: labels, sizes, taints, nodes that were cordoned. Other pods leave, and a
node that is not ready becomes so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from angiopipe.cluster.api import Api, Object, configuration_of
from angiopipe.cluster.settings import ClusterSettings
from angiopipe.cluster.trainjob import pod_patch, resources

_PASSING_TAINTS = frozenset(
    f"node.kubernetes.io/{condition}"
    for condition in (
        "not-ready", "unreachable", "network-unavailable", "memory-pressure", "disk-pressure", "pid-pressure",
    )
) | {"node.cloudprovider.kubernetes.io/uninitialized"}  # fmt: skip
"""The cluster sets them by a node's condition, and takes them away again."""


@dataclass(frozen=True)
class Demand:
    """What pods of one kind ask of nodes.

    Attributes:
      name: of the step.
      requests: of each pod, by resource, in Kubernetes' notation.
      node_selector: labels that its node must have.
      tolerations: of taints, as a pod's specification has them.
      pods: how many run at once.
    """

    name: str
    requests: Mapping[str, str]
    node_selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]
    pods: int = 1


def demand_of(settings: ClusterSettings) -> Demand:
    """What the workers of a TrainJob ask for, unless its runtime adds to it."""
    pod = pod_patch(settings)
    requests = resources(settings)["requests"]
    return Demand(
        "TrainJob", requests, pod.get("nodeSelector", {}), pod.get("tolerations", ()), settings.workers
    )


def list_nodes(context: str, patience_seconds: float) -> list[Object]:
    """All nodes of the cluster that a context of the kubeconfig leads to.

    Raises:
      Forbidden: the user may not list nodes.
      ClusterError: there is no such context, or its cluster does not answer or refuses.
    """
    api = Api("", configuration_of(context), patience_seconds)
    # Version 0 is what the server has at hand: nodes are large, and many may ask.
    return api.call("GET", "/api/v1/nodes", {"resourceVersion": "0"}).get("items") or []


def is_cordoned(node: Object) -> bool:
    return bool(node["spec"].get("unschedulable"))


def why_unplaceable(demand: Demand, nodes: Sequence[Object]) -> str:
    """Why the pods could never run together on these nodes, and the remedy; empty where they could."""
    nodes = [node for node in nodes if not is_cordoned(node)]
    wanted = ", ".join(f"{name}={value}" for name, value in demand.node_selector.items())
    labelled = [node for node in nodes if demand.node_selector.items() <= _labels(node).items()]
    if not labelled:
        missing = f"with the labels {wanted}" if wanted else "that takes pods"
        return f"there is no node {missing}; correct node_selector, or label or add nodes"
    large = [node for node in labelled if _room(demand, node)]
    if not large:
        where = f"node with the labels {wanted}" if wanted else "node"
        return f"{_excess(demand, labelled, where)}; ask for less, or add larger nodes"
    free = [node for node in large if not _taints(demand, node)]
    if not free:
        return f"{_tainted(demand, large)}; add them to tolerations"
    room = sum(_room(demand, node) for node in free)
    if room < demand.pods:
        asked = _listed(demand.requests)
        return f"nodes have room for {room} of {demand.pods} pods, each {asked}; ask for fewer workers, or add nodes"
    return ""


def _labels(node: Object) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _allocatable(node: Object, resource: str) -> str:
    return str((node.get("status", {}).get("allocatable") or {}).get(resource, "0"))


def _room(demand: Demand, node: Object) -> int:
    """How many of the pods a node could hold when it is empty, its taints aside."""
    asked = {name: parse_quantity(value) for name, value in demand.requests.items()}
    fits = (int(parse_quantity(_allocatable(node, name)) / one) for name, one in asked.items() if one)
    return min(fits, default=demand.pods)


def _excess(demand: Demand, nodes: Sequence[Object], where: str) -> str:
    def size(quantity: str) -> Decimal:
        return parse_quantity(quantity)

    most = {name: max((_allocatable(node, name) for node in nodes), key=size) for name in demand.requests}
    over = {name: value for name, value in demand.requests.items() if size(value) > size(most[name])}
    if not over:
        return f"it asks for {_listed(demand.requests)}, which no {where} has together"
    largest = _listed({name: most[name] for name in over})
    return f"it asks for {_listed(over)}, of which no {where} has more than {largest}"


def _listed(quantities: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in quantities.items())


def _tainted(demand: Demand, nodes: Sequence[Object]) -> str:
    names = ", ".join(node["metadata"]["name"] for node in nodes[:3]) + (", ..." if nodes[3:] else "")
    taints = ", ".join(sorted({taint for node in nodes for taint in _taints(demand, node)}))
    return f"the nodes that are large enough ({names}) have taints that it does not tolerate: {taints}"


def _taints(demand: Demand, node: Object) -> list[str]:
    """A node's taints that keep the pods away, as kubectl writes them."""
    return [
        f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}"
        for taint in node["spec"].get("taints") or ()
        if taint["effect"] != "PreferNoSchedule"
        and taint["key"] not in _PASSING_TAINTS
        and not any(_tolerates(one, taint) for one in demand.tolerations)
    ]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    exists = toleration.get("operator") == "Exists"
    return (
        toleration.get("effect", "") in ("", taint["effect"])
        and (toleration.get("key", "") == taint["key"] or (exists and not toleration.get("key")))
        and (exists or toleration.get("value", "") == taint.get("value", ""))
    )
