"""What the HTTP servers of the tests share."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit


class ApiHandler(BaseHTTPRequestHandler):
    """Hands every request to `serve`, and is quiet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Each small answer would otherwise wait 40 ms.

    def serve(self, method: str, path: str, query: dict[str, str], content: bytes) -> None:
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Is quiet."""

    def do_GET(self) -> None:
        self._hand_over("GET")

    def do_POST(self) -> None:
        self._hand_over("POST")

    def do_DELETE(self) -> None:
        self._hand_over("DELETE")

    def _hand_over(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.serve(method, url.path, query, content)
