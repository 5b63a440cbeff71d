"""Backups of MLflow's database in the object store: `backup.py copy|upload|download`; runs in the base image."""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import fsspec

_NAME = re.compile(r"mlflow-\d{8}T\d{6}Z\.dump")
NEWEST = "newest"
_DATABASES = {b"PGDMP": "a dump in PostgreSQL's custom format", b"SQLit": "an SQLite database"}


def upload(dump: str, folder: str, keep: int) -> str:
    """Stores a dump under the present time, then removes all but the newest `keep`.

    Args:
      dump: a local file that `pg_dump --format=custom` or `copy` wrote.
      folder: a URI; what else lies in it is left alone.
      keep: at least one.

    Returns:
      The new backup's URI.

    Raises:
      ValueError: `dump` is no database's.
      OSError: what lies in the store is not as long as what was sent; older backups are kept.
    """
    with open(dump, "rb") as file:
        content = file.read(5)
        size = file.seek(0, 2)
    if content not in _DATABASES:
        expected = " or ".join(_DATABASES.values())
        raise ValueError(f"{dump}: expected {expected}, found {content!r}...; nothing stored")
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


def copy(source: str, target: str) -> str:
    """Copies an SQLite database as it is at one moment, also while a server writes to it.

    Args:
      source: a local file.
      target: likewise; all that is in it is replaced, or nothing.

    Returns:
      The target.

    Raises:
      ValueError: the source is no SQLite database.
      FileNotFoundError: it is not there.
    """
    with Path(source).open("rb") as file:  # SQLite would make an empty one.
        if file.read(5) != b"SQLit":
            raise ValueError(f"{source}: expected an SQLite database, found another file; nothing copied")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


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
    duplicate = commands.add_parser("copy", help="copy an SQLite database, here or back")
    duplicate.add_argument("source")
    duplicate.add_argument("target")
    options = vars(parser.parse_args(arguments))
    run = {"copy": copy, "upload": upload, "download": download}[options.pop("command")]
    try:
        print(run(**options))
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit(f"backup: {error}")


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {text}")
    return int(text)


if __name__ == "__main__":
    main()
