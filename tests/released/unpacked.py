"""What an earlier release wrote, unpacked where a test may use it."""

from __future__ import annotations

import io
import sqlite3
import tarfile
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
HOME = "/srv/angiopipe"
"""Where the paths in an archive begin."""

_TEXT = {".json", ".csv", ".yaml", ".html", ".md", ".txt", ""}


def unpack(version: str, out: Path) -> Path:
    """Unpacks a release's archive, and moves the paths in it to where it lies now.

    Args:
      version: the release's.
      out: a folder that is there.

    Returns:
      The folder with `cohort/`, `data/` (a data root) and the compiled packages.
    """
    with tarfile.open(FOLDER / f"{version}.tar.xz") as archive:
        archive.extractall(out, filter="data")
    for path in out.rglob("*"):
        if path.is_file() and (path.suffix in _TEXT or path.name == "MLmodel"):
            content = path.read_bytes()
            if HOME.encode() in content:
                path.write_bytes(content.replace(HOME.encode(), str(out).encode()))
        elif path.suffix == ".parquet":
            _move_table(path, out)
    _move_database(out / "data" / "mlflow.db", out)
    return out


def _move_table(path: Path, out: Path) -> None:
    table = pd.read_parquet(io.BytesIO(path.read_bytes()))
    if "uri" in table:
        table["uri"] = table["uri"].str.replace(HOME, str(out), regex=False)
        table.to_parquet(path, index=False)


def _move_database(path: Path, out: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in database.execute(f'pragma table_info("{table}")').fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT")):
                    database.execute(
                        f'update "{table}" set "{column}" = replace("{column}", ?, ?) where "{column}" like ?',
                        (HOME, str(out), f"%{HOME}%"),
                    )
    database.close()
