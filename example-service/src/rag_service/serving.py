"""Run uvicorn so that a task can go away without a failed request."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import uvicorn
from prometheus_client import start_http_server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rag_service.runtime import Runtime
from rag_service.settings import Settings

log = logging.getLogger("rag_service")


class PromptProtocol(HttpToolsProtocol):
    """End a connection on which the head of a request does not come to its end; uvicorn waits for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """Wait for the rest of its head."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Leave the body to the limit on requests."""
        self._wait_no_more()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing on a connection that is gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._wait_no_more()
        self._late = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()


class DrainingServer(uvicorn.Server):
    """Drain on SIGTERM: /health 503 at once, still accept for a while, finish what is in flight, exit 0.

    uvicorn alone closes the port in the moment of the signal, before any proxy has seen /health turn, and
    raises the signal again at its end, which ECS shows as exit code 143.
    """

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: object = None) -> None:
        """Start as uvicorn does and remember the loop that signals are handed to."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]
        self._watch = asyncio.create_task(self._exit_when_loading_failed())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; a second signal from a keyboard skips the wait."""
        if self._loop is None or (self._draining is not None and sig == signal.SIGINT):
            self.should_exit = True
            return
        self._loop.call_soon_threadsafe(self._begin_to_drain, signal.Signals(sig).name)

    def _begin_to_drain(self, name: str) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(name))

    async def _drain(self, name: str) -> None:
        seconds = self._runtime.settings.drain_seconds
        log.info("%s: not ready from now on, the port closes in %g s", name, seconds)
        self._runtime.drain()
        if self._runtime.retrievable:
            await asyncio.sleep(seconds)
        self.should_exit = True

    async def _exit_when_loading_failed(self) -> None:
        """End the process when the models cannot be loaded: ECS then shows the exit and the log line, minutes
        before any health check gives up."""
        await self._runtime.load_failed.wait()
        self.should_exit = True


def server_config(settings: Settings, app: object) -> uvicorn.Config:
    """Give uvicorn's settings: where it listens, and how long it waits for whom."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.host,
        port=settings.port,
        http=PromptProtocol,
        workers=1,
        access_log=False,
        log_level="info",
        # Longer than the load balancer's idle timeout, so that it is never we who close a connection that it
        # is about to use (AWS, "Troubleshoot your Application Load Balancers", HTTP 502). The idle timeout in
        # turn is longer than a request may take: 60 s beside our 55, 10 s more in example-infra.
        timeout_keep_alive=int(settings.request_timeout_seconds) + 20,
        timeout_graceful_shutdown=max(1, int(settings.stop_timeout_seconds - settings.drain_seconds)),
    )


@contextmanager
def metrics_served(runtime: Runtime) -> Iterator[int]:
    """Serve the metrics on a port of their own, on a thread of their own; give the port."""
    settings = runtime.settings
    server, thread = start_http_server(
        settings.metrics_port, addr=settings.host, registry=runtime.metrics.registry
    )
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_about_the_host(error: OSError) -> bool:
    """Tell a host that has no address, or one of another machine, from a port that is taken."""
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


def serve(runtime: Runtime, app: object) -> int:
    """Serve until told to end; return the exit code of the process."""
    server = DrainingServer(server_config(runtime.settings, app), runtime)
    with ExitStack() as stack:
        try:
            port = stack.enter_context(metrics_served(runtime))
        except OSError as error:
            host, wanted = runtime.settings.host, runtime.settings.metrics_port
            setting = f"HOST: {host}" if _is_about_the_host(error) else f"METRICS_PORT: {wanted}"
            log.error("%s cannot be had: %s", setting, error.strerror)  # noqa: TRY400 - one sentence
            return 2
        log.info("metrics on port %d", port)
        server.run()
    return 1 if runtime.load_failed.is_set() or not server.started else 0
