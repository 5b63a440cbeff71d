import fsspec
import pytest

from angiopipe import storage
from tests.odd_paths import ALL, ODD


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    """A local folder and an object store (fsspec's in-memory one) behave the same."""
    if request.param == "local":
        yield str(tmp_path)
    else:
        yield "memory://bucket"
        fsspec.filesystem("memory").store.clear()


def test_what_is_written_is_read(root):
    uri = storage.join(root, "a", "b.txt")
    assert not storage.exists(uri)
    storage.write_text(uri, "Übung")
    assert storage.exists(uri)
    assert storage.read_text(uri) == "Übung"


def test_an_interrupted_write_leaves_nothing(root):
    uri = storage.join(root, "a.bin")
    with pytest.raises(KeyboardInterrupt), storage.new_file(uri) as path:
        path.write_bytes(b"half")
        raise KeyboardInterrupt
    assert not storage.exists(uri)
    assert storage.list_files(root) == []


def test_an_interrupted_rewrite_leaves_the_old_content(root):
    uri = storage.join(root, "a.bin")
    storage.write_bytes(uri, b"old")
    with pytest.raises(KeyboardInterrupt), storage.new_file(uri) as path:
        path.write_bytes(b"new")
        raise KeyboardInterrupt
    assert storage.read_bytes(uri) == b"old"


def test_files_are_listed_sorted_without_folders(root):
    for name in ("b.txt", "a.txt", "c/d.txt"):
        storage.write_text(storage.join(root, name), "x")
    assert [uri.rsplit("/", 1)[-1] for uri in storage.list_files(root)] == ["a.txt", "b.txt"]
    assert storage.list_files(storage.join(root, "absent")) == []


def test_listed_uris_can_be_read(root):
    storage.write_text(storage.join(root, "a.txt"), "x")
    assert [storage.read_text(uri) for uri in storage.list_files(root)] == ["x"]


def test_a_staged_file_has_the_content(root):
    uri = storage.join(root, "a.txt")
    storage.write_text(uri, "x")
    with storage.staged(uri) as path:
        assert path.read_text() == "x"
        assert path.name == "a.txt"


def test_a_remote_uri_has_no_local_path():
    with pytest.raises(ValueError, match="s3://bucket/x: expected a local path"):
        storage.local_path("s3://bucket/x")


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(root):
    for name in ("a/1.txt", "a/b/2.txt", "ab/3.txt"):
        storage.write_text(storage.join(root, name), name)
    storage.remove_folder(storage.join(root, "a"))
    storage.remove_folder(storage.join(root, "absent"))
    assert not storage.exists(storage.join(root, "a/b/2.txt"))
    assert not storage.list_files(storage.join(root, "a"))
    assert storage.read_text(storage.join(root, "ab/3.txt")) == "ab/3.txt"


@pytest.mark.parametrize("name", [*ODD.values(), ALL])
def test_a_folder_may_have_any_name(tmp_path, name):
    root = str(tmp_path / name)
    uri = storage.join(root, "a.txt")
    storage.write_text(uri, "x")
    assert (tmp_path / name / "a.txt").read_text() == "x"
    assert [storage.read_text(found) for found in storage.list_files(root)] == ["x"]
    assert storage.absolute(f"{root}/") == root
    plain = storage.plain_uri(uri)
    assert not set(plain) & set("'\"\\&|(){}$[]* \n")
    assert storage.read_text(plain) == "x"
    storage.remove(plain)
    assert not storage.exists(uri)


def test_paths_that_lead_to_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to("a b")
    storage.write_text(str(tmp_path / "a b" / "c"), "x")
    for same in (
        "~/a b/c",
        "a b/c",
        "./link/../a b/c",
        f"{tmp_path}/link/c",
        f"file://{tmp_path}/a%20b/c",
        f"file://{tmp_path}/a b/c",
        f"file://localhost{tmp_path}/a%20b/c",
    ):
        assert storage.read_text(same) == "x"
        assert storage.exists(same)
        assert storage.local_path(storage.absolute(same)).is_absolute()
    assert storage.absolute("~/a b/") == f"{tmp_path}/a b"


def test_a_file_uri_of_another_machine_is_refused():
    with pytest.raises(
        ValueError, match="file://data/x: expected file:/// and an absolute path, found the host 'data'"
    ):
        storage.read_bytes("file://data/x")
