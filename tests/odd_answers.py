"""Answers as AWS never means them, made of what it answers and of botocore's models, and runs that get them.

The program runs in this process, against the scripted AWS over HTTP: that answers in a millisecond, knows
what is true at each second, and what it was asked to change. An answer is odd once; a later one is well.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import tempfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
from scripted_aws import CHANGING, Asked, serve
from scripted_names import merged
from scripted_run import arguments, settings_of
from scripted_state import State
from scripted_worlds import DEFAULTS

from program_here import run_here

PAIR = [{"id": "n1", "at": 4}, {"id": "n2", "at": 4}]
WORLDS: Mapping[str, Mapping[str, Any]] = {
    "well": {"old": [70, 70], "tasks": PAIR, "phases": [[0, "rolling"], [90, "done"]]},
    "rolled back": {
        "tasks": [{"each": [4, 5, 55], "id": "c", "exit": 1, "lives": 10}],
        "phases": [[0, "rolling"], [60, "rolling_back"], [120, "rolled_back"]],
    },
    "rollback": {
        "run": "rollback",
        "revisions": {1: {"tag": "v1"}, 2: {"tag": "v2"}, 3: {"tag": "v3"}},
        "history": [{"rev": 1, "at": -600000}, {"rev": 2, "at": -300000}, {"rev": 3, "at": -90000}],
        "old": [70, 70],
        "tasks": PAIR,
        "phases": [[0, "rolling"], [90, "done"]],
    },
    "batch": {
        "run": "run-task",
        "revisions": {"job:1": {"tag": "v1"}},
        "service": {"desired": 0},
        "old": [],
        "containers": [{"name": "ingest", "gpus": 1}],
        "run_task": [{"tasks": ["b1"]}],
        "tasks": [{"id": "b1", "exit": 1, "lives": 40}],
        "logs": {"b1": [[["start", 30], "ValueError: no documents"]]},
    },
}
"""What is true: two tasks get well, tasks crash and AWS rolls back, a rollback, a batch that fails."""
TRUE: Mapping[str, Sequence[int]] = {"well": [0], "rolled back": [5], "rollback": [0], "batch": [7, 4]}
SENT_ONCE = frozenset({"UpdateService", "RegisterTaskDefinition"})
"""What is looked up after an odd answer, and not sent again; RunTask has a token and is."""
JUDGED_BY = frozenset({"DescribeServiceDeployments", "DescribeServices", "DescribeTasks"})
MOST_IN_A_ROW = 3
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """An odd answer: to which operation, how it is made, and what AWS's answer becomes."""

    service: str
    operation: str
    how: str

    @property
    def name(self) -> str:
        """Return the operation and what is odd."""
        return f"{self.operation} {self.how}"

    def made_of(self, answer: bytes) -> bytes:
        """Return the odd answer."""
        kind, _, path = self.how.partition(" ")
        if kind in _WHOLE:
            return _WHOLE[kind](answer)
        body = json.loads(answer)
        _laid(body, path.split("."), _VALUES[kind])
        return json.dumps(body).encode()


def _invalid(answer: bytes) -> bytes:
    cut = answer.find(b'"', 2) + 1
    return answer[:cut] + b"\xff\xfe" + answer[cut:]


_WHOLE: Mapping[str, Any] = {
    "null": lambda _: b"null",
    "list": lambda _: b"[]",
    "number": lambda _: b"3",
    "text": lambda _: b'"ok"',
    "empty": lambda _: b"{}",
    "nothing": lambda _: b"",
    "html": lambda _: HTML,
    "half": lambda answer: answer[: len(answer) // 2],
    "cut": lambda answer: answer[:-1],
    "begun": lambda answer: answer[:1],
    "twice": lambda answer: answer + answer,
    "not-utf-8": _invalid,
    "deep": lambda _: b'{"a":' + b"[" * 5000,
    "other": lambda _: b'{"Version": 1, "message": "ok"}',
}
_VALUES: Mapping[str, Any] = {
    "drop": ...,
    "nulled": None,
    "as-text": "seven",
    "as-number": 7,
    "as-list": [7],
    "as-mapping": {"a": 7},
    "as-boolean": True,
    "as-empty": {},
}
_OTHERS: Mapping[str, Sequence[str]] = {
    "string": ("as-number", "as-list", "as-mapping"),
    "integer": ("as-text", "as-list"),
    "long": ("as-text", "as-list"),
    "float": ("as-text",),
    "double": ("as-text", "as-list"),
    "boolean": ("as-text", "as-list"),
    "timestamp": ("as-text", "as-list"),
    "structure": ("as-text", "as-list", "as-number", "as-empty"),
    "list": ("as-text", "as-mapping", "as-number"),
    "map": ("as-text", "as-list"),
}


def _laid(body: Any, path: Sequence[str], value: Any) -> None:
    """Put *value* where *path* leads in the answer, or drop what is there."""
    for step in path[:-1]:
        body = body[int(step) if isinstance(body, list) else step]
    last: Any = int(path[-1]) if isinstance(body, list) else path[-1]
    if value is ...:
        del body[last]
    else:
        body[last] = value


def odd_forms(service: str, operation: str, answer: bytes, *, is_json: bool) -> Iterator[Odd]:
    """Yield the odd forms of an answer: the whole odd, and each member missing, null or of another type."""
    for kind in _WHOLE:
        yield Odd(service=service, operation=operation, how=kind)
    every = 4 if operation in SENT_ONCE else 1  # each of these takes a run of its own
    if is_json:
        model = botocore.session.get_session().get_service_model(service).operation_model(operation)
        for number, (path, kind) in enumerate(_members(model.output_shape, json.loads(answer), ())):
            forms = ("nulled", *_OTHERS[kind])
            for form in ("drop", forms[number % len(forms)])[: 1 if number % every else 2]:
                yield Odd(service=service, operation=operation, how=f"{form} {'.'.join(path)}")


def _members(shape: Any, value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if path:
        yield path, shape.type_name
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                yield from _members(shape.members[name], item, (*path, name))
    elif shape.type_name == "list" and value:
        yield from _members(shape.member, value[0], (*path, "0"))


@dataclass(slots=True, kw_only=True)
class Ended:
    """How a run ended, what it was answered oddly, and what it changed."""

    code: int
    shown: str
    reason: str
    given: list[Odd] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Mangler:
    """Give the odd answers, each once, of an operation at most three in a row; or always: it insists."""

    odds: list[Odd]
    insists: bool = False
    given: list[Odd] = field(default_factory=list)
    in_a_row: dict[str, int] = field(default_factory=dict)

    def __call__(self, asked: Asked, answer: bytes) -> bytes:
        name = asked.operation
        if self.insists:
            odd = next((o for o in self.odds if o.operation == name), None)
        else:
            odd = next((o for o in self.odds if o.operation == name and o not in self.given), None)
            odd = None if self.in_a_row.get(name, 0) >= MOST_IN_A_ROW else odd
        try:
            made = odd.made_of(answer) if odd else None
        except (KeyError, IndexError, TypeError):  # this answer has no such member: a later one may
            made = None
        if odd is None or made is None:
            self.in_a_row[name] = 0
            return answer
        self.in_a_row[name] = self.in_a_row.get(name, 0) + 1
        if odd not in self.given:
            self.given.append(odd)
        return made


def run(world: str, odds: Iterable[Odd] = (), *, insists: bool = False, record: Any = None) -> Ended:
    """Run the program in a world in which these answers are odd."""
    common = {"world": world, "service": {"lb": True, "dereg": 30}, "lenient": True}
    written = merged(merged(DEFAULTS, common), WORLDS[world])
    mangler = _Mangler(list(odds), insists)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_"))}
    with tempfile.TemporaryDirectory() as folder, serve(State(written)) as aws:
        aws.mangled = record or mangler
        result = Path(folder, "result.json")
        random.seed(1)
        asked = [*arguments(written)[:-1], f"--result-file={result}"]
        code, shown = run_here(asked, kept | settings_of(aws), Path(folder))
        told = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
        done = [c.operation for c in aws.calls if c.operation.startswith(CHANGING) and not c.error]
        return Ended(
            code=code,
            shown=shown,
            reason=str(told.get("reason", "")),
            given=mangler.given,
            changes=done,
            problems=aws.problems,
        )


def answers_of(world: str) -> dict[tuple[str, str], tuple[bytes, bool]]:
    """Return (service, operation) → its longest answer in a run of the world, and whether that is JSON."""
    found: dict[tuple[str, str], tuple[bytes, bool]] = {}

    def record(asked: Asked, answer: bytes) -> bytes:
        key = (asked.service, asked.operation)
        if len(answer) > len(found.get(key, (b"", False))[0]):
            found[key] = (answer, asked.wire == "json")
        return answer

    ended = run(world, record=record)
    assert ended.code in TRUE[world], ended.shown
    return found


def corpus(world: str, *, known: Container[str] = ()) -> list[Odd]:
    """Return the odd answers of a world, without those of operations that are *known* and do not judge."""
    return [
        odd
        for (service, operation), (answer, is_json) in answers_of(world).items()
        if operation not in known or operation in JUDGED_BY
        for odd in odd_forms(service, operation, answer, is_json=is_json)
    ]


def batches(odds: Sequence[Odd]) -> Iterator[list[Odd]]:
    """Yield the answers in batches for a run each: of a changing operation one, of others a few."""
    left = list(odds)
    while left:
        batch: list[Odd] = []
        counted: dict[str, int] = {}
        for odd in left:
            most = 1 if odd.operation in SENT_ONCE else 6 if odd.operation in JUDGED_BY else 3
            if counted.get(odd.operation, 0) < most:
                counted[odd.operation] = counted.get(odd.operation, 0) + 1
                batch.append(odd)
        left = [odd for odd in left if odd not in batch]
        yield batch


def wrongs(world: str, ended: Ended) -> list[str]:
    """Return what is wrong with a run in which each odd answer came once: it ends as without them."""
    found = [f"exit {ended.code}: {ended.reason}"] if ended.code not in TRUE[world] else []
    found += [f"{name} {ended.changes.count(name)} times" for name in _twice(ended)]
    found += ["a traceback"] if "Traceback" in ended.shown else []
    return found + ended.problems


def _twice(ended: Ended) -> list[str]:
    return sorted(name for name in SENT_ONCE if ended.changes.count(name) > 1)


def insisting(world: str, operations: Iterable[tuple[str, str]]) -> Iterator[Odd]:
    """Yield the odd answers that do not stop: of each operation, whole ones."""
    for service, operation in operations:
        for kind in ("list", "empty", "html", "half"):
            yield Odd(service=service, operation=operation, how=kind)


Job = tuple[str, list[Odd], bool]
"""The world, the odd answers, and whether they do not stop."""


@dataclass(slots=True)
class Counts:
    """What came of many runs: runs, odd answers given, exit codes, and what was wrong."""

    runs: int = 0
    answers: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)

    @property
    def row(self) -> str:
        """Return the counts as cells of a table."""
        false = len(self.wrongs)
        return f"{self.answers} | {self.runs} | {self.codes[1]} | {false}"


def once_odd(*, every: int = 1) -> Counts:
    """Run every world with each odd answer once; of the runs only one of *every*."""
    jobs: list[Job] = []
    known: set[str] = set()
    for world in WORLDS:
        odds = corpus(world, known=known)
        known |= {odd.operation for odd in odds}
        jobs += [(world, batch, False) for batch in batches(odds)]
    return counted(jobs[::every])


def always_odd(*, every: int = 1) -> Counts:
    """Run two worlds with each operation odd from beginning to end, in a few ways; one of *every*."""
    worlds = ("well", "rolled back")
    jobs: list[Job] = [
        (world, [odd], True) for world in worlds for odd in insisting(world, answers_of(world))
    ]
    return counted(jobs[::every])


def judged(job: Job) -> tuple[int, int, list[str]]:
    """Run a job; return its exit code, how many odd answers it got, and what is wrong."""
    world, odds, insists = job
    ended = run(world, odds, insists=insists)
    found = (insisted_wrongs if insists else wrongs)(world, ended)
    names = ", ".join(odd.name for odd in ended.given)
    return ended.code, len(ended.given), [f"{world}: {names}: {wrong}" for wrong in found]


def insisted_wrongs(world: str, ended: Ended) -> list[str]:
    """Return what is wrong where AWS never answers well: nothing may be told that was not seen."""
    allowed = {*TRUE[world], 3, 6}
    found = [f"exit {ended.code}: {ended.reason}"] if ended.code not in allowed else []
    if ended.code == 0 and 0 not in TRUE[world]:
        found.append("a false success")
    return found + [f"{name} {ended.changes.count(name)} times" for name in _twice(ended)] + ended.problems


def counted(jobs: Sequence[Job]) -> Counts:
    """Run the jobs on all cores."""
    counts = Counts()
    workers = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for code, answers, found in pool.imap_unordered(judged, jobs, chunksize=4):
            counts.runs += 1
            counts.answers += answers
            counts.codes[code] += 1
            counts.wrongs += found
        # The program ignores SIGTERM at its end, so that a worker has to be told to end.
        pool.close()
        pool.join()
    return counts
