"""A Docker engine that holds the images that a test runs, or a reason to skip it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

docker = pytest.importorskip("docker")

IMAGE_USER = 10001
"""Of all our images."""

_UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


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


def memory_bytes(quantity: str) -> int:
    """What Docker calls Kubernetes' `512Mi` or `4Gi`."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def share_with_images(folder: Path, *written: Path) -> None:
    """Lets the images' user into a folder of pytest's, and write to some of what is in it."""
    for path in written:
        if os.getuid() == 0:
            os.chown(path, IMAGE_USER, IMAGE_USER)
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o005 == 0o005:  # Whatever lies above was never pytest's to close.
            break
        path.chmod(0o755)
