"""Stand between the server and the routes: limit bodies, name, measure and log requests, end kept connections
while draining."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_service.lines import write_line
from rag_service.problems import TooLarge, TooSlow
from rag_service.runtime import Runtime

UNCOUNTED = frozenset({"/health", "/live"})
HUNG_UP = 499
"""nginx's status for a client that left before its answer; only metrics and the log ever see it."""
REQUEST_ID = "rag_service.request_id"
CLIENT = "rag_service.client"
"""Where a request's scope holds its id, and the name of the client whom the doorman knows."""
_ID = re.compile(rb"[A-Za-z0-9._=:/+@-]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.DOTALL)


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """Name a request as its sender does, by X-Request-Id, traceparent or the load balancer; else anew.

    What is longer than 128 characters or holds others than an id needs is not taken over.
    """
    sent = headers.get(b"x-request-id", b"")
    if not _ID.fullmatch(sent):
        trace = _TRACE.fullmatch(headers.get(b"traceparent", b""))
        sent = trace[1] if trace else headers.get(b"x-amzn-trace-id", b"").partition(b";")[0]
    return sent.decode("ascii") if _ID.fullmatch(sent) else uuid.uuid4().hex


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
        headers = dict(scope["headers"])
        scope[REQUEST_ID] = request_id = request_id_of(headers)
        if scope["path"] in UNCOUNTED:
            await self._measured(scope, receive, send, request_id)
            return
        runtime = self._runtime
        runtime.metrics.in_flight.change(1, time.monotonic())
        began = time.perf_counter()
        status = 500
        try:
            with runtime.tracing.request(scope["method"], headers) as span:
                try:
                    status = await self._measured(scope, receive, send, request_id)
                finally:
                    if span is not None:
                        runtime.tracing.finish(span, route=_route_of(scope), status=status)
        finally:
            runtime.metrics.in_flight.change(-1, time.monotonic())
            if runtime.settings.access_log:
                write_line(
                    {
                        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "request_id": request_id,
                        "client": scope.get(CLIENT),
                        "method": scope["method"],
                        "route": _route_of(scope),
                        "status": status,
                        "seconds": round(time.perf_counter() - began, 4),
                    }
                    | ({"trace_id": runtime.tracing.trace_id(span)} if span is not None else {})
                )

    async def _measured(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        """Answer; give the status that was sent, HUNG_UP where none was."""
        status = HUNG_UP
        began = time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(b"x-request-id", request_id.encode())]
                if self._runtime.draining:
                    # A kept connection would bring the next request to a server that is going away.
                    more.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        try:
            await self._limited(scope, receive, send_on)
        except Exception:
            status = 500  # Starlette answers for it, outside of here
            raise
        finally:
            labels = (_route_of(scope), str(status))
            self._runtime.metrics.requests.labels(*labels).observe(time.perf_counter() - began)
        return status

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._runtime.settings.max_body_bytes
        problem = TooLarge(f"The body is over {limit} bytes (MAX_BODY_BYTES).")
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        # Refused when a route asks for it, so that the log knows route and client; nobody reads the rest.
        too_large = announced.isdigit() and int(announced) > limit
        seconds = self._runtime.settings.request_timeout_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        received, ended = 0, False

        async def receive_some() -> Message:
            nonlocal received, ended
            if too_large:
                raise problem
            try:
                # After the body's end comes only the disconnect, which may wait as long as the answer takes.
                async with asyncio.timeout_at(None if ended else deadline):
                    message = await receive()
            except TimeoutError:
                raise TooSlow(
                    f"The body is not there after {seconds:g} s (REQUEST_TIMEOUT_SECONDS)."
                ) from None
            ended = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise problem
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive_some, send_and_close if too_large else send)


def _route_of(scope: Scope) -> str:
    """Give the route's pattern, never the path as sent: labels must not grow with what scanners try."""
    return getattr(scope.get("route"), "path", "other")
