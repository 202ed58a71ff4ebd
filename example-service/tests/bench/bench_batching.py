"""Micro-batched search against one by one, /health beside it, and both beside other embedding servers.

The load generator is this process alone, the servers are processes of their own; whoever is not measured
stands still (SIGSTOP). Ours answers a whole search, the others the vector only, from the same weights.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench_process import Connection, batches, percentile, service, timed, verdict
from neighbours import INFINITY, LITSERVE, neighbour

from running import DOCUMENTS, ServiceProcess, ingest_folder

SECONDS, ROUNDS = 3, 3
MANY, SOME = 64, 16
TOPICS = ("breaker", "rollback", "health", "grace", "period", "driver", "wheels")
TOPICS += ("layer", "SIGTERM", "drain", "target", "stop", "task", "memory")


def question(number: int) -> str:
    return f"How does the {TOPICS[number % 14]} of number {number} change the {TOPICS[number // 14 % 14]}?"


def mixed(number: int) -> str:
    """Every eighth text is a paragraph of about 150 tokens, pasted into the field for the question."""
    return question(number) if number % 8 else " ".join(question(number + more) for more in range(9))


@dataclass(frozen=True, kw_only=True)
class Point:
    pace: float
    p95: float
    health: float = 0.0
    per_batch: float = 0.0
    client: float = 0.0
    cpu: float = 0.0


@dataclass(kw_only=True)
class Server:
    name: str
    url: str
    path: str
    body: Callable[[str], object]
    group: int
    task: ServiceProcess | None = None
    points: dict[str, list[Point]] = field(default_factory=dict)

    def signal(self, number: int) -> None:
        (os.kill if self.task else os.killpg)(self.group, number)

    def batches(self) -> tuple[float, float]:
        """Read texts and batches so far; the others do not tell."""
        return batches(self.task) if self.task else (0.0, 0.0)

    def computed(self) -> float:
        """Read the CPU seconds of all its processes, which other work on the machine changes little."""
        seconds = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if (stat.parent.name if self.task else fields[2]) == str(self.group):
                    seconds += int(fields[11]) + int(fields[12])
        return seconds / os.sysconf("SC_CLK_TCK")


async def load(server: Server, clients: int, text: Callable[[int], str]) -> Point:
    latencies: list[float] = []
    health: list[float] = []
    end = time.perf_counter() + SECONDS

    async def client(number: int) -> None:
        async with Connection(server.url) as connection:
            while time.perf_counter() < end:
                number += clients
                latencies.append(await timed(connection, "POST", server.path, server.body(text(number))))

    async def prober() -> None:
        async with Connection(server.url) as connection:
            while time.perf_counter() < end:
                health.append(await timed(connection, "GET", "/health"))
                await asyncio.sleep(0.02)

    before, computed = server.batches(), server.computed()
    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(number) for number in range(clients)), *([prober()] if server.task else []))
    seconds, used = time.perf_counter() - began, time.process_time() - used
    texts, batches = (now - then for now, then in zip(server.batches(), before, strict=True))
    return Point(
        pace=len(latencies) / seconds,
        p95=percentile(latencies, 0.95),
        health=percentile(health, 0.99) if health else 0.0,
        per_batch=texts / batches if batches else 0.0,
        client=used / seconds,
        cpu=(server.computed() - computed) / len(latencies),
    )


def measure(
    servers: list[Server], server: Server, what: str, clients: int, text: Callable[[int], str]
) -> None:
    for other in servers:
        other.signal(signal.SIGCONT if other is server else signal.SIGSTOP)
    server.points.setdefault(what, []).append(asyncio.run(load(server, clients, text)))


def summary(server: Server, what: str) -> Point:
    """Take the median over the rounds, without the first, which warms up."""
    seen = server.points[what][1:]
    return Point(**{name: median(getattr(point, name) for point in seen) for name in vars(seen[0])})


def at_equal_p95(ours: Server, other: Server, texts: str) -> float:
    """Compare our most throughput within the other's p95 with its throughput: the worst of its two points."""
    mine = [summary(ours, f"{texts} {clients}") for clients in (SOME, MANY)]
    ratios = []
    for clients in (SOME, MANY):
        theirs = summary(other, f"{texts} {clients}")
        ratios.append(max((point.pace for point in mine if point.p95 <= theirs.p95), default=0) / theirs.pace)
    return min(ratios)


def search(text: str) -> object:
    return {"query": text, "k": 5}


def main() -> int:
    """Measure all in turns, so that whatever else the machine does meets all of them."""
    texts: dict[str, Callable[[int], str]] = {"questions": question, "mixed": mixed}
    with ExitStack() as stack:
        index = stack.enter_context(tempfile.TemporaryDirectory())
        ingest_folder(DOCUMENTS, index, model="minilm")
        same = {"INDEX_URI": index, "EMBEDDING_MODEL": "minilm", "TORCH_THREADS": "0"}
        servers = []
        for name, settings in (("one by one", {"MAX_BATCH": "1", "MAX_WAIT_MS": "0"}), ("micro-batched", {})):
            url, task = stack.enter_context(service(**same, **settings))
            servers.append(
                Server(name=name, url=url, path="/search", body=search, group=task.process.pid, task=task)
            )
            stack.callback(servers[-1].signal, signal.SIGCONT)
        for kind in (INFINITY, LITSERVE):
            url, group = stack.enter_context(neighbour(kind))
            servers.append(Server(name=kind.name, url=url, path=kind.path, body=kind.body, group=group))
        alone, ours, *others = servers
        for _ in range(ROUNDS + 1):
            measure(servers, alone, f"questions {MANY}", MANY, question)
            for name, text in texts.items():
                for clients in (SOME, MANY):
                    for server in (ours, *others):
                        measure(servers, server, f"{name} {clients}", clients, text)
    for server in servers:
        for what in server.points:
            point = summary(server, what)
            more = (
                f", {point.per_batch:.1f} texts a batch, /health p99 {point.health * 1000:.1f} ms"
                if server.task
                else ""
            )
            print(
                f"     {server.name}, {what} clients: {point.pace:.0f}/s, p95 {point.p95 * 1000:.0f} ms"
                f", {point.cpu * 1000:.1f} ms of CPU each{more}, load generator {point.client:.0%} of a core"
            )
    what = f"questions {MANY}"
    pairs = list(zip(ours.points[what][1:], alone.points[what][1:], strict=True))
    results = [
        verdict(
            "throughput, micro-batched over one by one",
            median(mine.pace / theirs.pace for mine, theirs in pairs),
            4,
            at_least=True,
        ),
        verdict(
            "p95, micro-batched over one by one", median(mine.p95 / theirs.p95 for mine, theirs in pairs), 1
        ),
        verdict("/health p99 while the model computes", summary(ours, what).health * 1000, 20, unit="ms"),
        *(
            verdict(
                f"{name}: throughput at equal p95 over {other.name}",
                at_equal_p95(ours, other, name),
                1,
                at_least=True,
            )
            for name in texts
            for other in others
        ),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
