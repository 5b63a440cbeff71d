"""The image manifest: a CSV `Index,view,path[,frame]` that says which file holds which view."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

import pandas as pd

from angiopipe import storage
from angiopipe.cohort.labels import SAFE_INDEX
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.study import INDEX, VIEW_NAMES
from angiopipe.tables import Columns, read_table

FRAME = "frame"
HEADER = Columns((INDEX, "view", "path"), (FRAME,), rows="image")
COLUMNS = (INDEX, "view", "uri", FRAME, "line")

_SCHEMES = ("file", "gs", "s3")


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    index: str
    view: str
    path: str
    frame: str = ""


def read_image_manifest(uri: str) -> pd.DataFrame:
    """Reads and checks an image manifest; the order of its columns does not matter.

    A relative path starts at the manifest's own folder and may not leave it. An absolute one must
    say so: a local manifest may name `/...`, and any may name `gs://...` or `s3://...`. One that
    was fetched from elsewhere may not name files of the machine that reads it.

    Args:
      uri: the CSV.

    Returns:
      Columns `Index`, `view`, `uri` (str), `frame` (Int64, counted from 1, missing where none is
      given) and `line` (its line in the file), in the order of the file.

    Raises:
      FaultyStudies: it is no CSV, a column is missing or unknown, a line has a cell too many or too few,
        an Index is unsafe as a file name, a view is unknown or given twice, a path or frame cannot be.
        All faults at once.
    """
    table = read_table(uri, HEADER, file=uri)
    rows, faults = [_Row(line, *cells) for line, cells in table.rows], table.faults
    for row in rows:
        faults += _row_faults(row, uri)
    faults += _repeated(rows, uri)
    if faults:
        raise FaultyStudies(
            f"{uri}: {len(faults)} faults in the image manifest; correct them and run again:", faults
        )
    images = pd.DataFrame(
        [(row.index, row.view, _resolved(row.path, uri), row.frame or None, row.line) for row in rows],
        columns=list(COLUMNS),
    )
    return images.astype({INDEX: "str", "view": "str", "uri": "str"}).assign(
        frame=pd.array([int(row.frame) if row.frame else None for row in rows], dtype="Int64")
    )


def _row_faults(row: _Row, uri: str) -> list[Fault]:
    where = (row.index, row.view, uri, row.line)
    faults = []
    if not re.fullmatch(SAFE_INDEX, row.index):
        expected = "an Index of letters, digits, '_', '.', '-'"
        faults.append(_fault("", "", uri, row.line, expected, repr(row.index)))
    if row.view not in VIEW_NAMES:
        faults.append(
            _fault(row.index, "", uri, row.line, f"a view of {', '.join(VIEW_NAMES)}", repr(row.view))
        )
    if row.frame and not re.fullmatch("0*[1-9][0-9]{0,8}", row.frame, re.ASCII):
        faults.append(_fault(*where, "a frame counted from 1, or none", repr(row.frame)))
    refused = _path_fault(row.path, uri)
    if refused:
        faults.append(_fault(*where, refused, repr(row.path)))
    return faults


def _path_fault(path: str, manifest: str) -> str:
    """What was expected instead of a path that cannot be; empty if it can."""
    scheme, separated, _ = path.partition("://")
    if not path or not path.isprintable() or "::" in path:
        return "a path"
    if separated:
        own = manifest.partition("://")[0] if "://" in manifest else ""
        allowed = [
            name for name in (*_SCHEMES, own) if name and (name != "file" or storage.is_local(manifest))
        ]
        return "" if scheme in allowed else f"a path, or a URI of {', '.join(dict.fromkeys(allowed))}"
    if path.startswith("/"):
        return "" if storage.is_local(manifest) else "a path inside the manifest's folder, or a whole URI"
    inside = posixpath.normpath(path)
    return "a path inside the manifest's folder, or an absolute one" if inside.split("/")[0] == ".." else ""


def _resolved(path: str, manifest: str) -> str:
    if "://" in path or path.startswith("/"):
        return path
    return storage.join(manifest.rpartition("/")[0] or ".", posixpath.normpath(path))


def _repeated(rows: list[_Row], uri: str) -> list[Fault]:
    lines: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        lines.setdefault((row.index, row.view), []).append(row.line)
    return [
        _fault(index, view, uri, found[-1], "one line", f"lines {', '.join(map(str, found))}", "keep one")
        for (index, view), found in lines.items()
        if len(found) > 1
    ]


def _fault(
    study: str, view: str, file: str, line: int, expected: str, found: str, remedy: str = "correct the line"
) -> Fault:
    return Fault(study, view, file, line, expected, found, remedy)
