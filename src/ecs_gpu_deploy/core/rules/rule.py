"""A rule, and where rules come from: our table `rules.yml`, and a file of somebody's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.core.rules.document import MEMBERS
from ecs_gpu_deploy.core.rules.expressions import BrokenExpression, check_expression
from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Severity

_ID: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_NEEDED: Final = ("id", "when", "severity", "message")
_ALLOWED: Final = (*_NEEDED, "hint", "source", "needs")
_HINT: Final = "docs/rules.md shows how a rule is written."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: `when` finds what is wrong, and `message` and `hint` are filled from each thing found.

    `needs` are paths into the document without which nothing can be said.
    """

    id: str
    when: str
    severity: Severity
    message: str
    hint: str = ""
    source: str = ""
    needs: tuple[str, ...] = ()

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Read one entry that is known to be right."""
        return cls(
            id=entry["id"],
            when=entry["when"],
            severity=Severity(entry["severity"]),
            message=entry["message"],
            hint=entry.get("hint") or "",
            source=entry.get("source") or "",
            needs=tuple(entry.get("needs") or ()),
        )


@cache
def built_in_rules() -> tuple[Rule, ...]:
    """Return our rules in the order of the table."""
    return tuple(Rule.from_entry(entry) for entry in _table())


def _table() -> list[dict[str, Any]]:
    """Read the table; a release has it as a module (tools/bundle.py)."""
    table: list[dict[str, Any]]
    try:
        from ecs_gpu_deploy.core.rules.rules import TABLE  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        from importlib.resources import files  # noqa: PLC0415

        import yaml  # noqa: PLC0415

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        raw = files("ecs_gpu_deploy.core.rules").joinpath("rules.yml").read_text(encoding="utf-8")
        table = yaml.load(raw, Loader=loader)  # noqa: S506 - a safe loader, ours
    else:
        table = TABLE
    return table


def rules_with(text: str, *, name: str) -> tuple[Rule, ...]:
    """Return our rules and those of the file *name* that holds *text*.

    A rule of ours is replaced by one of the same id. Raise InvalidInput, with file, line and reason, for a
    broken expression, an unknown severity or member, and an id that the file has twice.
    """
    body = document(text, name=name)
    entries = body.get("rules") if isinstance(body, dict) and set(body) == {"rules"} else body
    if not isinstance(entries, list):
        raise InvalidInput(f"{name}: the rules are not a list.", hint=_HINT)
    own: dict[str, Rule] = {}
    places = _Places(text, name)
    for number, entry in enumerate(entries):
        where = places.of(number)
        rule = _checked(entry, where=where, places=places)
        if rule.id in own:
            raise InvalidInput(
                f"{where}: the rule {rule.id!r} is there twice.", hint="Give one of them another id."
            )
        own[rule.id] = rule
    ours = {rule.id: rule for rule in built_in_rules()}
    return tuple({**ours, **own}.values())


def _checked(entry: object, *, where: str, places: _Places) -> Rule:
    """Return the rule that *entry* says; raise InvalidInput where it says none."""
    if not isinstance(entry, dict):
        raise InvalidInput(f"{where}: a rule is a mapping of id, when, severity and message.", hint=_HINT)
    for member in entry:
        if member not in _ALLOWED:
            raise InvalidInput(
                f"{where}: a rule has no {str(member)[:60]!r}.", hint=_nearest(str(member), _ALLOWED)
            )
    for member in _NEEDED:
        if not isinstance(entry.get(member), str) or not entry[member].strip():
            raise InvalidInput(f"{where}: the rule has no {member}.", hint=_HINT)
    named = f"{where}: the rule {entry['id'][:80]!r}"
    if not _ID.fullmatch(entry["id"]):
        raise InvalidInput(
            f"{where}: {entry['id'][:80]!r} is no id.", hint="Lower-case words joined by hyphens are meant."
        )
    severities = tuple(each.value for each in Severity)
    if entry["severity"] not in severities:
        raise InvalidInput(
            f"{named} has the severity {entry['severity'][:60]!r}.",
            hint=_nearest(entry["severity"], severities),
        )
    for member in ("hint", "source"):
        if not isinstance(entry.get(member) or "", str):
            raise InvalidInput(f"{named}: {member} is no text.", hint=_HINT)
    needs = entry.get("needs") or []
    if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
        raise InvalidInput(f"{named}: needs is not a list of names.", hint=_HINT)
    for each in needs:
        if each.partition(".")[0] not in MEMBERS:
            raise InvalidInput(
                f"{named} needs {each[:60]!r}, which the document does not have.",
                hint=_nearest(each.partition(".")[0], tuple(MEMBERS)),
            )
    for expression in (entry["when"], *needs):
        try:
            check_expression(expression)
        except BrokenExpression as error:
            raise InvalidInput(
                f"{places.line_in(where, expression)}: the expression of the rule {entry['id']!r} is broken: "
                f"{error}.",
                hint=_HINT,
            ) from None
    return Rule.from_entry(entry)


def _nearest(wrong: str, known: Iterable[str]) -> str:
    names = tuple(known)
    near = nearest(wrong.lower(), names, cutoff=0.4)
    return f"Did you mean {near}?" if near else f"One of {', '.join(names)} is meant."


class _Places:
    """Where the rules of a file stand, for what is told of them."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = text.splitlines()
        self._name = name
        marks = re.compile(r"""^\s*(?:-\s+|\{\s*|,\s*)?["']?id["']?\s*:""")
        self._starts = [number for number, line in enumerate(self._lines, 1) if marks.match(line)]

    def of(self, number: int) -> str:
        """Return file and line of the rule with the *number*, from 0, as far as its id tells."""
        return f"{self._name}, line {self._starts[number]}" if number < len(self._starts) else self._name

    def line_in(self, where: str, expression: str) -> str:
        """Return file and line of an *expression*, or *where* its rule is."""
        first = expression.strip().splitlines()[0].strip()
        at = [number for number, line in enumerate(self._lines, 1) if first in line]
        return f"{self._name}, line {at[0]}" if len(at) == 1 else where
