"""A proxy that does what a load balancer does: asks /health, spreads requests, and never repeats one."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from running import wait_until


class HealthProxy:
    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._targets: dict[str, bool] = {}
        self._turn = itertools.count()

    def register(self, url: str) -> None:
        self._targets[url] = False

    def deregister(self, url: str) -> None:
        del self._targets[url]

    @property
    def healthy(self) -> list[str]:
        return [url for url, healthy in self._targets.items() if healthy]

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=20) as client:
            app.state.client = client
            checking = asyncio.create_task(self._check(client))
            yield
            checking.cancel()

    async def _check(self, client: httpx.AsyncClient) -> None:
        while True:
            for url in list(self._targets):
                try:
                    healthy = (await client.get(f"{url}/health")).status_code == 200
                except httpx.HTTPError:
                    healthy = False
                if url in self._targets:
                    self._targets[url] = healthy
            await asyncio.sleep(self._interval)

    async def forward(self, request: Request) -> Response:
        targets = self.healthy
        if not targets:
            return Response("no healthy target", 503)
        url = targets[next(self._turn) % len(targets)]
        client: httpx.AsyncClient = request.app.state.client
        try:
            answer = await client.post(
                f"{url}{request.url.path}",
                content=await request.body(),
                headers={"content-type": "application/json"},
            )
        except httpx.HTTPError as error:
            return Response(f"{type(error).__name__} from {url}", 502)
        return Response(answer.content, answer.status_code)


@contextmanager
def health_proxy(*, interval: float) -> Iterator[tuple[str, HealthProxy]]:
    proxy = HealthProxy(interval=interval)
    app = FastAPI(lifespan=proxy.lifespan)
    app.add_api_route("/{path:path}", proxy.forward, methods=["POST"])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", proxy
    finally:
        server.should_exit = True
        thread.join()
