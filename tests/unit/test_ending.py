"""Real processes in real trouble: each ends with one line that names the place and says what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.small_disks import Mount, fill, make_read_only

pytestmark = pytest.mark.usefixtures("signals_heard")

ROOT = Path(__file__).parents[2]
NOBODY = 65534
MIB = 1 << 20


def started(code: str, *arguments: object, **options) -> subprocess.Popen[str]:
    """A process that runs `code` as a command of ours does, `sys.argv[1:]` being the arguments."""
    body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
    program = "\n".join(
        ["import os, resource, sys, time", "from pathlib import Path", "from angiopipe import storage",
         "from angiopipe.ending import told", 'with told("angiopipe try"):', body]
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, text=True, cwd=ROOT, **options,
    )  # fmt: skip


def told_by(process: subprocess.Popen[str], code: int = 1) -> str:
    """The one line that a process ends with."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    (line,) = errors.splitlines()
    name, _, message = line.partition(": ")
    assert name == "angiopipe try"
    return message


def write(path: object, size: int = MIB, **options) -> str:
    return told_by(
        started("storage.write_bytes(sys.argv[1], bytes(int(sys.argv[2])))", path, size, **options)
    )


def test_a_full_disk(mount: Mount):
    disk = mount("64k")
    message = write(disk / "shard")
    assert (
        message
        == f"{disk}/shard: no space left on device; free some space there or choose another place, and start again"
    )
    assert [path.name for path in disk.iterdir()] == []


def test_a_full_disk_under_a_file_that_is_not_published_by_storage(mount: Mount):
    disk = mount("64k")
    message = told_by(started("made = Path(sys.argv[1]); made.write_bytes(bytes(1 << 20))", disk / "scratch"))
    assert message.startswith(f"{disk}/scratch: no space left on device; free some space there")


def test_a_full_disk_under_standard_output(mount: Mount):
    disk = mount("64k")
    fill(disk)
    with (disk / "filled").open("a") as output:
        process = started("print('x' * 100_000)", stdout=output)
        message = told_by(process)
    assert message.startswith("standard output: no space left on device; free some space")


def test_a_read_only_disk(mount: Mount):
    disk = mount()
    make_read_only(disk)
    assert (
        write(disk / "a" / "b") == f"{disk}/a: read-only file system; choose a place that can be written to"
    )


def test_a_file_that_may_not_grow_so_large(tmp_path: Path):
    code = "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); storage.write_bytes(sys.argv[1], bytes(2000))"
    message = told_by(started(code, tmp_path / "shard"))
    assert message == f"{tmp_path}/shard: file too large; raise the limit on a file's size (ulimit -f)"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_missing_right(tmp_path: Path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 == 0o005:  # Whatever lies above was never pytest's to close.
            break
        folder.chmod(0o755)
    for name, mode in {"locked": 0o700, "shut": 0o755}.items():
        (tmp_path / name).mkdir(mode=mode)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    remedy = "permission denied; have the right to it given, or choose another place"
    become = f"os.seteuid({NOBODY})"
    for wish, place in {
        "storage.write_text(sys.argv[1] + '/shut/report', 'x')": "shut/report",
        "storage.write_text(sys.argv[1] + '/locked/report', 'x')": "locked/report",
        "storage.read_text(sys.argv[1] + '/secret')": "secret",
    }.items():
        assert told_by(started(f"{become}; {wish}", tmp_path)) == f"{tmp_path}/{place}: {remedy}"


def test_a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    in_the_way = "it is in the way: move it away, or choose another path"
    no_folder = "a file is there in place of a folder: move it away, or choose another path"
    no_file = "a folder is there in place of a file: move it away, or choose another path"
    assert write(tmp_path / "file" / "shard") == f"{tmp_path}/file: file exists; {in_the_way}"
    assert write(tmp_path / "file" / "a" / "b") == f"{tmp_path}/file/a: not a directory; {no_folder}"
    assert write(tmp_path / "folder") == f"{tmp_path}/folder: is a directory; {no_file}"
    for read, what in {
        "file/a": f"not a directory; {no_folder}",
        "folder": f"is a directory; {no_file}",
    }.items():
        assert (
            told_by(started("storage.read_text(sys.argv[1])", tmp_path / read))
            == f"{tmp_path}/{read}: {what}"
        )


def test_what_is_not_there_too_long_or_a_circle(tmp_path: Path):
    (tmp_path / "circle").symlink_to("circle")
    for name, what in {
        "absent": "no such file or directory; check the path",
        "circle": "too many levels of symbolic links; links lead there in a circle: choose another path",
        "x" * 300: "file name too long; choose a shorter path",
    }.items():
        assert (
            told_by(started("storage.read_text(sys.argv[1])", tmp_path / name))
            == f"{tmp_path}/{name}: {what}"
        )


def test_too_many_open_files(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("x")
    code = """
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    while True:
        try:
            os.dup(0)
        except OSError:
            break
    storage.read_text(sys.argv[1])
    """
    message = told_by(started(code, tmp_path / "labels.csv"))
    assert (
        message
        == f"{tmp_path}/labels.csv: too many open files; raise the limit on open files (ulimit -n 4096)"
    )


def test_nobody_reads_the_output():
    process = started("time.sleep(1); print('x' * 100_000)")
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (141, "")


def test_a_server_that_cannot_be_reached():
    message = told_by(started("storage.read_text('ftp://127.0.0.1:9/labels.csv')"))
    assert message.startswith("ftp://127.0.0.1:9/labels.csv: no answer from ftp:// (Connection")
    assert message.endswith("see that the store can be reached and that the credentials are right")


def test_the_library_s_own_errors_are_told_as_they_are():
    assert told_by(started("raise ValueError('expected 8 views, found 7')")) == "expected 8 views, found 7"
    assert told_by(started("raise FloatingPointError('the loss is nan')")) == "the loss is nan"


def test_a_defect_comes_with_a_traceback_and_says_what_it_is():
    process = started("{}['views']")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("Traceback (most recent call last):")
    assert errors.splitlines()[-1] == (
        "angiopipe try: KeyError: 'views'; a defect of angiopipe: report it, with the traceback "
        "(CONTRIBUTING.md says how)"
    )
    assert "defect" in (ROOT / "CONTRIBUTING.md").read_text()


WAITING = """
with storage.new_file(sys.argv[1]) as path:
    path.write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_one_line_and_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals):
    process = started(WAITING, tmp_path / "shard")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert told_by(process, 128 + number) == f"stopped by {number.name}; what was finished is kept"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_was_to_be_ignored_is_ignored(tmp_path: Path):
    code = "print('begun', flush=True); time.sleep(0.5); print('done')"
    process = started(code, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60) == ("done\n", "")


def test_threads_that_write_are_not_waited_for_and_leave_nothing(tmp_path: Path):
    code = f"import threading; threading.Thread(target=lambda: exec({WAITING!r})).start(); time.sleep(60)"
    process = started(code, tmp_path / "shard")
    assert process.stdout.readline() == "begun\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    told_by(process, 128 + signal.SIGTERM)
    assert time.monotonic() - begun < 10
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_clear_away_in_time_is_ended(tmp_path: Path):
    code = """
    from angiopipe import ending
    ending.END_SECONDS = 0.5
    try:
        print("begun", flush=True); time.sleep(60)
    finally:
        time.sleep(60)
    """
    process = started(code)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # An impatient user's second one changes nothing.
    assert told_by(process, 128 + signal.SIGINT).startswith("stopped by SIGINT")


def test_an_error_that_a_signal_caused_is_not_told(tmp_path: Path):
    code = """
    try:
        print("begun", flush=True); time.sleep(60)
    except KeyboardInterrupt:
        raise NameError("half an import")
    """
    process = started(code)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert told_by(process, 128 + signal.SIGINT).startswith("stopped by SIGINT")
