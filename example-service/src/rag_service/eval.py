"""Ask the golden questions: python -m rag_service.eval [GOLDEN] [--url URL].

Without a URL it ingests the sample documents into an index of its own and starts a service for them. With one
it asks that service over HTTP, with nothing but Python's own library: a key comes from RAG_KEY. A golden
question has the document and words of the passage that answers it, or neither where nothing does.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

K = 5
GOOD, BELOW, UNUSABLE = 0, 1, 2
MOST_RETRIES = 5
READY_SECONDS = 300


class Unusable(Exception):
    """Say why nothing could be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Hold a question and what answers it: words of a passage of a document; neither: nothing does."""

    question: str
    document: str = ""
    says: str = ""

    @property
    def answerable(self) -> bool:
        """Tell whether the documents hold the answer."""
        return bool(self.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Hold what became of a question; `rank` of the passage that answers it, 0 where it is not found."""

    golden: Golden
    rank: int
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Hold shares from 0 to 1: `refused` of the questions without an answer, the others of those with one."""

    recall: float
    mrr: float
    refused: float
    wrongly_refused: float


def scores_of(outcomes: Sequence[Outcome]) -> Scores:
    """Count; a kind of question that is not there scores as if all were well."""
    known = [outcome for outcome in outcomes if outcome.golden.answerable]
    unknown = [outcome for outcome in outcomes if not outcome.golden.answerable]
    return Scores(
        recall=_share([float(outcome.rank > 0) for outcome in known], 1.0),
        mrr=_share([1 / outcome.rank if outcome.rank else 0.0 for outcome in known], 1.0),
        refused=_share([float(outcome.refused) for outcome in unknown], 1.0),
        wrongly_refused=_share([float(outcome.refused) for outcome in known], 0.0),
    )


def _share(values: Sequence[float], of_none: float) -> float:
    return sum(values) / len(values) if values else of_none


def rank_of(golden: Golden, passages: Sequence[dict[str, Any]]) -> int:
    """Find the passage that answers, counted from 1; 0 where it is not among them."""
    for number, passage in enumerate(passages, start=1):
        text = " ".join(str(passage["text"]).split())
        if passage["document"] == golden.document and golden.says in text:
            return number
    return 0


def read_golden(path: str, *, only: int | None) -> list[Golden]:
    """Read the questions, or the one of that number. Raises Unusable."""
    try:
        golden = [Golden(**row) for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise Unusable(f"{path} is no list of golden questions: {error}") from None
    if only is not None and not 1 <= only <= len(golden):
        raise Unusable(f"--only: there are {len(golden)} questions.")
    return golden if only is None else [golden[only - 1]]


class _NoRedirect(HTTPRedirectHandler):
    """Follow nothing: the key would go along."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Service:
    """Ask one service over HTTP."""

    def __init__(self, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise Unusable("--url: begins with https:// or http://.")
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {key}"} if key else {}
        )
        self._opener = build_opener(_NoRedirect)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request and read the JSON of its answer; waits where it is told to. Raises Unusable."""
        data = None if body is None else json.dumps(body).encode()
        for _ in range(MOST_RETRIES):
            request = Request(f"{self._url}{path}", data, self._headers)  # noqa: S310 - checked above
            try:
                with self._opener.open(request, timeout=60) as answer:
                    return json.load(answer)
            except HTTPError as error:
                wait = error.headers.get("retry-after", "")
                if error.code not in (429, 503) or not wait.isdigit():
                    raise Unusable(f"{path} was answered with {error.code}{_advice(error.code)}.") from None
                time.sleep(min(int(wait), 60))
            except (URLError, HTTPException, OSError, ValueError) as error:
                raise Unusable(f"{path} was not answered: {type(error).__name__}.") from None
        raise Unusable(f"{path} was put off {MOST_RETRIES} times.")

    def outcome(self, golden: Golden) -> Outcome:
        """Ask one golden question."""
        found = self.ask("/search", {"query": golden.question, "k": K})
        answer = self.ask("/ask", {"question": golden.question, "k": K})
        return Outcome(
            golden=golden, rank=rank_of(golden, found["passages"]), refused=bool(answer["refused"])
        )


def _advice(status: int) -> str:
    return {401: ": give the key in RAG_KEY", 403: ": the key may not ask", 409: ": nothing is ingested"}.get(
        status, ""
    )


@contextmanager
def started(documents: str) -> Iterator[str]:
    """Ingest a folder into an index of its own and serve it; give the service's URL."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        own = {"INDEX_URI": f"{folder}/index", "AUTH": "off", "HOST": "127.0.0.1", "PORT": str(port)}
        quiet = {"METRICS_PORT": "0", "ACCESS_LOG": "0", "DRAIN_SECONDS": "0"}
        environment = {"ALLOW_CPU": "1", **os.environ, **own, **quiet}
        _run(["rag_service.ingest", documents], environment)
        free.close()
        command = [sys.executable, "-m", "rag_service"]
        log = Path(folder, "log")
        with log.open("w") as lines, subprocess.Popen(command, env=environment, stderr=lines) as service:  # noqa: S603
            try:
                _wait_ready(f"http://127.0.0.1:{port}", service.poll, log)
                yield f"http://127.0.0.1:{port}"
            finally:
                service.terminate()


def _run(module: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Unusable(f"the ingest ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")


def _wait_ready(url: str, ended: Callable[[], int | None], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if ended() is not None:
            break
        try:
            Service(url, "").ask("/health")
        except Unusable:
            time.sleep(0.2)
        else:
            return
    raise Unusable(f"the service did not become ready: {log.read_text().strip().splitlines()[-1:]}")


def evaluate(service: Service, golden: Sequence[Golden], limits: Scores) -> int:
    """Ask all, print the scores and what was missed; 0 when every score keeps its limit, else 1."""
    outcomes = [service.outcome(one) for one in golden]
    scores = scores_of(outcomes)
    known = sum(one.answerable for one in golden)
    rows = (
        (f"recall@{K}", scores.recall, ">=", limits.recall, f"of {known} with an answer"),
        ("MRR", scores.mrr, ">=", limits.mrr, ""),
        ("refused", scores.refused, ">=", limits.refused, f"of {len(golden) - known} without one"),
        (
            "wrongly refused",
            scores.wrongly_refused,
            "<=",
            limits.wrongly_refused,
            f"of {known} with an answer",
        ),
    )
    kept = [value >= limit if sign == ">=" else value <= limit for _, value, sign, limit, _ in rows]
    for (name, value, sign, limit, of), good in zip(rows, kept, strict=True):
        print(f"{'ok  ' if good else 'MISS'} {name}: {value:.2f} ({sign} {limit:g}) {of}".rstrip())
    for outcome in outcomes:
        if outcome.golden.answerable and (not outcome.rank or outcome.refused):
            print(f"     {'refused' if outcome.refused else 'not found'}: {outcome.golden.question}")
        elif not outcome.golden.answerable and not outcome.refused:
            print(f"     answered: {outcome.golden.question}")
    return GOOD if all(kept) else BELOW


def arguments_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rag_service.eval",
        description="Ask a service the golden questions and score its answers.",
    )
    parser.add_argument(
        "golden", nargs="?", default="golden.json", help="the questions (default golden.json)"
    )
    parser.add_argument("--url", help="the service to ask; its key in RAG_KEY. Default: one of its own")
    parser.add_argument(
        "--documents", default="documents", help="what one of its own ingests (default documents)"
    )
    parser.add_argument("--only", type=int, metavar="N", help="ask the Nth question alone, as a smoke test")
    for name, default, text in (
        ("recall", 0.9, f"least share found among the first {K}"),
        ("mrr", 0.8, "least mean of 1 / rank"),
        ("refused", 0.7, "least share refused of those without an answer"),
        ("wrongly-refused", 0.04, "greatest share refused of those with one"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{text} (default {default})"
        )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Evaluate; 0 when all limits are kept, 1 when one is not, 2 when nothing could be measured."""
    options = arguments_parser().parse_args(arguments)
    limits = Scores(
        recall=options.recall,
        mrr=options.mrr,
        refused=options.refused,
        wrongly_refused=options.wrongly_refused,
    )
    try:
        golden = read_golden(options.golden, only=options.only)
        if options.url:
            return evaluate(Service(options.url, os.environ.get("RAG_KEY", "")), golden, limits)
        with started(options.documents) as url:
            return evaluate(Service(url, ""), golden, limits)
    except Unusable as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
