"""Backups of MLflow's database in the object store: `backup.py upload|download`; runs in the base image."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import fsspec

_NAME = re.compile(r"mlflow-\d{8}T\d{6}Z\.dump")
NEWEST = "newest"


def upload(dump: str, folder: str, keep: int) -> str:
    """Stores a dump under the present time, then removes all but the newest `keep`.

    Args:
      dump: a local file that `pg_dump --format=custom` wrote.
      folder: a URI; what else lies in it is left alone.
      keep: at least one.

    Returns:
      The new backup's URI.

    Raises:
      ValueError: `dump` is no dump of PostgreSQL.
      OSError: what lies in the store is not as long as what was sent; older backups are kept.
    """
    with open(dump, "rb") as file:
        content = file.read(5)
        size = file.seek(0, 2)
    if content != b"PGDMP":
        raise ValueError(
            f"{dump}: expected a dump in PostgreSQL's custom format, found {content!r}...; nothing stored"
        )
    store, root = fsspec.core.url_to_fs(folder)
    name = f"mlflow-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    store.makedirs(root, exist_ok=True)
    store.put_file(dump, f"{root}/{name}")
    stored = store.size(f"{root}/{name}")
    if stored != size:
        raise OSError(f"{folder}/{name}: expected {size} bytes, found {stored}; no older backup was removed")
    for old in backups(folder)[keep:]:
        store.rm_file(f"{root}/{old}")
    return f"{folder}/{name}"


def download(folder: str, dump: str, name: str = NEWEST) -> str:
    """Fetches a backup.

    Args:
      folder: the URI that backups were stored under.
      dump: the local file to write.
      name: of the backup, such as `mlflow-20261125T021700Z.dump`, or `newest`.

    Returns:
      The URI of what was fetched.

    Raises:
      FileNotFoundError: there is no such backup; those that there are are named.
    """
    present = backups(folder)
    if not present or name not in (NEWEST, *present):
        found = ", ".join(present) or "none"
        raise FileNotFoundError(f"{folder}: expected the backup {name}, found {found}")
    wanted = present[0] if name == NEWEST else name
    store, root = fsspec.core.url_to_fs(folder)
    store.get_file(f"{root}/{wanted}", dump)
    return f"{folder}/{wanted}"


def backups(folder: str) -> list[str]:
    """The names of all backups, newest first."""
    store, root = fsspec.core.url_to_fs(folder)
    if not store.exists(root):
        return []
    names = (path.rsplit("/", 1)[-1] for path in store.ls(root, detail=False, refresh=True))
    return sorted(filter(_NAME.fullmatch, names), reverse=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    store = commands.add_parser("upload", help="store a dump, remove the oldest")
    store.add_argument("dump")
    store.add_argument("folder")
    store.add_argument("--keep", type=_at_least_one, required=True, help="how many backups stay")
    fetch = commands.add_parser("download", help="fetch a backup")
    fetch.add_argument("folder")
    fetch.add_argument("dump")
    fetch.add_argument("--name", default=NEWEST, help="newest, or the name of a backup")
    options = vars(parser.parse_args(arguments))
    run = {"upload": upload, "download": download}[options.pop("command")]
    try:
        print(run(**options))
    except (OSError, ValueError) as error:
        sys.exit(f"backup: {error}")


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {text}")
    return int(text)


if __name__ == "__main__":
    main()
