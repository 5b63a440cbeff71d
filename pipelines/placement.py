"""What Kubernetes is told about each task: machine, retries, time, labels, secrets, caching.

A graph says what runs and in what order. Where and on what it runs is laid over it here, for each
component by its name, so that every pipeline has it and a local run, which would only warn about it,
has not.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from angiopipe.step import RUN_ID_VARIABLE
from components.face import CACHED, IMAGES, VERSION
from pipelines.code import code_version
from pipelines.errors import PipelineError
from pipelines.settings import Pool, Settings, Step

RUN_ID_LABEL = "pipeline/runid"
"""On every pod of a run, by Kubeflow."""

_SHARED_MEMORY = "/dev/shm"


def placed(graph: Any, settings: Settings, values: Mapping[str, Any] | None = None) -> Any:
    """The same graph with everything that Kubernetes has to know about its tasks.

    Args:
      graph: as `@dsl.pipeline` made it.
      settings: where and on what it runs.
      values: of its parameters.

    Raises:
      PipelineError: a task is a pipeline of its own, which has no pod to place.
    """
    from kfp import dsl
    from kfp.dsl.pipeline_context import Pipeline

    function = graph.pipeline_func

    @functools.wraps(function)
    def with_places(*args: Any, **kwargs: Any) -> Any:
        output = function(*args, **kwargs)
        for task in Pipeline.get_default_pipeline().tasks.values():
            _place(task, settings, values or {})
        return output

    return dsl.pipeline(name=graph.name, description=graph.description)(with_places)


def _place(task: Any, settings: Settings, values: Mapping[str, Any]) -> None:
    if task.container_spec is None:
        raise PipelineError(f"task {task.name}: expected a component, found a pipeline, which runs in no pod")
    component = task.component_spec.name
    step = settings.step(component, values)
    pool = settings.pools.get(step.pool, Pool())
    own = {image: settings.images[name] for name, image in IMAGES.items() if name in settings.images}
    task.set_container_image(own.get(task.container_spec.image, task.container_spec.image))
    _give_resources(task, step, pool)
    _give_nodes(task, step, pool)
    _give_patience(task, step)
    _give_environment(task, settings, step)
    _give_labels(task, component, settings)
    _cache(task, component, step)


def _give_resources(task: Any, step: Step, pool: Pool) -> None:
    from kfp import kubernetes

    task.set_cpu_request(step.cpu).set_memory_request(step.memory).set_memory_limit(step.memory)
    if step.accelerators:
        task.set_accelerator_type(pool.accelerator).set_accelerator_limit(step.accelerators)
    if step.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", _SHARED_MEMORY, "Memory", step.shared_memory)


def _give_nodes(task: Any, step: Step, pool: Pool) -> None:
    from kfp import kubernetes

    for key, value in pool.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    if step.accelerators:
        kubernetes.add_toleration(task, key=pool.accelerator, operator="Exists", effect="NoSchedule")
    for one in pool.tolerations:
        kubernetes.add_toleration(
            task,
            key=one.key or None,
            operator=one.operator,
            value=one.value or None,
            effect=one.effect or None,
        )


def _give_patience(task: Any, step: Step) -> None:
    from kfp import kubernetes

    task.set_retry(step.retries, f"{step.backoff}s", step.backoff_factor, f"{step.backoff_max}s")
    kubernetes.set_timeout(task, step.timeout)


def _give_environment(task: Any, settings: Settings, step: Step) -> None:
    """Plain values are written into the package; secrets only by the name of their Secret."""
    from kfp import kubernetes

    endpoint = {"AWS_ENDPOINT_URL": settings.storage.endpoint} if settings.storage.endpoint else {}
    for name, value in sorted({**endpoint, **settings.env, **step.env}.items()):
        task.set_env_variable(name, value)
    secret = {**settings.storage.secret_env, **settings.secret_env, **step.secret_env}
    for name, one in sorted(secret.items()):
        kubernetes.use_secret_as_env(task, one.secret, {one.key: name})
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.image_pull_secrets))


def _give_labels(task: Any, component: str, settings: Settings) -> None:
    from kfp import kubernetes

    own = {
        "app.kubernetes.io/name": "angiopipe",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/version": VERSION,
    }
    for key, value in {**settings.labels, **own}.items():
        kubernetes.add_pod_label(task, key, value)


def _cache(task: Any, component: str, step: Step) -> None:
    """Lets Kubeflow take over an earlier run's work where `CACHED` allows it.

    Kubeflow's key has every parameter's value in it, so a run id among them would make each run's key
    another. It comes from the pod instead.
    """
    from kfp import kubernetes

    cached = step.cache and component in CACHED
    task.set_caching_options(cached)
    if cached:
        task.inputs["code_version"] = code_version()
        task.inputs["run_id"] = f"${RUN_ID_VARIABLE}"
        kubernetes.use_field_path_as_env(task, RUN_ID_VARIABLE, f"metadata.labels['{RUN_ID_LABEL}']")
