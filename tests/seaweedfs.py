"""A real S3 server on loopback: SeaweedFS, which comes as a wheel."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 60


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A new bucket's URI; within the block the environment's variables point to its server."""
    names = ("s3", "master", "volume", "filer")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], free_ports(8), strict=True))
    options = [
        f"-{name.replace('.grpc', '')}.port{'.grpc' * ('.grpc' in name)}={p}" for name, p in ports.items()
    ]
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": "angiopipe",
        "AWS_SECRET_ACCESS_KEY": "angiopipe",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}", "-s3", *options,
                "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0",
                "-master.telemetry=false",
            ],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            yield _create_bucket(f"bucket-{uuid.uuid4().hex[:8]}", server, folder / "log")
        finally:
            server.kill()
            server.wait()


def _create_bucket(name: str, server: subprocess.Popen, log: Path) -> str:
    """Asks until the server, which answers with errors for its first seconds, has made the bucket."""
    import s3fs

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
            return f"s3://{name}"
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"no S3 server: {error}\n{log.read_text(errors='replace')[-2000:]}"
                ) from None
            time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
