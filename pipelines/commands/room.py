"""What no node of the cluster could hold, refused before anything is uploaded or paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from angiopipe.cluster.settings import ClusterSettings, load_cluster_settings
from pipelines.errors import PipelineError
from pipelines.package import Package
from pipelines.settings import Settings

if TYPE_CHECKING:
    from angiopipe.cluster.nodes import Demand


def refuse_what_no_node_holds(
    settings: Settings, package: Package, values: Mapping[str, Any], note: Callable[[str], object] = print
) -> None:
    """Says what pods would wait for, if the settings name the cluster where they run.

    Args:
      settings: where and on what it runs.
      package: what is asked for.
      values: of the pipeline's parameters.
      note: takes a line on what was found, or could not be looked at.

    Raises:
      PipelineError: names every step that no node could hold, or why the nodes cannot be listed.
    """
    if not settings.context:
        return
    # Only who names a cluster waits for the client.
    from angiopipe.cluster.api import Forbidden
    from angiopipe.cluster.errors import ClusterError
    from angiopipe.cluster.nodes import is_cordoned, list_nodes, why_unplaceable

    where = f"context {settings.context}"
    try:
        nodes = list_nodes(settings.context, settings.request_seconds)
    except Forbidden as error:
        note(f"not checked: whether a node can hold the steps; {where}: {error}")
        return
    except ClusterError as error:
        raise PipelineError(f"{where}: {error}") from None
    whys = {one.name: why_unplaceable(one, nodes) for one in _demands(package, values)}
    faults = [f"  {name}: {why}" for name, why in whys.items() if why]
    cordoned = sum(map(is_cordoned, nodes))
    counted = f"nodes: {len(nodes) - cordoned}" + (f", and {cordoned} cordoned" if cordoned else "")
    if not faults:
        note(f"{where}: every step fits its nodes when they are empty ({counted})")
        return
    found = "\n".join(
        [f"{where}: expected every step to fit its nodes when they are empty ({counted}), found:", *faults]
    )
    if settings.autoscaled:
        note(f"{found}\nnot refused, as the settings have `autoscaled`: the autoscaler has to add nodes")
        return
    raise PipelineError(
        f"{found}\ncorrect that, in the settings or for the TrainJob in its cluster settings; where nodes are added when "
        "pods wait for them, set `autoscaled: true`"
    )


def job_settings(values: Mapping[str, Any]) -> ClusterSettings | None:
    """The TrainJob's, if there is one and its settings can be read from here."""
    try:
        return load_cluster_settings(values["cluster_settings"]) if values.get("cluster_settings") else None
    except (ValueError, OSError):  # What is wrong with it was told before, or validate will tell.
        return None


def _demands(package: Package, values: Mapping[str, Any]) -> list[Demand]:
    """What the package's pods ask for, and the TrainJob's."""
    from angiopipe.cluster.nodes import Demand, demand_of

    graph, platform = package.documents
    of_kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = []
    for label, one in graph["deploymentSpec"]["executors"].items():
        asked, pod = one["container"]["resources"], of_kubernetes[label]
        requests = {"cpu": asked["resourceCpuRequest"], "memory": asked["resourceMemoryRequest"]}
        if "accelerator" in asked:
            requests[asked["accelerator"]["resourceType"]] = asked["accelerator"]["resourceCount"]
        selector = pod.get("nodeSelector", {}).get("labels", {})
        found.append(Demand(label.removeprefix("exec-"), requests, selector, pod.get("tolerations", ())))
    job = job_settings(values)
    return [*found, demand_of(job)] if job else found
