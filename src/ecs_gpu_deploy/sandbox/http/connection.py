"""One connection of a client: requests one after the other, each read whole and answered in one packet."""

from __future__ import annotations

import contextlib
import http.client
import socket
import traceback
from collections.abc import Callable
from io import BytesIO
from typing import Any

from werkzeug.serving import WSGIRequestHandler

from ecs_gpu_deploy.sandbox.http.door import BadRequest, body_length, chunk_length

Headers = list[tuple[str, str]]
_LONGEST_LINE = 4096
_PART_SECONDS = 10.0
"""How long the next part of a request that has begun may let one wait."""


class Connection(WSGIRequestHandler):  # type: ignore[misc]
    """Keep the connection open, and stay silent.

    Werkzeug's own handler closes it after every request, because nobody knows how much of a request's body
    the application has read; here the whole body is read before the application sees it. With a connection
    and a thread for every call, a rollout on the stepped clock takes three times as long.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    open_connections: set[socket.socket] = set()  # noqa: RUF012 - each server gives its own

    def setup(self) -> None:
        """Remember the connection, so that the server can close it."""
        super().setup()
        self.open_connections.add(self.connection)

    def finish(self) -> None:
        """Forget the connection."""
        self.open_connections.discard(self.connection)
        with contextlib.suppress(OSError):  # reset on purpose, or by the client
            super().finish()

    def handle_one_request(self) -> None:
        """Wait for a request as long as the client likes; once it has begun its parts have to follow."""
        self.connection.settimeout(None)
        self.rfile.peek(1)
        self.connection.settimeout(_PART_SECONDS)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the headers; answer 400 where they end in the middle."""
        try:
            parsed: bool = super().parse_request()
        except TimeoutError:
            self.send_error(400, "The headers have no end")
            return False
        return parsed

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").strip().lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        try:
            self.environ = self._environment()
            status, headers, body = _called(self.server.app, self.environ)
        except (BadRequest, RecursionError) as error:
            self.close_connection = True
            why = "The document is nested too deeply." if isinstance(error, RecursionError) else str(error)
            status, headers, body = "400 Bad Request", [("Content-Type", "text/plain")], why.encode()
        except OSError as error:
            self.connection_dropped(error)
            return
        except Exception:  # noqa: BLE001 - a bug of ours is told to the client, and the server goes on
            self.close_connection = True
            text = traceback.format_exc().encode()
            status, headers, body = "500 Internal Server Error", [("Content-Type", "text/plain")], text
        code, _, reason = status.partition(" ")
        # Not send_response: it adds a Date of its own, and clients take the first for the server's clock.
        self.send_response_only(int(code), reason or http.client.responses.get(int(code), ""))
        self.send_header("Server", self.version_string())
        for name, value in headers:
            self.send_header(name, value)
        names = {name.lower() for name, _ in headers}
        if "date" not in names:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in names and int(code) not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = self.make_environ()
        if environ.pop("wsgi.input_terminated", False):  # werkzeug's reader crashes at a chunk that is cut
            body = self._chunked_body()
        elif "HTTP_TRANSFER_ENCODING" in environ:
            raise BadRequest("The one Transfer-Encoding that can be read is chunked.")
        else:
            body = self._whole(body_length(environ))
        environ["wsgi.input"] = BytesIO(body)
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        return environ

    def _chunked_body(self) -> bytes:
        """Read a body in chunks (HTTP/1.1, "Chunked Transfer Coding"), without its trailers."""
        body = bytearray()
        while length := chunk_length(self._line(), already=len(body)):
            body += self._whole(length)
            if self._line():
                raise BadRequest("A chunk is longer than it says.")
        while self._line():
            pass
        return bytes(body)

    def _line(self) -> bytes:
        try:
            line: bytes = self.rfile.readline(_LONGEST_LINE)
        except TimeoutError:
            line = b""
        if not line.endswith(b"\n"):
            raise BadRequest("The body has no end.")
        return line.strip()

    def _whole(self, length: int) -> bytes:
        try:
            body: bytes = self.rfile.read(length)
        except TimeoutError:
            body = b""
        if len(body) < length:
            raise BadRequest(f"Less than the {length} bytes that were announced have come.")
        return body

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        """End the connection that was reset, by the client or on purpose."""
        del error, environ
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Write nothing: a test's or a person's terminal is not for access logs."""


def _called(application: Callable[..., Any], environ: dict[str, Any]) -> tuple[str, Headers, bytes]:
    """Call a WSGI application; return its status line, headers and whole body."""
    answered: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None) -> Callable[[bytes], None]:
        answered[:] = [(status, headers)]
        return chunks.append

    chunks: list[bytes] = []
    answer = application(environ, start_response)
    try:
        chunks.extend(answer)
    finally:
        if close := getattr(answer, "close", None):
            close()
    status, headers = answered[0]
    return status, headers, b"".join(chunks)
