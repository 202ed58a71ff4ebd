"""A queue that speaks SQS's protocol and holds ten thousand messages; moto's takes minutes for so many."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Sent:
    name: str
    body: str
    sent: float
    times: int = 0
    hidden_until: float = 0.0


class QueueStandIn:
    """What is visible, in order, and what is in flight, by receipt."""

    def __init__(self, bodies: list[str]) -> None:
        now = time.time()
        sent = [Sent(name=f"m{n}", body=body, sent=now) for n, body in enumerate(bodies)]
        self.visible = deque(sent)
        self.in_flight: dict[str, Sent] = {}
        self.deleted = 0
        self.lock = threading.Lock()

    def send(self, body: str) -> None:
        with self.lock:
            number = len(self.visible) + len(self.in_flight) + self.deleted
            self.visible.append(Sent(name=f"m{number}", body=body, sent=time.time()))

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            match operation:
                case "ReceiveMessage":
                    return {
                        "Messages": [self._receive(asked["VisibilityTimeout"]) for _ in range(self._most())]
                    }
                case "DeleteMessageBatch":
                    for entry in asked["Entries"]:
                        del self.in_flight[entry["ReceiptHandle"]]
                    self.deleted += len(asked["Entries"])
                case "ChangeMessageVisibilityBatch":
                    for entry in asked["Entries"]:
                        one = self.in_flight[entry["ReceiptHandle"]]
                        one.hidden_until = time.time() + entry["VisibilityTimeout"]
                case _:
                    raise NotImplementedError(operation)
            return {"Successful": [], "Failed": []}

    def _most(self) -> int:
        if not self.visible:
            for receipt in [key for key, one in self.in_flight.items() if one.hidden_until <= time.time()]:
                self.visible.append(self.in_flight.pop(receipt))
        return min(10, len(self.visible))

    def _receive(self, seconds: int) -> dict[str, Any]:
        one = self.visible.popleft()
        one.times += 1
        one.hidden_until = time.time() + seconds
        receipt = f"{one.name}/{one.times}"
        self.in_flight[receipt] = one
        attributes = {"SentTimestamp": str(int(one.sent * 1000)), "ApproximateReceiveCount": str(one.times)}
        return {"MessageId": one.name, "ReceiptHandle": receipt, "Body": one.body, "Attributes": attributes}


@contextmanager
def served(queue: QueueStandIn) -> Iterator[str]:
    """Serve a queue; yield its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(queue.answer(self.headers["X-Amz-Target"].rpartition(".")[2], asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
