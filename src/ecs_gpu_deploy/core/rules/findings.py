"""Rules over the document: what is wrong, and which rules could not be checked and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.rules.expressions import BrokenExpression, value_of
from ecs_gpu_deploy.core.rules.rule import Rule
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.result import Finding, Severity

_FIELD: Final = re.compile(r"\{(\w+)\}")
_MOST: Final = 20
_LONGEST: Final = 160
_NAMED: Final = 8

Ask = Callable[[str, Mapping[str, Any]], Any]
"""How an expression is asked of a document: as `value_of` does, or with a bound on its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """A rule about which nothing can be said, and why."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the rules say: worst first, in the order of the table; and those that say nothing."""

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()


def judged(
    document: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    unseen: Mapping[str, str] | None = None,
    ask: Ask = value_of,
) -> Judged:
    """Return what *rules* find in *document*; a rule whose needs are null there is not checked.

    *unseen* says by the name of a member why it was not seen.
    """
    found: list[Finding] = []
    unchecked: list[Unchecked] = []
    for rule in rules:
        if missing := next((need for need in rule.needs if _is_null(need, document, ask)), ""):
            reason = (unseen or {}).get(missing) or (unseen or {}).get(missing.partition(".")[0])
            unchecked.append(Unchecked(rule=rule.id, reason=reason or f"{missing} is not known"))
            continue
        try:
            found += _matches(rule, ask(rule.when, document))
        except BrokenExpression as error:
            unchecked.append(Unchecked(rule=rule.id, reason=f"its expression does not fit: {error}"))
    order = list(Severity)
    return Judged(
        findings=tuple(sorted(found, key=lambda finding: order.index(finding.severity))),
        unchecked=tuple(unchecked),
    )


def findings(
    document: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    unseen: Mapping[str, str] | None = None,
    ask: Ask = value_of,
) -> tuple[Finding, ...]:
    """Return all that *rules* say of *document*, at the end what could not be checked, one a reason."""
    said = judged(document, rules, unseen=unseen, ask=ask)
    return (*said.findings, *not_checked(said.unchecked))


def not_checked(unchecked: Sequence[Unchecked]) -> tuple[Finding, ...]:
    """Return one finding a reason, with the rules that it keeps from being checked."""
    by_reason: dict[str, list[str]] = {}
    for each in unchecked:
        by_reason.setdefault(each.reason, []).append(each.rule)
    return tuple(
        Finding(
            code="rules-not-checked",
            severity=Severity.INFO,
            message=f"Not checked: {_listed(names)} ({plain(reason, limit=300).rstrip('.')}).",
        )
        for reason, names in by_reason.items()
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _is_null(need: str, document: Mapping[str, Any], ask: Ask) -> bool:
    try:
        return ask(need, document) is None
    except BrokenExpression:
        return True


def _matches(rule: Rule, value: Any) -> Iterator[Finding]:
    """Yield a finding for each thing found: a list's items, an object or a text, or that it is so."""
    things = value if isinstance(value, list) else [value]
    seen = set()
    for thing in things:
        if thing is None or thing is False or thing in ("", {}, []):
            continue
        finding = Finding(
            code=rule.id,
            severity=rule.severity,
            message=_filled(rule.message, thing),
            hint=_filled(rule.hint, thing),
        )
        if finding.message not in seen:
            seen.add(finding.message)
            yield finding
        if len(seen) == _MOST:
            return


def _filled(template: str, thing: Any) -> str:
    """Return the template with the members of *thing*, `{it}` being itself; what lacks is a question mark."""
    members = thing if isinstance(thing, Mapping) else {"it": thing}
    return _FIELD.sub(lambda match: _shown(members.get(match[1])), template)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "?"
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(_shown, value[:_NAMED]))
        case _:
            return plain(hidden(str(value)), limit=_LONGEST)
