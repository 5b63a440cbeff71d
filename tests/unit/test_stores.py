"""A store that goes away: waited for where it had answered, told at once where it never did."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys

import fsspec
import gcsfs.core
import pytest
import s3fs.core
from fsspec.implementations.memory import MemoryFileSystem

from angiopipe import storage, stores

# What the drivers raise is of their own clients.
aiohttp, botocore = gcsfs.core.aiohttp, s3fs.core.botocore.exceptions

AWAY = {
    "a closed port": botocore.EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
    "no way there": botocore.ConnectTimeoutError(endpoint_url="http://10.0.0.1"),
    "a connection that breaks off": aiohttp.ServerDisconnectedError(),
    "an answer cut short": aiohttp.ClientPayloadError("Response payload is not completed"),
    "a reset": ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "a silent server": TimeoutError(),
    "SlowDown": OSError(errno.EBUSY, "Please reduce your request rate."),
    "InternalError": OSError(errno.EREMOTEIO, "We encountered an internal error."),
}
REFUSES = {
    "credentials": botocore.NoCredentialsError(),
    "a right": PermissionError("Access Denied"),
    "a request": OSError(errno.EINVAL, "The specified bucket is not valid."),
    "a defect": KeyError("x"),
}


class Stumbling(MemoryFileSystem):
    """A store in memory that fails as often as it is told, before or after it has done what it was asked."""

    protocol = "stumbling"
    store: dict = {}  # noqa: RUF012
    faults: list = []  # noqa: RUF012
    late = False

    def _stumble(self, method, *args, **kwargs):
        if type(self).faults and self.late:
            method(*args, **kwargs)
        if type(self).faults:
            raise type(self).faults.pop()
        return method(*args, **kwargs)

    def cat_file(self, path, **kwargs):
        return self._stumble(super().cat_file, path, **kwargs)

    def put_file(self, *args, **kwargs):
        return self._stumble(super().put_file, *args, **kwargs)

    def get_file(self, *args, **kwargs):
        return self._stumble(super().get_file, *args, **kwargs)

    def rm_file(self, path):
        return self._stumble(super().rm_file, path)

    def ls(self, path, detail=True, **kwargs):
        return self._stumble(super().ls, path, detail=detail, **kwargs)

    def exists(self, path, **kwargs):
        return self._stumble(super().exists, path, **kwargs)


@pytest.fixture
def root(monkeypatch):
    fsspec.register_implementation("stumbling", Stumbling, clobber=True)
    monkeypatch.setattr(stores, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(Stumbling, "late", False)
    stores._answered.clear()
    Stumbling.store.clear()
    storage.write_text("stumbling://bucket/a.txt", "a")
    yield "stumbling://bucket"
    Stumbling.faults.clear()


def staged(uri):
    with storage.staged(uri) as path:
        return path.read_text()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fault", AWAY.values(), ids=AWAY)
def test_whatever_is_asked_is_asked_again_and_comes_to_the_same(root, fault, late, monkeypatch):
    monkeypatch.setattr(Stumbling, "late", late)
    asked = {
        "write": (lambda: storage.write_text(f"{root}/b.txt", "b"), None),
        "read": (lambda: storage.read_text(f"{root}/b.txt"), "b"),
        "stage": (lambda: staged(f"{root}/b.txt"), "b"),
        "list": (lambda: storage.list_files(root), [f"{root}/a.txt", f"{root}/b.txt"]),
        "exists": (lambda: storage.exists(f"{root}/b.txt"), True),
        "remove": (lambda: storage.remove(f"{root}/b.txt"), None),
        "is removed": (lambda: storage.list_files(root), [f"{root}/a.txt"]),
    }
    for name, (ask, expected) in asked.items():
        Stumbling.faults[:] = [fault] * 3
        assert ask() == expected, name
        assert not Stumbling.faults


@pytest.mark.parametrize("fault", REFUSES.values(), ids=REFUSES)
def test_what_would_be_refused_again_is_told_at_once(root, fault):
    Stumbling.faults[:] = [fault] * 2
    with pytest.raises(OSError, match="no answer from stumbling://") as caught:
        storage.read_text(f"{root}/a.txt")
    assert not isinstance(caught.value, stores.StoreAway)
    assert len(Stumbling.faults) == 1


def test_a_file_that_is_not_there_is_no_fault(root):
    with pytest.raises(FileNotFoundError):
        storage.read_text(f"{root}/none.txt")


def test_it_is_told_that_one_waits_and_in_the_end_that_it_stayed_away(root, monkeypatch, caplog):
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(logging.getLogger("angiopipe"), "propagate", True)
    Stumbling.faults[:] = [AWAY["a reset"]] * 1000
    with pytest.raises(stores.StoreAway) as caught:
        storage.read_text(f"{root}/a.txt")
    assert "no answer from stumbling:// (ConnectionResetError: [Errno 104] Connection reset by peer)" in str(
        caught.value
    )
    assert "stumbling://bucket/a.txt: no answer (ConnectionResetError" in caplog.messages[0]
    assert "asking again in 0.0 s, for 0 s more" in caplog.messages[0]


def test_a_store_that_never_answered_may_be_misnamed_and_is_told_at_once(root):
    Stumbling.faults[:] = [AWAY["a closed port"]] * 2
    with pytest.raises(stores.StoreAway):
        storage.read_text("stumbling://another/a.txt")
    assert len(Stumbling.faults) == 1


def test_a_worker_that_a_network_failed_ends_with_the_code_that_says_so(tmp_path):
    code = (
        "import sys; from angiopipe.training import worker\n"
        "def work(what: str) -> None:\n"
        "    raise {'net': ConnectionResetError('reset'), 'input': ValueError('x'), 'disk': OSError('y')}[what]\n"
        "worker.work = work; worker.main()"
    )
    for what, expected in {"net": 75, "input": 1, "disk": 1}.items():
        run = subprocess.run(
            [sys.executable, "-c", code, f"--what={what}"], capture_output=True, text=True, check=False
        )
        assert run.returncode == expected
        assert "Error: " in run.stderr
        assert "Traceback" not in run.stderr
