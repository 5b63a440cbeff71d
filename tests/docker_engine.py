"""A Docker engine that holds the images that a test runs, or a reason to skip it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

docker = pytest.importorskip("docker")


@contextmanager
def engine_with(images: Sequence[str]) -> Iterator[docker.DockerClient]:
    """The engine; skips the test where there is none, or an image was not built."""
    try:
        client = docker.from_env()
        tags = {tag for image in client.images.list() for tag in image.tags}
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    if missing := [image for image in images if image not in tags]:
        pytest.skip(f"not built: {', '.join(missing)}; run make images")
    try:
        yield client
    finally:
        client.close()
