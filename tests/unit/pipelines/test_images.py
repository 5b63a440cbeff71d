"""Digests from a registry on loopback, which speaks the distribution specification with a token exchange."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from components.face import IMAGES
from pipelines.errors import PipelineError
from pipelines.images import is_pinned, parse_reference, pinned, resolve
from pipelines.settings import Settings
from tests.unit.pipelines.conftest import DIGEST

USER = base64.b64encode(b"me:secret").decode()


class _Registry(BaseHTTPRequestHandler):
    """Has `team/base:1` for all, and `private/train:1` for who brings the token that USER can have."""

    answer: object = None
    """In place of a token."""

    def log_message(self, *_: object) -> None:
        """Is quiet."""

    def do_HEAD(self) -> None:
        private = "/private/" in self.path
        if private and self.headers.get("Authorization") != "Bearer good":
            realm = f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:private/train:pull"'
            self._tell(401, {"WWW-Authenticate": challenge})
        elif self.path in ("/v2/team/base/manifests/1", "/v2/private/train/manifests/1"):
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self._tell(200, {"Docker-Content-Digest": DIGEST})
        else:
            self._tell(404, {})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        known = self.headers.get("Authorization") == f"Basic {USER}"
        right = query == {"service": ["registry"], "scope": ["repository:private/train:pull"]}
        told = {"token": "good" if known and right else "bad"} if self.answer is None else self.answer
        self._tell(200, {}, json.dumps(told).encode())

    def _tell(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_tags_digest_is_the_registrys(registry):
    assert resolve(f"{registry}/team/base:1") == DIGEST


@pytest.mark.parametrize("answer", [[], {}, {"token": None}, {"token": [1]}, 7])
@pytest.mark.parametrize("known", [[], {"auths": None}, {"auths": {"x": 1}}])
def test_answers_and_files_that_lack_what_they_should_hold_end_in_one_error(
    registry, tmp_path, monkeypatch, answer, known
):
    monkeypatch.setattr(_Registry, "answer", answer)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(known))
    with pytest.raises(PipelineError, match="found status 401"):
        resolve(f"{registry}/private/train:1")


def test_a_private_image_is_asked_for_with_docker_s_credentials(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(PipelineError, match="found status 401"):
        resolve(f"{registry}/private/train:1")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": USER}}}))
    assert resolve(f"{registry}/private/train:1") == DIGEST


def test_images_that_cannot_be_pinned_are_all_named(registry):
    settings = Settings(images={"base": f"{registry}/team/none:1", "train": "127.0.0.1:9/train:1"})
    with pytest.raises(PipelineError) as caught:
        pinned(settings, settings.images.values())
    assert (
        f"images.base: {registry}/team/none:1: expected its registry to tell the digest, found status 404"
        in str(caught.value)
    )
    assert "images.train: 127.0.0.1:9/train:1" in str(caught.value)
    assert "--unpinned" in str(caught.value)


def test_only_what_is_used_is_asked_for(registry):
    settings = Settings(images={"base": f"{registry}/team/base:1"})
    assert pinned(settings, [settings.images["base"]]).images == {"base": f"{registry}/team/base:1@{DIGEST}"}
    assert pinned(settings, [IMAGES["train"] + "x"]) == settings


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("python", ("registry-1.docker.io", "library/python", "latest")),
        ("angiopipe/python-base:0.1.0", ("registry-1.docker.io", "angiopipe/python-base", "0.1.0")),
        ("localhost:5000/a/b", ("localhost:5000", "a/b", "latest")),
        ("ghcr.io/a/b/c:2", ("ghcr.io", "a/b/c", "2")),
    ],
)
def test_a_name_is_read_as_docker_does(image, expected):
    assert parse_reference(image) == expected


def test_only_a_whole_digest_pins():
    assert is_pinned(f"a/b:1@{DIGEST}")
    assert not is_pinned(f"a/b@{DIGEST[:-1]}")
    assert not is_pinned("a/b:1")
