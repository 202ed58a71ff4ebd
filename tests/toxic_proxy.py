"""A TCP proxy that does to connections what networks do: resets, delays, half an answer, silence."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What happens to one exchange: nothing, unless it says so.

    `delay` in wall seconds before the answer; `reset` cuts the connection with a TCP reset before it;
    `cut_after` lets so many bytes of the answer through, then closes. `drip` in wall seconds between two
    bytes of the answer, `late` before the request is passed on. `on_request` is called when it has come, and
    `lost` says that it is never passed on.
    """

    delay: float = 0.0
    reset: bool = False
    cut_after: int | None = None
    drip: float = 0.0
    late: float = 0.0
    on_request: Callable[[], None] | None = None
    lost: bool = False


@dataclass(slots=True, kw_only=True)
class Script:
    """What happens to which exchange. `number` is the next one's, over all connections.

    `numbered` are the first ones in order, `once` the first of an operation; all that come later than the
    operation `after` get `then`.
    """

    numbered: Sequence[Toxic] = ()
    once: dict[str, Toxic] = field(default_factory=dict)
    after: str = ""
    then: Toxic = Toxic()
    number: int = 0
    is_after: bool = False

    def next(self, operation: str) -> Toxic:
        """Return what happens to the next exchange, which asks for *operation*."""
        number, self.number = self.number, self.number + 1
        if self.is_after:
            return self.then
        self.is_after = bool(self.after) and operation == self.after
        if operation in self.once:
            return self.once.pop(operation)
        return self.numbered[number] if number < len(self.numbered) else Toxic()


@dataclass(slots=True)
class Toxics:
    """The script that goes on, and how many exchanges it has seen."""

    script: Script
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def used(self) -> int:
        """Return how many exchanges there were."""
        return self.script.number

    def begin(self, script: Script) -> None:
        """Begin another script."""
        with self.lock:
            self.script = script

    def next(self, request: bytes) -> Toxic:
        """Return what happens to the exchange that begins with *request*."""
        found = _TARGET.search(request)
        with self.lock:
            return self.script.next(found[1].decode() if found else "")


_TARGET = re.compile(rb"\r\nX-Amz-Target: [^.\r]*\.(\w+)", re.IGNORECASE)


@contextmanager
def toxic_proxy(endpoint: str, script: Sequence[Toxic]) -> Iterator[tuple[str, Toxics]]:
    """Give the address of a proxy in front of *endpoint*, and what it has done so far."""
    parts = urlsplit(endpoint)
    upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
    toxics = Toxics(Script(numbered=script))
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
            toxic = toxics.next(request)
            if toxic.on_request is not None:
                toxic.on_request()
            time.sleep(toxic.late)
            if toxic.lost:
                return
            if toxic.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            server.sendall(request)
            answer = _message(server)
            time.sleep(toxic.delay)
            if toxic.cut_after is not None:
                client.sendall(answer[: toxic.cut_after])
                return
            if toxic.drip:
                for byte in answer:
                    client.sendall(bytes([byte]))
                    time.sleep(toxic.drip)
                continue
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
