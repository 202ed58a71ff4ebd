"""A proxy before a real registry that goes wrong as it is told: answers, resets, silence, slowness."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOREVER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """What goes wrong with requests whose `METHOD /path` has *where* in it, the first *times* of them.

    `how` is an HTTP status, `reset` or `eof` for the connection, or `slow` for half a second's wait.
    """

    where: str
    how: int | str
    body: str = ""
    times: int = FOREVER


class FaultProxy:
    """The proxy; `told` maps a repository to what goes wrong with it, "" is for requests without one."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.told: dict[str, tuple[Wrong, ...]] = {}
        self.requests: list[str] = []
        self._used: Counter[tuple[str, Wrong]] = Counter()
        self._lock = threading.Lock()

    def wrong(self, method: str, path: str) -> Wrong | None:
        """Return what goes wrong with this request, and count it."""
        line = f"{method} {path}"
        found = re.match(r"/v2/(?P<name>.+?)/(?:blobs|manifests|tags)/", path)
        name = found["name"] if found else ""
        with self._lock:
            self.requests.append(line)
            for one in self.told.get(name, ()):
                if re.search(one.where, line) and self._used[name, one] < one.times:
                    self._used[name, one] += 1
                    return one
        return None


@contextmanager
def fault_proxy(upstream: str) -> Iterator[tuple[FaultProxy, str]]:
    """Run a proxy before *upstream* (host:port); give it and its address."""
    proxy = FaultProxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _handle(self) -> None:
            wrong = proxy.wrong(self.command, self.path)
            if wrong is not None and wrong.how in {"reset", "eof"}:
                if wrong.how == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RD)
                self.connection.close()
                self.close_connection = True
                return
            body = self._body()
            if wrong is not None and isinstance(wrong.how, int):
                self._answer(wrong.how, {"Content-Type": "application/json"}, wrong.body.encode())
                return
            if wrong is not None:
                time.sleep(0.5)
            upstream = http.client.HTTPConnection(proxy.upstream, timeout=30)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # Accept stands there several times
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = answer.read()
            self._answer(answer.status, dict(answer.getheaders()), content)
            upstream.close()

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            length = headers.get("Content-Length", str(len(content)))
            for name, value in headers.items():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._handle)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield proxy, f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
