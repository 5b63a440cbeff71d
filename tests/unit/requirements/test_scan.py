"""The scan for known vulnerabilities, with pip-audit itself, against a database on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

SCAN = Path(__file__).parents[3] / "requirements" / "scan"
ADVISORY = {
    "id": "PYSEC-0000-1",
    "summary": "made up",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0"}]}],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """Answers as https://google.github.io/osv.dev/post-v1-query/ says; knows one advisory, or nothing."""

    knows = True

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vulnerable = self.knows and query["package"]["name"] == "jinja2" and query["version"] < "3"
        body = json.dumps({"vulns": [ADVISORY]} if vulnerable else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class EmptyDatabase(Database):
    knows = False


@pytest.fixture(params=[Database])
def database(request) -> Iterator[str]:
    """The database's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def scan(url: str, folder: Path, pin: str, accepted: str = "# none") -> subprocess.CompletedProcess[str]:
    shutil.copy(SCAN, folder)
    (folder / "accepted-vulnerabilities.txt").write_text(accepted)
    lock = folder / "some.lock"
    lock.write_text(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n")
    return subprocess.run(
        [sys.executable, str(folder / SCAN.name), str(lock)],
        capture_output=True,
        text=True,
        env={**os.environ, "OSV_URL": url, "NO_PROXY": "127.0.0.1"},
        check=False,
    )


def test_a_vulnerable_package_is_named_and_fails_the_check(database, tmp_path):
    done = scan(database, tmp_path, "jinja2==2.4.1 ; sys_platform == 'linux'")
    assert done.returncode == 1
    assert "PYSEC-0000-1" in done.stdout
    assert "3.0" in done.stdout
    assert "some.lock: update what is vulnerable (make lock), or accept it in" in done.stderr


def test_packages_without_known_vulnerabilities_pass(database, tmp_path):
    done = scan(database, tmp_path, "jinja2==3.1.6")
    assert done.returncode == 0
    assert "No known vulnerabilities found" in done.stderr


def test_an_accepted_vulnerability_passes(database, tmp_path):
    done = scan(database, tmp_path, "jinja2==2.4.1", accepted="PYSEC-0000-1 templates are ours")
    assert done.returncode == 0


@pytest.mark.parametrize("database", [EmptyDatabase], indirect=True)
def test_a_database_that_knows_nothing_does_not_count_as_a_scan(database, tmp_path):
    done = scan(database, tmp_path, "jinja2==2.4.1")
    assert done.returncode == 0
    assert "not scanned" in done.stdout
    assert "knows no vulnerability of jinja2 2.4.1" in done.stdout


def test_where_no_database_answers_one_line_says_so(tmp_path):
    done = scan("http://127.0.0.1:9/v1/query", tmp_path, "jinja2==2.4.1")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert "not scanned, http://127.0.0.1:9/v1/query does not answer as expected" in done.stdout
