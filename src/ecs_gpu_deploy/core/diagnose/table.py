"""The table of causes, `diagnoses.yml`: loaded once and late, matched against bounded text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any, Self

from ecs_gpu_deploy.core.diagnose.needles import needles
from ecs_gpu_deploy.core.text import lines_of

SYMPTOM_RANK = 800
"""From this rank on a code is a symptom: it is dropped where a cause is known."""

LOGGED_RANK = 880
"""From this rank on a line tells of trouble that need not have ended anything."""

NORMAL_RANK = 940
"""The rank of events that report normal work."""

_HITS_PER_PATTERN = 20

_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u00b4`", "'") | dict.fromkeys("\u201c\u201d", '"'))
_ESCAPED_QUOTE = re.compile(r"\\+(?=[\"'])")
_WARNED = re.compile(
    r"^[^\n]{0,300}\.py:\d{1,6}: \w{0,40}warning: [^\n]*(?:\n(?! )[^\n]*){0,5}\n {1,2}(?=\S)"
    r"|^\[(?:warning|notice)\][^\n]*(?:\n \| [^\n]*){1,20}"
    r"|^[^\n]{0,80}\bstartup warnings\b[^\n]*(?:\n [^\n]*){1,20}",
    re.MULTILINE,
)
"""A warning of several lines: Python's, which the line of the source follows, HAProxy's, MongoDB's."""
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]")


class Source(StrEnum):
    """Where a text was found."""

    EVENT = "event"
    STOPPED_REASON = "stopped-reason"
    CONTAINER_REASON = "container-reason"
    LOG = "log"
    TARGET_HEALTH = "target-health"
    API_FAILURE = "api-failure"


AWS_SOURCES = frozenset(Source) - {Source.LOG, Source.TARGET_HEALTH}
"""What AWS itself says about tasks, services and calls."""

EVERY_SOURCE = frozenset(Source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One way of saying a code: its rank (lower = nearer to the cause), meaning, hint and patterns.

    No two causes have the same rank, so of two that match one line the table says which is named.
    """

    code: str
    rank: int
    meaning: str
    hint: str
    source: str
    in_logs: bool
    patterns: Mapping[str, tuple[str, ...]]
    unless: str = ""

    @classmethod
    def from_entry(cls, code: str, entry: Mapping[str, Any]) -> Self:
        """Read one entry of the table, a case with what it takes from its plain entry."""
        return cls(
            code=code,
            rank=entry["rank"],
            meaning=entry["meaning"],
            hint=entry["hint"],
            source=entry["source"],
            in_logs=entry.get("in_logs", False),
            patterns={source: tuple(patterns) for source, patterns in entry["match"].items()},
            unless=entry.get("unless", ""),
        )

    @property
    def is_symptom(self) -> bool:
        """Say whether a known cause makes this one superfluous."""
        return self.rank >= SYMPTOM_RANK


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A regular expression over text as `as_matched` returns it, and the cause that it proves."""

    cause: Cause
    source: str
    needles: frozenset[str]

    @property
    def regex(self) -> re.Pattern[str]:
        """Return the expression, compiled when it is first tried: a run tries few of them."""
        return _regex(self.source)


@cache
def _regex(source: str) -> re.Pattern[str]:
    return re.compile(source, re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A line that proves a cause."""

    cause: Cause
    number: int
    line: str


@cache
def causes() -> tuple[Cause, ...]:
    """Return all causes in the order of the file, the plain entry of a code before its cases."""
    return tuple(
        Cause.from_entry(code, {**entry, **case})
        for code, entry in _table().items()
        for case in ({}, *entry.get("cases", ()))
    )


def _table() -> dict[str, dict[str, Any]]:
    """Read the table; a release has it as a module (tools/bundle.py), which takes a hundredth of the time."""
    table: dict[str, dict[str, Any]]
    try:
        from ecs_gpu_deploy.core.diagnose.diagnoses import TABLE  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        from importlib.resources import files  # noqa: PLC0415

        import yaml  # noqa: PLC0415

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        raw = files("ecs_gpu_deploy.core.diagnose").joinpath("diagnoses.yml").read_text(encoding="utf-8")
        table = yaml.load(raw, Loader=loader)  # noqa: S506 - a safe loader, ours
    else:
        table = TABLE
    return table


@cache
def cause_of(code: str) -> Cause:
    """Return the plain entry of *code*; KeyError if the table has none."""
    for cause in causes():
        if cause.code == code:
            return cause
    raise KeyError(code)


def codes() -> tuple[str, ...]:
    """Return every diagnosis code, in the order of the table."""
    return tuple(dict.fromkeys(cause.code for cause in causes()))


@cache
def patterns(sources: frozenset[Source] = EVERY_SOURCE) -> tuple[Pattern, ...]:
    """Return the patterns to look for in a text that was found in *sources*."""
    only_logs = sources == {Source.LOG}
    return tuple(
        pattern
        for source, pattern in _all()
        if (source == "any" and (pattern.cause.in_logs or not only_logs)) or source in sources
    )


@cache
def _all() -> tuple[tuple[str, Pattern], ...]:
    return tuple(
        (source, Pattern(cause=cause, source=regex, needles=needles(regex)))
        for cause in causes()
        for source, some in cause.patterns.items()
        for regex in some
    )


@cache
def _words() -> frozenset[str]:
    return frozenset().union(*(pattern.needles for _, pattern in _all()))


def matches(lowered: str, looked_for: Iterable[Pattern]) -> Iterator[tuple[Pattern, re.Match[str]]]:
    """Return the first matches of each of the table's patterns *looked_for* in a text of `as_matched`.

    A pattern is only tried where one of its words stands.
    """
    there = {word for word in _words() if word in lowered}
    for pattern in looked_for:
        if not (pattern.needles and pattern.needles.isdisjoint(there)):
            for match in islice(pattern.regex.finditer(lowered), _HITS_PER_PATTERN):
                yield pattern, match


def hits(text: str | Sequence[str], looked_for: Iterable[Pattern]) -> tuple[Hit, ...]:
    """Return the lines of *text* that prove a cause: of each line its best cause only, in their order."""
    lines = lines_of(text if isinstance(text, str) else "\n".join(text))
    lowered = as_matched("\n".join(lines))
    starts = [0]
    starts += [match.end() for match in re.finditer("\n", lowered)]
    warned = [match.span() for match in _WARNED.finditer(lowered)]
    best: dict[int, Cause] = {}
    ordinary: dict[tuple[str, int], bool] = {}
    for pattern, match in matches(lowered, looked_for):
        number = bisect_right(starts, match.start()) - 1
        if number in best and best[number].rank <= pattern.cause.rank:
            continue
        unless = pattern.cause.unless
        if unless and (unless, number) not in ordinary:
            ordinary[unless, number] = bool(re.compile(unless).match(lowered, starts[number])) or any(
                start <= starts[number] < end for start, end in warned
            )
        if not (unless and ordinary[unless, number]):
            best[number] = pattern.cause
    return tuple(Hit(cause=best[number], number=number, line=lines[number]) for number in sorted(best))


def as_matched(text: str) -> str:
    """Return *text* as the patterns see it: lower case, plain quotes, none escaped, single blanks.

    Lower case is faster than ignoring case; nothing here changes the number of lines.
    """
    return _BLANKS.sub(" ", _ESCAPED_QUOTE.sub("", text.lower().translate(_QUOTES)))
