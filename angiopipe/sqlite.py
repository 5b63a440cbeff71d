"""The SQLite databases that stand in for servers on one machine: MLflow's and Optuna's."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from angiopipe.storage import UNFINISHED

PREFIX = "sqlite:///"

_FAULTS = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
    "file is not a database": errno.EEXIST,
}
"""What SQLite says where the system let it down, in errors that its users wrap in their own."""


def uri_of(path: str) -> str:
    """A database's URI, as SQLAlchemy takes it and MLflow passes it on.

    Raises:
      ValueError: one of the two would look for the file elsewhere.
    """
    if "?" in path or unquote(path) != path:
        raise ValueError(
            f"{path}: expected a path without a question mark, and without % before two hexadecimal digits, which "
            "mean something else to MLflow's databases; choose another folder for the data, or give MLflow's server"
        )
    return f"{PREFIX}{path}"


def path_of(uri: str) -> Path | None:
    """The file of a database's URI; None for other databases and servers."""
    return Path(unquote(uri.removeprefix(PREFIX))) if uri.startswith(PREFIX) else None


def make_whole(path: Path, make: Callable[[str], object]) -> None:
    """Makes a local file unless it is there, whole, and by one process however many begin at once.

    MLflow and Optuna make their databases in place, in many steps: another process takes what is half
    made for an older version's or makes the rest of it too, and all fail where the first was killed.

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
def naming(uri: str) -> Iterator[None]:
    """A block in which a fault of the system's under a database becomes the system's own error, with its path.

    Raises:
      OSError: the database cannot be read or written.
    """
    try:
        yield
    except Exception as error:
        path, said = path_of(uri), ""
        cause: BaseException | None = error
        while cause:
            said, cause = f"{said}{cause}\n", cause.__cause__ or cause.__context__
        number = next((number for words, number in _FAULTS.items() if words in said), None)
        if path and number:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
