"""Stand between the server and the routes: limit bodies, measure, end kept connections while draining."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_service.problems import TooLarge, refuse
from rag_service.runtime import Runtime

UNCOUNTED = frozenset({"/health", "/live"})
HUNG_UP = 499
"""nginx's status for a client that left before its answer; only metrics ever see it."""


class Intake:
    """Wrap the application as plain ASGI: BaseHTTPMiddleware would hide disconnects and buffer streams."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP requests through; lifespan events untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics = self._runtime.metrics
        counted = scope["path"] not in UNCOUNTED
        began = time.perf_counter()
        status = HUNG_UP

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._runtime.draining:
                    # A kept connection would bring the next request to a server that is going away.
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        if counted:
            metrics.in_flight.change(1, time.monotonic())
        try:
            await self._limited(scope, receive, send_on)
        finally:
            if counted:
                metrics.in_flight.change(-1, time.monotonic())
            route = scope.get("route")
            # The route's pattern, never the path as sent: labels must not grow with what scanners try.
            path = getattr(route, "path", "other")
            metrics.requests.labels(path, str(status)).observe(time.perf_counter() - began)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._runtime.settings.max_body_bytes
        problem = TooLarge(f"The body is over {limit} bytes (MAX_BODY_BYTES).")
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await refuse(problem, send, close=True)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise problem
            return message

        await self._app(scope, receive_some, send)
