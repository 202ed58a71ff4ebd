"""Application Load Balancers on loopback: real requests go to the real containers behind a listener.

They know a target's health from where DescribeTargetHealth has it. Not there: TLS (an HTTPS listener answers
plain HTTP), WebSockets, stickiness, authentication, redirects.
Source: Elastic Load Balancing User Guide, "Listeners for your Application Load Balancers", "Troubleshoot your
Application Load Balancers", "HTTP headers and Application Load Balancers".
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import CheckedGroup, Listener, Rule
from ecs_gpu_deploy.sandbox.runtime.check_targets import Why, check
from ecs_gpu_deploy.sandbox.runtime.choose_target import Standing, Target, choose
from ecs_gpu_deploy.sandbox.runtime.gateway import listen_at_gateway

HOST = "127.0.0.1"
CONNECT_SECONDS = 10.0
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
LONGEST_REQUEST_LINE = 16 * 1024
LONGEST_HEADER = 16 * 1024
LONGEST_HEADER_OF_ANSWER = 32 * 1024
"""Bytes. Source: Elastic Load Balancing User Guide, "Quotas for your Application Load Balancers"."""
ERRORS: Mapping[int, str] = {
    400: "Bad Request",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """All that the load balancers need to know of the account, as it is now."""

    listeners: tuple[Listener, ...] = ()
    groups: Mapping[str, CheckedGroup] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()


class LoadBalancers:
    """Serve listeners from a thread; `verdict(target, state, why)` is called from there."""

    def __init__(self, verdict: Callable[[Target, TargetState, Why], None], *, speed: float) -> None:
        self._verdict = verdict
        self._speed = speed
        self._routes = Routes()
        self._standings: dict[Hashable, Standing] = {}
        self._checks: dict[Hashable, asyncio.Task[None]] = {}
        self._open: dict[tuple[str, int], tuple[Any, int]] = {}
        self._servers: list[web.Server[web.BaseRequest]] = []
        self._session: Any = None
        self._gateway: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load balancers", daemon=True)
        self._thread.start()

    def addresses(self) -> dict[str, str]:
        """Name the address of each load balancer; further listeners of one as `name:port`."""
        named: dict[str, str] = {}
        for (name, port), (_, at) in sorted(self._open.items()):
            named[f"{name}:{port}" if name in named else name] = f"http://{HOST}:{at}"
        return named

    def take(self, routes: Routes) -> None:
        """Go by these routes from now on: when this returns, no new request goes by older ones."""
        if routes != self._routes:
            asyncio.run_coroutine_threadsafe(self._take(routes), self._loop).result()

    def listen_at_gateway(self, gateway: str, port: int) -> None:
        """Have containers on Docker's bridge reach a port of loopback, in the same thread."""
        made = listen_at_gateway(gateway, port)
        self._gateway = asyncio.run_coroutine_threadsafe(made, self._loop).result()

    def close(self) -> None:
        """Stop listening, checking and serving."""
        asyncio.run_coroutine_threadsafe(self._take(Routes(), last=True), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _take(self, routes: Routes, *, last: bool = False) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=LONGEST_HEADER_OF_ANSWER,
                max_field_size=LONGEST_HEADER_OF_ANSWER,
            )
        self._routes = routes
        wanted = {(each.name, each.port): each for each in routes.listeners}
        for gone in self._open.keys() - wanted.keys():
            server, _ = self._open.pop(gone)
            server.close()
        for place, listener in wanted.items():
            if place not in self._open:
                self._open[place] = await self._listening(place, listener)
        now = self._now()
        kept = {target.key: target for target in routes.targets if target.state is not TargetState.DRAINING}
        for key in self._checks.keys() - kept.keys():
            self._checks.pop(key).cancel()
            self._standings.pop(key, None)
        for key, target in kept.items():
            standing = self._standings.setdefault(key, Standing())
            if target.state is not TargetState.HEALTHY:
                standing.healthy_since = None
            elif standing.healthy_since is None:
                standing.healthy_since = now
            if key not in self._checks and target.group_arn in routes.groups:
                self._checks[key] = asyncio.create_task(self._check(target, routes.groups[target.group_arn]))
        if last:
            if self._gateway is not None:
                self._gateway.close()
            await asyncio.gather(*self._checks.values(), return_exceptions=True)
            await asyncio.gather(*(server.shutdown(timeout=0) for server in self._servers))
            await self._session.close()

    def _now(self) -> float:
        """Give seconds that pass as fast as the model's."""
        return time.monotonic() * self._speed

    async def _check(self, target: Target, group: CheckedGroup) -> None:
        def settle(state: TargetState, why: Why) -> None:
            self._verdict(target, state, why)

        def group_now() -> CheckedGroup:
            return self._routes.groups.get(target.group_arn, group)

        await check(self._session, group_now, target.host_port, settle, speed=self._speed)

    async def _listening(self, key: tuple[str, int], listener: Listener) -> tuple[Any, int]:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(request, key)

        server = web.Server(
            handle,
            access_log=None,
            logger=_log(),
            keepalive_timeout=listener.idle_seconds,
            auto_decompress=False,
            max_line_size=LONGEST_REQUEST_LINE,
            max_field_size=LONGEST_HEADER,
        )
        self._servers.append(server)
        listening = await self._loop.create_server(server, HOST, 0)
        return listening, int(listening.sockets[0].getsockname()[1])

    async def _answer(self, request: web.BaseRequest, key: tuple[str, int]) -> web.StreamResponse:
        listener = next((each for each in self._routes.listeners if (each.name, each.port) == key), None)
        if listener is None:
            return _error(503)
        if not _asked_for(request):
            return _error(400)
        path, host = request.rel_url.raw_path, request.headers.get("Host", "").partition(":")[0]
        rule = next((each for each in listener.rules if each.takes(path, host)), Rule())
        if not rule.forward:
            status, kind, text = rule.answer
            return web.Response(status=status, text=text, content_type=kind)
        target = choose(rule, self._routes.targets, self._routes.groups, self._standings, self._now())
        if target is None:
            return _error(503)
        standing = self._standings[target.key]
        standing.in_flight += 1
        try:
            return await self._forwarded(request, listener, target)
        finally:
            standing.in_flight -= 1

    async def _forwarded(
        self, request: web.BaseRequest, listener: Listener, target: Target
    ) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        response: web.StreamResponse | None = None
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=listener.idle_seconds
        )
        group = self._routes.groups.get(target.group_arn)
        scheme = "https" if group and group.protocol == "HTTPS" else "http"
        try:
            async with self._session.request(
                request.method,
                URL(f"{scheme}://{HOST}:{target.host_port}{_asked_for(request)}", encoded=True),
                headers=_forwarded_headers(request, listener),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
                timeout=timeout,
                ssl=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except TimeoutError:
            status = 504
        except (aiohttp.ClientError, OSError):
            status = 502
        if response is not None and response.prepared:
            # The answer has begun: all that is left is to break it off.
            if request.transport is not None:
                request.transport.abort()
            return response
        return _error(status)


def _asked_for(request: web.BaseRequest) -> str:
    """Give path and query of a request, also of a whole URL; "" for `*` and CONNECT, which no target takes.

    Source: RFC 9112, "Request Target".
    """
    raw = str(request.raw_path)
    if raw.startswith("/"):
        return raw
    return str(request.rel_url.raw_path_qs) if "://" in raw and request.method != "CONNECT" else ""


def _log() -> logging.Logger:
    """Give a log of what goes wrong here; a request that cannot be read is the client's, and answered 400."""
    log = logging.getLogger(__name__)
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _forwarded_headers(request: web.BaseRequest, listener: Listener) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP
    )
    before = request.headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{before}, {request.remote}" if before else str(request.remote)
    headers["X-Forwarded-Proto"] = listener.protocol
    headers["X-Forwarded-Port"] = request.headers.get("Host", "").partition(":")[2] or str(listener.port)
    headers.setdefault("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}")
    return headers


def _error(status: int) -> web.Response:
    """Answer as the load balancer itself does."""
    title = f"{status} {ERRORS[status]}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return web.Response(
        status=status,
        text=f"{page}</body>\r\n</html>\r\n",
        content_type="text/html",
        headers={"Server": "awselb/2.0"},
    )
