"""Places by URI: a local directory, gs:// or s3://, with writes that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from angiopipe.stores import ask

UNFINISHED = ".writing-"
"""How the names of files begin that are being written."""

ABANDONED_SECONDS = 3600
"""A file that has not grown for an hour has no writer."""

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)

_being_written: set[Path] = set()


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The file system path of a local path or URI.

    Raises:
      ValueError: `uri` is not local.
    """
    if not is_local(uri):
        raise ValueError(f"{uri}: expected a local path")
    return Path(_name(uri))


def _name(uri: str) -> str:
    """What the file system calls a local path or URI; `~` is the user's home, as shells have it."""
    if not uri.startswith("file://"):
        return os.path.expanduser(uri)
    host, _, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise ValueError(f"{uri}: expected file:/// and an absolute path, found the host {host!r}")
    return unquote(f"/{path}")


def join(uri: str, *parts: str) -> str:
    return posixpath.join(uri, *parts)


def absolute(uri: str) -> str:
    """`uri` itself, or the absolute path of a local one, so that it means the same to every step."""
    return str(local_path(uri).absolute()) if is_local(uri) else uri.rstrip("/")


def in_words(error: OSError) -> str:
    """What was found where a file was expected."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "nothing there"
    if isinstance(error, IsADirectoryError):
        return "a folder"
    return error.strerror or str(error).partition("\n")[0] or type(error).__name__


def plain_uri(uri: str) -> str:
    """`uri`, or a local path as a file URI, in which nothing is left that a program on its way might take for its own."""
    return local_path(uri).absolute().as_uri() if uri and is_local(uri) else uri


def exists(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).exists()
    return bool(ask(uri, lambda filesystem, path: filesystem.exists(path)))


def read_bytes(uri: str) -> bytes:
    if is_local(uri):
        with open(_name(uri), "rb") as file:  # A Path costs as much time as reading a view.
            return file.read()
    return bytes(ask(uri, lambda filesystem, path: filesystem.cat_file(path)))


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
        with suppress(FileNotFoundError):  # It was removed, and only the answer got lost.
            ask(uri, lambda filesystem, path: filesystem.rm_file(path))


def remove_folder(uri: str) -> None:
    """Removes a folder and all that is in it, if it is there."""
    if is_local(uri):
        shutil.rmtree(local_path(uri), ignore_errors=True)
    elif exists(uri):
        with suppress(FileNotFoundError):
            ask(uri, lambda filesystem, path: filesystem.rm(path, recursive=True))


def is_folder(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).is_dir()
    return bool(ask(uri, lambda filesystem, path: filesystem.isdir(path)))


def list_files(uri: str) -> list[str]:
    """The URIs of the files directly in a folder, sorted; empty where there is no such folder."""
    return _listed(uri, folders=False)


def list_folders(uri: str) -> list[str]:
    """The URIs of the folders directly in a folder, sorted; empty where there is no such folder."""
    return _listed(uri, folders=True)


def _listed(uri: str, folders: bool) -> list[str]:
    if is_local(uri):
        folder = local_path(uri)
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:  # Knows files from folders without asking for each.
            return sorted(e.path for e in entries if (e.is_dir() if folders else e.is_file()))
    kind = "directory" if folders else "file"

    def listed(filesystem: Any, path: str) -> list[str]:
        entries = filesystem.ls(path, detail=True) if filesystem.exists(path) else []
        return sorted(filesystem.unstrip_protocol(e["name"]) for e in entries if e["type"] == kind)

    return ask(uri, listed)


def sweep(uri: str) -> None:
    """Removes what killed writers left unfinished in a local folder, once nobody can be writing it."""
    if is_local(uri) and local_path(uri).is_dir():
        for path in local_path(uri).glob(f"{UNFINISHED}*"):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink(missing_ok=True)


def abandon() -> None:
    """Removes what this process has begun to write, as it ends without waiting for its threads."""
    for path in tuple(_being_written):
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def new_file(uri: str) -> Iterator[Path]:
    """A local path to write to, published as `uri` when the block ends without an error.

    Locally the file is renamed into place; object stores have no rename, but show an uploaded
    object only once it is complete.

    Raises:
      OSError: the file cannot be written; it names `uri`, not the path that the block has.
    """
    local = is_local(uri)
    folder = local_path(uri).parent if local else None
    with _naming(uri):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=folder)
        os.close(descriptor)
    path = Path(name)
    _being_written.add(path)
    try:
        with _naming(uri):
            yield path
            path.chmod(0o644)
            if local:
                path.replace(local_path(uri))
        if not local:
            ask(uri, lambda filesystem, remote: filesystem.put_file(str(path), remote))
    finally:
        path.unlink(missing_ok=True)
        _being_written.discard(path)


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """A local path with the content of `uri`: itself if it is local, else a copy for the block."""
    if is_local(uri):
        yield local_path(uri)
        return
    folder = Path(tempfile.mkdtemp(prefix="angiopipe-"))
    try:
        path = folder / posixpath.basename(uri)
        ask(uri, lambda filesystem, remote: filesystem.get_file(remote, str(path)))
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _naming(uri: str) -> Iterator[None]:
    """Has an error about a file that is being written name the file that it was to become."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno in _DISK_FAULTS
        if unnamed or UNFINISHED in f"{error.filename} {error.filename2}":
            error.filename = str(local_path(uri)) if is_local(uri) else uri
            if error.filename2:
                error.filename2 = error.filename
        raise


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
