"""Start the service for a benchmark and talk to it with as little client as possible."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from running import ServiceProcess


@contextmanager
def service(**environment: str) -> Iterator[tuple[str, ServiceProcess]]:
    task = ServiceProcess.start(**{"DRAIN_SECONDS": "0", **environment})
    try:
        yield task.wait_ready(seconds=120), task
    finally:
        task.terminate()
        task.end()


def batches(task: ServiceProcess) -> tuple[float, float]:
    """Read from /metrics how many texts were searched for so far, and in how many batches."""
    port = re.findall(r"metrics on port (\d+)", "".join(task.log))[0]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = [re.search(rf'rag_batch_size_{what}{{queue="search"}} (\S+)', text) for what in ("sum", "count")]
    texts, number = (float(match[1]) if match else 0.0 for match in found)
    return texts, number


class Connection:
    """One kept HTTP/1.1 connection; httpx would cost more than the server."""

    def __init__(self, url: str) -> None:
        parsed = httpx.URL(url)
        self._address = (parsed.host, parsed.port)

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def request(self, method: str, path: str, body: object = None) -> int:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        header = await self._reader.readuntil(b"\r\n\r\n")
        length = int(header.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(header[9:12])


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def timed(connection: Connection, *request: object) -> float:
    began = time.perf_counter()
    status = await connection.request(*request)  # type: ignore[arg-type]
    assert status == 200, status
    return time.perf_counter() - began


def verdict(name: str, value: float, limit: float, *, at_least: bool = False, unit: str = "x") -> bool:
    good = value >= limit if at_least else value <= limit
    sign = ">=" if at_least else "<="
    print(f"{'ok  ' if good else 'MISS'} {name}: {value:.2f} {unit} ({sign} {limit:g})", flush=True)
    return good
