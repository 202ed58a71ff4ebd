"""What RunTask is to be sent, and what its refusals mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

A_CALL: Final = 10
"""Tasks that one RunTask starts at most (RunTask, "count")."""
MOST: Final = 1000

_CAPACITY = re.compile(
    r"""RESOURCE:(?!ARN)[A-Z] | (^|[:"]\ ?)AGENT\b | CAPACITY\ (IS\ UNAVAILABLE|LIMIT)
    | EMPTY\ CAPACITY\ PROVIDER | NO\ (ACTIVE|CONTAINER)\ INSTANCES | YOU'VE\ REACHED\ THE\ LIMIT
    | INSUFFICIENT(?!\ (PERMISSION|PRIVILEGE))""",
    re.VERBOSE,
)
"""A denial says "on resource: arn:…", and a role may be named after an agent: neither is a lack."""
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One of RunTask's `failures[]`: they come with HTTP 200 (docs/aws-facts.md#runtask-failures)."""

    reason: str
    detail: str = ""
    arn: str = ""

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read Failure."""
        return cls(reason=api.get("reason") or "", detail=api.get("detail") or "", arn=api.get("arn") or "")

    @property
    def told(self) -> str:
        """Return reason and detail as one text."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def is_lack(reason: str) -> bool:
    """Say whether *reason* is a lack of capacity, so that waiting may help.

    Source: docs/aws-facts.md#runtask-failures.
    """
    return _CAPACITY.search(reason.upper()) is not None


def lacks(refusals: Iterable[Refusal]) -> bool:
    """Say whether one of the refusals is a lack of capacity: others are about single instances."""
    return any(is_lack(refusal.told) for refusal in refusals)


def retry_wait(tries: int) -> float:
    """Return the seconds before the next try after *tries* refusals: 5, 10, 20, 40, then 60."""
    return float(min(_FIRST_WAIT * 2 ** min(max(tries - 1, 0), 10), _LONGEST_WAIT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The `number` of the next round of RunTask, and how many in a row left something to start (`tries`).

    `next_try` is when the next round is due, in epoch seconds.
    """

    number: int = 0
    tries: int = 0
    next_try: float = 0.0

    def after(self, *, wanted: int, started: int, now: float) -> Rounds:
        """Return what follows a round at *now* that started so many of those *wanted*."""
        tries = 0 if started else self.tries
        if started >= wanted:
            return replace(self, number=self.number + 1, tries=tries)
        return Rounds(number=self.number + 1, tries=tries + 1, next_try=now + retry_wait(tries + 1))


def batch_mark(named: Sequence[str], request: Mapping[str, Any]) -> str:
    """Return what makes a batch one of its kind: a hash of the run's names and of what is to run.

    The same names and request give the same mark, so that RunTask's client tokens made of it start nothing
    twice (API Reference, "Ensuring idempotency").
    """
    text = json.dumps([list(named), request], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def client_token(mark: str, round_number: int, call: int) -> str:
    """Return the client token of one call: at most 64 characters. A retry for want of room is a new round."""
    return f"{mark}-{round_number}-{call}"
