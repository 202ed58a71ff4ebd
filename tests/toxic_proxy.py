"""A TCP proxy that does to connections what networks do: resets, delays, half an answer, silence."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What happens to one exchange: nothing, unless it says so.

    `delay` in wall seconds before the answer; `reset` cuts the connection with a TCP reset before it;
    `cut_after` lets so many bytes of the answer through, then closes.
    """

    delay: float = 0.0
    reset: bool = False
    cut_after: int | None = None


@dataclass(slots=True)
class Toxics:
    """The script: the exchange with number n (from 0, over all connections) gets the n-th toxic."""

    script: Sequence[Toxic]
    used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Toxic:
        """Return the toxic of the next exchange; past the end of the script, a clean one."""
        with self.lock:
            number, self.used = self.used, self.used + 1
        return self.script[number] if number < len(self.script) else Toxic()


@contextmanager
def toxic_proxy(endpoint: str, script: Sequence[Toxic]) -> Iterator[tuple[str, Toxics]]:
    """Give the address of a proxy in front of *endpoint*, and what it has done so far."""
    parts = urlsplit(endpoint)
    upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
    toxics = Toxics(script)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    stopping = threading.Event()

    def accept() -> None:
        while not stopping.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_serve, args=(client, upstream, toxics), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", toxics
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(timeout=5)
        for thread in threads:
            thread.join(timeout=5)


def _serve(client: socket.socket, upstream: tuple[str, int], toxics: Toxics) -> None:
    """Pass one connection on, an exchange at a time: HTTP/1.1 with Content-Length both ways."""
    with client, socket.create_connection(upstream) as server, contextlib.suppress(OSError):
        client.settimeout(60)
        while request := _message(client):
            toxic = toxics.next()
            if toxic.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            server.sendall(request)
            answer = _message(server)
            time.sleep(toxic.delay)
            if toxic.cut_after is not None:
                client.sendall(answer[: toxic.cut_after])
                return
            client.sendall(answer)


def _message(connection: socket.socket) -> bytes:
    """Return one whole HTTP message, b"" at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        chunk = connection.recv(65536)
        if not chunk:
            break
        body += chunk
    return head + b"\r\n\r\n" + body
