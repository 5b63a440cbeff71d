"""Places by URI: a local directory, gs:// or s3://, with writes that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

UNFINISHED = ".writing-"
"""How the names of files begin that are being written."""

ABANDONED_SECONDS = 3600
"""A file that has not grown for an hour has no writer."""


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The file system path of a local URI.

    Raises:
      ValueError: `uri` is not local.
    """
    if not is_local(uri):
        raise ValueError(f"{uri}: expected a local path")
    return Path(uri.removeprefix("file://"))


def join(uri: str, *parts: str) -> str:
    return posixpath.join(uri, *parts)


def absolute(uri: str) -> str:
    """`uri` itself, or the absolute path of a local one, so that it means the same to every step."""
    return str(local_path(uri).absolute()) if is_local(uri) else uri.rstrip("/")


def exists(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).exists()
    filesystem, path = fsspec.core.url_to_fs(uri)
    return bool(filesystem.exists(path))


def read_bytes(uri: str) -> bytes:
    # A Path costs as much time as reading a view.
    with open(uri.removeprefix("file://"), "rb") if is_local(uri) else fsspec.open(uri, "rb") as file:
        return file.read()


def write_bytes(uri: str, content: bytes) -> None:
    """Writes an object whole: it appears under its name with all of `content`, or not at all."""
    with new_file(uri) as path:
        path.write_bytes(content)


def read_text(uri: str) -> str:
    return read_bytes(uri).decode("utf-8")


def write_text(uri: str, content: str) -> None:
    write_bytes(uri, content.encode("utf-8"))


def remove(uri: str) -> None:
    """Removes a file, if it is there."""
    if is_local(uri):
        local_path(uri).unlink(missing_ok=True)
    elif exists(uri):
        filesystem, path = fsspec.core.url_to_fs(uri)
        filesystem.rm_file(path)


def remove_folder(uri: str) -> None:
    """Removes a folder and all that is in it, if it is there."""
    if is_local(uri):
        shutil.rmtree(local_path(uri), ignore_errors=True)
    elif exists(uri):
        filesystem, path = fsspec.core.url_to_fs(uri)
        filesystem.rm(path, recursive=True)


def list_files(uri: str) -> list[str]:
    """The URIs of the files directly in a folder, sorted; empty where there is no such folder."""
    if is_local(uri):
        folder = local_path(uri)
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:  # Knows files from folders without asking for each.
            return sorted(entry.path for entry in entries if entry.is_file())
    filesystem, path = fsspec.core.url_to_fs(uri)
    if not filesystem.exists(path):
        return []
    entries = filesystem.ls(path, detail=True)
    return sorted(filesystem.unstrip_protocol(e["name"]) for e in entries if e["type"] == "file")


def sweep(uri: str) -> None:
    """Removes what killed writers left unfinished in a local folder, once nobody can be writing it."""
    if is_local(uri) and local_path(uri).is_dir():
        for path in local_path(uri).glob(f"{UNFINISHED}*"):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink(missing_ok=True)


@contextmanager
def new_file(uri: str) -> Iterator[Path]:
    """A local path to write to, published as `uri` when the block ends without an error.

    Locally the file is renamed into place; object stores have no rename, but show an uploaded
    object only once it is complete.
    """
    local = is_local(uri)
    if local:
        local_path(uri).parent.mkdir(parents=True, exist_ok=True)
    folder = local_path(uri).parent if local else None
    descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=folder)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
        path.chmod(0o644)
        if local:
            path.replace(local_path(uri))
        else:
            filesystem, remote = fsspec.core.url_to_fs(uri)
            filesystem.put_file(str(path), remote)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """A local path with the content of `uri`: itself if it is local, else a copy for the block."""
    if is_local(uri):
        yield local_path(uri)
        return
    folder = Path(tempfile.mkdtemp(prefix="angiopipe-"))
    try:
        path = folder / posixpath.basename(uri)
        filesystem, remote = fsspec.core.url_to_fs(uri)
        filesystem.get_file(remote, str(path))
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
