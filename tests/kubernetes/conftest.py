"""One control plane for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.kubernetes.servers import BINARIES, ControlPlane
from tests.unit.infra.built import new_secrets, overlay

# What Kubeflow Pipelines brings and ours refers to.
KUBEFLOW = """
apiVersion: v1
kind: Namespace
metadata: {name: kubeflow}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: pipeline-runner, namespace: kubeflow}
"""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An empty cluster."""
    if not (BINARIES / "trainer").exists():
        pytest.skip("no control plane in tests/kubernetes/bin: make test-kubernetes builds it with Go 1.26")
    if not shutil.which("openssl"):
        pytest.skip("no openssl on the PATH")
    servers = ControlPlane(tmp_path_factory.mktemp("kubernetes"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """A cluster set up for kind as docs/deploy.md says, Kubeflow Pipelines' namespace and account in place."""
    control_plane.apply(list(yaml.safe_load_all(KUBEFLOW)))
    namespaces = [one for one in overlay("kind") if one["kind"] == "Namespace"]
    control_plane.apply(namespaces)
    control_plane.kubectl("create", "-f", "-", given=yaml.safe_dump_all(new_secrets("kind")))
    control_plane.apply(overlay("kind"))
    return control_plane
