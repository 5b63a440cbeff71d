"""A real S3 server on loopback, for the environment that `make test-tfio` builds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Without tensorflow-io this is another environment, whose TensorFlow is another one too.
collect_ignore_glob = [] if importlib.util.find_spec("tensorflow_io") else ["test_*.py"]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket's URI on a SeaweedFS of our own; the environment points there while the tests run."""
    from tests import seaweedfs

    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as bucket:
        yield bucket


def run_audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`angiopipe audit` in a process of its own: tensorflow-io's S3 aborts the process that ends with it."""
    return subprocess.run(
        [sys.executable, "-m", "angiopipe", "audit", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        timeout=120,
    )
