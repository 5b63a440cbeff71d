"""A way to a server on which the first answer of every kind of request gets lost."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_UNUSED = frozenset({"host", "connection", "transfer-encoding", "content-length"})


def kind(method: str, path: str) -> str:
    """A request's method and path without what names one thing, such as a run or a file."""
    path = re.sub(r"/artifacts/.*", "/artifacts/FILE", path.partition("?")[0])
    return f"{method} {re.sub(r'm-[0-9a-f]{32}|[0-9a-f]{32}', 'ID', path)}"


@contextmanager
def lossy(server_uri: str) -> Iterator[tuple[str, set[str]]]:
    """The proxy's URI, and the kinds of requests of which it has lost an answer so far."""
    lost: set[str] = set()
    address = urlsplit(server_uri).netloc

    class Handler(BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            """Hands a request on; the server has done what it asks before the answer gets lost."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server = http.client.HTTPConnection(address, timeout=120)
            headers = {n: v for n, v in self.headers.items() if n.lower() not in _UNUSED}
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
            self.close_connection = True
            if kind(self.command, self.path) not in lost:
                lost.add(kind(self.command, self.path))
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _UNUSED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on  # noqa: N815 (names of http.server)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", lost
    finally:
        proxy.shutdown()
        proxy.server_close()
