"""SQLite databases in folders of any name, made by several processes at once, on disks that fail."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from angiopipe import sqlite
from tests.odd_paths import ALL, ODD
from tests.small_disks import Mount, fill, make_read_only

MAKER = """
import sqlite3, sys, time
from pathlib import Path
from angiopipe import sqlite

def make(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE made (by)")
        print("making", flush=True)
        time.sleep(float(sys.argv[2]))
        database.execute("INSERT INTO made VALUES (1)")

sys.stdin.readline()
sqlite.make_whole(Path(sys.argv[1]), make)
"""


def makers(path: Path, seconds: float, count: int) -> list[subprocess.Popen[str]]:
    """Processes that begin to make the same database at once."""
    command = [sys.executable, "-c", MAKER, str(path), str(seconds)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def rows(path: Path) -> int:
    with sqlite3.connect(path) as database:
        return database.execute("SELECT count(*) FROM made").fetchone()[0]


def test_one_of_many_makes_it_and_all_find_it_whole(tmp_path):
    path = tmp_path / "new" / "a.db"
    processes = makers(path, 0.3, 4)
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(printed) == ["", "", "", "making\n"]
    assert rows(path) == 1


def test_one_that_was_killed_in_the_middle_is_made_again(tmp_path):
    path = tmp_path / "a.db"
    (killed,) = makers(path, 60, 1)
    assert killed.stdout.readline() == "making\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not path.exists()
    (again,) = makers(path, 0, 1)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert rows(path) == 1


@pytest.mark.parametrize("name", [*ODD.values(), ALL])
def test_a_database_lies_where_its_uri_says(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    uri = sqlite.uri_of(f"{folder}/a.db")
    with create_engine(uri).begin() as connection:
        connection.execute(text("CREATE TABLE made (by)"))
    assert sqlite.path_of(uri) == folder / "a.db"
    assert rows(folder / "a.db") == 0


def test_a_path_that_would_lead_elsewhere_is_refused():
    for path in ("/data/what?/a.db", "/data/a%20b/a.db"):
        with pytest.raises(ValueError, match="expected a path without a question mark, and without %"):
            sqlite.uri_of(path)
    assert sqlite.path_of("http://mlflow:5000") is None


def test_what_the_system_did_to_a_database_is_told_as_the_system_s_error(tmp_path, mount: Mount):
    full, locked = mount("64k", "full"), mount("64k", "locked")
    for disk in (full, locked):
        with closing(sqlite3.connect(disk / "a.db")) as database:
            database.execute("CREATE TABLE made (by)")
    fill(full)
    make_read_only(locked)
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be taken for one " * 20)
    for path, what in {
        full / "a.db": "No space left on device",
        locked / "a.db": "Read-only file system",
        tmp_path / "folder.db": "Permission denied",
        tmp_path / "text.db": "File exists",
    }.items():
        uri = sqlite.uri_of(str(path))
        with (
            pytest.raises(OSError, match=what) as caught,
            sqlite.naming(uri),
            create_engine(uri).begin() as connection,
        ):
            connection.execute(text("INSERT INTO made VALUES (:content)"), {"content": "x" * 100_000})
        assert caught.value.filename == str(path)


def test_other_errors_stay_what_they_are():
    with pytest.raises(KeyError), sqlite.naming("sqlite:////data/a.db"):
        raise KeyError("disk I/O")
