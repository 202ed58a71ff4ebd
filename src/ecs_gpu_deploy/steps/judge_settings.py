"""Judge a revision and its service before anything is changed: by the rules, and by what they name outside.

Import it where it is called: it loads the rules and JMESPath, which most commands do without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.rules.document import document_of
from ecs_gpu_deploy.core.rules.expressions import BrokenExpression, value_of
from ecs_gpu_deploy.core.rules.findings import findings
from ecs_gpu_deploy.core.rules.rule import built_in_rules, rules_with
from ecs_gpu_deploy.edges.machine.signals import CutShort, at_most
from ecs_gpu_deploy.inputs.requests import OwnRules
from ecs_gpu_deploy.result import Check, CheckStatus, Finding, Severity
from ecs_gpu_deploy.steps.check_references import check_references
from ecs_gpu_deploy.steps.see_for_rules import see_for_rules

LONGEST_SECONDS: Final = 2.0
"""How long one expression may take: a regular expression of somebody's own may never come to an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSettings:
    """What is wrong, worst first, and each look at something that the revision names outside itself."""

    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]


def judge_settings(
    context: Context,
    definition: Mapping[str, Any],
    *,
    service: str,
    rules: OwnRules | None = None,
    command: str = "deploy",
    load_seconds: float | None = None,
    wait_seconds: float | None = None,
    session_seconds: float | None = None,
    changes: Mapping[str, Any] = {},
    proven: Mapping[str, Any] | None = None,
    instances: Sequence[Mapping[str, Any]] | None = None,
    reads_secrets: bool = False,
) -> JudgedSettings:
    """Return what *service* (its name, "" for none) is to expect of the raw *definition*. Changes nothing.

    *rules* are those of a file, beside ours; *load_seconds* is a measured load, *wait_seconds* the timeout,
    *session_seconds* how long the credentials last (None: not known), *changes* what the service gets with
    it, *proven* a raw definition whose tasks run. Each failed check is a finding too.
    """
    seen = see_for_rules(
        context,
        definition,
        service=service,
        load_seconds=load_seconds,
        wait_seconds=wait_seconds,
        session_seconds=session_seconds,
        changes=changes,
        instances=instances,
    )
    table = rules_with(rules.text, name=rules.name) if rules else built_in_rules()
    checks = check_references(context, seen, command=command, proven=proven, reads_secrets=reads_secrets)
    said = (
        *map(_finding, failures(checks)),
        *findings(document_of(seen), table, unseen=seen.unseen, ask=_in_time),
    )
    order = list(Severity)
    return JudgedSettings(
        findings=tuple(sorted(said, key=lambda each: order.index(each.severity))), checks=checks
    )


def _in_time(expression: str, document: Mapping[str, Any]) -> Any:
    """Return what the expression finds; BrokenExpression too where it takes too long (not on Windows)."""
    with at_most(LONGEST_SECONDS) as limit:
        try:
            return value_of(expression, document)
        except CutShort as cut:
            if cut.limit is not limit:
                raise
    raise BrokenExpression(f"it took longer than {LONGEST_SECONDS:g} s")


def failures(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return the checks that failed."""
    return tuple(check for check in checks if check.status is CheckStatus.FAILED)


def _finding(check: Check) -> Finding:
    return Finding(
        code="check-failed",
        severity=Severity.ERROR,
        message=f"{check.name}: {check.message}",
        hint=check.hint,
    )
