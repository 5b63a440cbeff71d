"""The script that stores, prunes and fetches the backups of MLflow's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from infra.base.mlflow import backup

FOLDER = "memory://bucket/backups"


@pytest.fixture
def store():
    MemoryFileSystem.store.clear()
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "mlflow.dump"
    path.write_bytes(b"PGDMP and more")
    return path


def old(store, *days):
    for day in days:
        store.pipe_file(f"/bucket/backups/mlflow-202001{day:02}T021700Z.dump", b"PGDMP of day %d" % day)


def test_a_backup_comes_back_as_it_was(store, dump, tmp_path):
    uri = backup.upload(str(dump), FOLDER, keep=3)
    fetched = tmp_path / "fetched"
    assert backup.download(FOLDER, str(fetched)) == uri
    assert fetched.read_bytes() == dump.read_bytes()


def test_the_oldest_go_and_strangers_stay(store, dump):
    old(store, 1, 2, 3)
    store.pipe_file("/bucket/backups/notes.txt", b"mine")
    uri = backup.upload(str(dump), FOLDER, keep=2)
    assert backup.backups(FOLDER) == [uri.rsplit("/", 1)[1], "mlflow-20200103T021700Z.dump"]
    assert store.exists("/bucket/backups/notes.txt")


def test_an_sqlite_database_is_copied_while_it_is_written_to(store, tmp_path):
    live, dump, lost = (str(tmp_path / name) for name in ("mlflow.db", "mlflow.dump", "lost.db"))
    with closing(sqlite3.connect(live)) as writer:
        writer.execute("create table runs (id)")
        writer.execute("insert into runs values (1)")
        writer.commit()
        writer.execute("insert into runs values (2)")  # Not committed, so not in it.
        backup.main(["copy", live, dump])
    backup.main(["upload", dump, FOLDER, "--keep=1"])
    backup.main(["download", FOLDER, f"{dump}2"])
    with closing(sqlite3.connect(lost)) as present:
        present.execute("create table later (id)")
    backup.main(["copy", f"{dump}2", lost])
    with closing(sqlite3.connect(lost)) as restored:
        assert restored.execute("select id from runs").fetchall() == [(1,)]
        assert restored.execute("select name from sqlite_master").fetchall() == [("runs",)]


@pytest.mark.parametrize("content", [None, b"", b"PGDMP and more"])
def test_what_is_no_sqlite_database_is_copied_over_none(tmp_path, content):
    source, target = tmp_path / "source", tmp_path / "target"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(SystemExit, match=r"^backup: .*(No such file|expected an SQLite database)"):
        backup.main(["copy", str(source), str(target)])
    assert not target.exists()


def test_what_is_no_dump_replaces_nothing(store, tmp_path):
    old(store, 1, 2)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(
        ValueError, match="expected a dump in PostgreSQL's custom format or an SQLite database, found b''"
    ):
        backup.upload(str(empty), FOLDER, keep=1)
    assert len(backup.backups(FOLDER)) == 2


def test_a_backup_cut_short_removes_nothing(store, dump, monkeypatch):
    old(store, 1, 2)
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda self, source, path: self.pipe_file(path, b"PG"))
    with pytest.raises(OSError, match="expected 14 bytes, found 2; no older backup was removed"):
        backup.upload(str(dump), FOLDER, keep=1)
    assert len(backup.backups(FOLDER)) == 3


def test_an_older_one_is_fetched_by_name(store, tmp_path):
    old(store, 1, 2)
    backup.main(["download", FOLDER, str(tmp_path / "d"), "--name", "mlflow-20200101T021700Z.dump"])
    assert (tmp_path / "d").read_bytes() == b"PGDMP of day 1"


@pytest.mark.parametrize(
    ("days", "found"), [((), "found none"), ((2,), "found mlflow-20200102T021700Z.dump")]
)
def test_a_missing_one_is_told_with_those_there_are(store, tmp_path, days, found):
    old(store, *days)
    with pytest.raises(SystemExit, match=found):
        backup.main(["download", FOLDER, str(tmp_path / "d"), "--name=mlflow-20190101T000000Z.dump"])
    assert not (tmp_path / "d").exists()


def test_the_last_backup_cannot_be_pruned_away(store, dump, capsys):
    with pytest.raises(SystemExit):
        backup.main(["upload", str(dump), FOLDER, "--keep=0"])
    assert "expected at least 1" in capsys.readouterr().err
