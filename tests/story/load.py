"""A constant load over HTTP, and what came of each request."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from story.report import Requests

TIMEOUT = 20.0
AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request: when it was due (monotonic), how long its answer took, and what was wrong with it."""

    due: float
    seconds: float
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Load:
    """POST the same body to *url*, `per_second` times a second, whatever the answers take."""

    url: str
    body: dict[str, object]
    wanted: str
    """A member that a right answer has."""
    per_second: float = 4.0
    samples: list[Sample] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[Load]:
        """Ask until the block ends."""
        thread = threading.Thread(target=self._ask_on, name="load")
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def between(self, since: float, until: float) -> Requests | None:
        """Sum up what was due between two monotonic times; None where nothing was."""
        return summed([sample for sample in list(self.samples) if since <= sample.due < until])

    def _ask_on(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            due = time.monotonic()
            while not self._over.wait(max(0.0, due - time.monotonic())):
                pool.submit(self._ask, due)
                due += 1 / self.per_second

    def _ask(self, due: float) -> None:
        problem = ""
        try:
            problem = _problem(self.url, self.body, self.wanted)
        except (OSError, ValueError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
        self.samples.append(Sample(due=due, seconds=time.monotonic() - due, problem=problem))


def _problem(url: str, body: dict[str, object], wanted: str) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        return f"{answer.status} {text[:200].decode(errors='replace')}"
    return "" if json.loads(text).get(wanted) else f"an answer without {wanted}"


def summed(samples: Sequence[Sample]) -> Requests | None:
    """Count requests and failures; 50th and 95th percentile of all, in seconds."""
    if not samples:
        return None
    seconds = sorted(sample.seconds for sample in samples)
    problems = [sample.problem for sample in samples if sample.problem]
    return Requests(
        sent=len(samples),
        failed=len(problems),
        p50=seconds[len(seconds) // 2],
        p95=seconds[min(len(seconds) - 1, len(seconds) * 95 // 100)],
        problems=tuple(dict.fromkeys(problems)),
    )
