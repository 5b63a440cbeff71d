import fsspec
import pytest

from angiopipe import storage


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
