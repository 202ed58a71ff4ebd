"""Run the service for real: in a thread for most tests, as a process where signals and exit codes matter."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from rag_service.api import create_app
from rag_service.ingest.documents import DocumentSource
from rag_service.ingest.engine import Plan
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.pipeline import Summary, ingest
from rag_service.models import load_embedder
from rag_service.runtime import Runtime
from rag_service.serving import DrainingServer, PromptProtocol, metrics_served
from rag_service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ROOT / "documents"
PASSAGES = 40
"""What the sample documents are cut into."""


def ingest_folder(folder: Path | str, index_uri: str, *, model: str = "tiny", **plan: Any) -> Summary:
    source = DocumentSource(str(folder))
    embedder = load_embedder(model, "cpu")
    writer = IndexWriter(index_uri, model=embedder.name, dimension=embedder.dimension)
    return ingest(
        source, writer, embedder, plan=Plan(**plan), on_progress=lambda *_: None, documents=source.list()
    )


@dataclass(kw_only=True)
class Running:
    url: str
    runtime: Runtime
    server: DrainingServer
    client: httpx.Client
    metrics_url: str

    def metrics(self) -> str:
        return httpx.get(self.metrics_url).raise_for_status().text

    def on_loop(self, action: Callable[[], None]) -> None:
        assert self.server._loop is not None
        self.server._loop.call_soon_threadsafe(action)


@contextmanager
def running(settings: Settings, *, ready: bool = True, **app_options: Any) -> Iterator[Running]:
    app = create_app(settings, **app_options)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=PromptProtocol,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
    server = DrainingServer(config, app.state.runtime)
    failure: list[BaseException] = []

    def serve() -> None:
        try:
            asyncio.run(server.serve())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    try:
        wait_until(lambda: server.started or failure)
        assert not failure, failure
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=30) as client, metrics_served(app.state.runtime) as metrics:
            if ready:
                wait_until(lambda: client.get("/health").status_code == 200)
            yield Running(
                url=url,
                runtime=app.state.runtime,
                server=server,
                client=client,
                metrics_url=f"http://127.0.0.1:{metrics}/metrics",
            )
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"


def free_port() -> int:
    """Find a port of loopback that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], Any], *, seconds: float = 40, every: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every)


@dataclass(kw_only=True)
class ServiceProcess:
    """The service exactly as the image starts it."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, **environment: str) -> ServiceProcess:
        process = subprocess.Popen(
            [sys.executable, "-m", "rag_service"],
            env=process_environment(**environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started = cls(process=process)
        threading.Thread(target=started._read, daemon=True).start()
        return started

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log.extend(lines)

    @property
    def url(self) -> str:
        found: list[str] = []

        def listening() -> bool:
            assert self.process.poll() is None, self.log
            found[:] = re.findall(r"running on (http://[\d.:]+)", "".join(self.log))
            return bool(found)

        wait_until(listening)
        return found[0]

    def wait_ready(self, *, seconds: float = 40) -> str:
        url = self.url
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 200, seconds=seconds, every=0.1)
        return url

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.process.wait()


def process_environment(**environment: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "src"),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "METRICS_PORT": "0",
        "AUTH": "off",
        "ALLOW_CPU": "1",
        "TORCH_THREADS": "1",
        "EMBEDDING_MODEL": "tiny",
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
