"""An OpenAI-compatible endpoint over real HTTP that remembers what it was sent and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    url: str = ""
    answer: str = "The threshold is never below 3 [1]."
    status: int = 200
    delay: float = 0.0
    body: bytes | None = None
    breaks_off: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def stand_in(**options: Any) -> Iterator[StandIn]:
    state = StandIn(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.requests.append({"path": self.path, **body})
            state.headers.append(dict(self.headers))
            time.sleep(state.delay)
            try:
                if state.status != 200:
                    self._send(state.status, b'{"error": {"message": "sk-secret was refused"}}')
                elif state.body is not None:
                    self._send(200, state.body)
                elif body["stream"]:
                    self._stream()
                else:
                    message = {"role": "assistant", "content": state.answer}
                    self._send(200, json.dumps({"choices": [{"message": message}]}).encode())
            except (BrokenPipeError, ConnectionResetError):
                state.hung_up.set()

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for word in state.answer.split(" "):
                piece = {"choices": [{"delta": {"content": word + " "}}]}
                self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
                self.wfile.flush()
                if state.breaks_off:
                    self.wfile.write(b"data: {broken\n\n")
                    return
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
