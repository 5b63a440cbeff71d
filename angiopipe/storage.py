"""Places by URI: a local directory, gs:// or s3://, with writes that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
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


def in_words(error: OSError) -> str:
    """What was found where a file was expected."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "nothing there"
    if isinstance(error, IsADirectoryError):
        return "a folder"
    return error.strerror or str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def _asked(uri: str) -> Iterator[None]:
    """Whatever a store's driver raises is an error of the operating system, as that of a local file is.

    Raises:
      OSError: the store refuses, cannot be reached, or no driver for it is installed.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        store = uri.partition("://")[0]
        what = f"no answer from {store}:// ({type(error).__name__}: {error})"
        raise OSError(errno.EIO, what, uri) from error


def exists(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).exists()
    with _asked(uri):
        filesystem, path = fsspec.core.url_to_fs(uri)
        return bool(filesystem.exists(path))


def read_bytes(uri: str) -> bytes:
    # A Path costs as much time as reading a view.
    if is_local(uri):
        with open(uri.removeprefix("file://"), "rb") as file:
            return file.read()
    with _asked(uri), fsspec.open(uri, "rb") as file:
        return bytes(file.read())


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


def is_folder(uri: str) -> bool:
    if is_local(uri):
        return local_path(uri).is_dir()
    with _asked(uri):
        filesystem, path = fsspec.core.url_to_fs(uri)
        return bool(filesystem.isdir(path))


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
    with _asked(uri):
        filesystem, path = fsspec.core.url_to_fs(uri)
        if not filesystem.exists(path):
            return []
        entries = filesystem.ls(path, detail=True)
    kind = "directory" if folders else "file"
    return sorted(filesystem.unstrip_protocol(e["name"]) for e in entries if e["type"] == kind)


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
            with _asked(uri):
                filesystem, remote = fsspec.core.url_to_fs(uri)
                filesystem.put_file(str(path), remote)
    finally:
        path.unlink(missing_ok=True)


def make_whole(path: Path, make: Callable[[str], object]) -> None:
    """Makes a local file unless it is there, whole, and by one process however many begin at once.

    MLflow makes its database in place, in many steps: another process takes what is half made for an
    older version's, or makes the rest of it too, and all fail where the first was killed.

    Args:
      path: the file.
      make: makes it under the path it is given.

    Raises:
      OSError: it cannot be made there.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Let go with the file, and so with the process.
        if not path.exists():
            made = path.with_name(f"{UNFINISHED}{path.name}")
            made.unlink(missing_ok=True)
            make(str(made))
            made.replace(path)


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """A local path with the content of `uri`: itself if it is local, else a copy for the block."""
    if is_local(uri):
        yield local_path(uri)
        return
    folder = Path(tempfile.mkdtemp(prefix="angiopipe-"))
    try:
        path = folder / posixpath.basename(uri)
        with _asked(uri):
            filesystem, remote = fsspec.core.url_to_fs(uri)
            filesystem.get_file(remote, str(path))
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
