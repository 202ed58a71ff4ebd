"""What was looked up before a rollout: what is as it should be, what is not, what could not be seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ecs_gpu_deploy.core.text import harmless, indented, markdown, plain, table_code
from ecs_gpu_deploy.result import Check, CheckStatus

_MARKS = {CheckStatus.OK: "ok", CheckStatus.FAILED: "FAILED", CheckStatus.NOT_CHECKED: "not checked"}
_LONGEST_HINT = 1500


def checks_text(checks: Sequence[Check]) -> str:
    """Return the checks for a terminal or log, one a line, the hint of what failed below it."""
    lines = []
    for check in checks:
        said = check.message.removeprefix("Not checked: ")
        lines.append(f"    {_MARKS[check.status]:<11}  {plain(check.name)}: {plain(said)}")
        if check.hint and check.status is not CheckStatus.OK:
            lines.append(f"                 {plain(check.hint, limit=_LONGEST_HINT)}")
    return "\n".join(harmless(indented(line, limit=2 * _LONGEST_HINT)) for line in ["checks:", *lines])


def checks_markdown(checks: Sequence[Check]) -> str:
    """Return the checks as a table for the summary; those that passed are one line below it."""
    told = [check for check in checks if check.status is not CheckStatus.OK]
    passed = ", ".join(markdown(check.name) for check in checks if check.status is CheckStatus.OK)
    parts = []
    if told:
        rows = [f"| {_MARKS[check.status]} | {markdown(check.name)} | {_cell(check)} |" for check in told]
        parts.append("\n".join(["| Check | Of | Says |", "|---|---|---|", *rows]))
    if passed:
        parts.append(f"As it should be: {passed}.")
    return "\n\n".join(parts)


def checks_sentence(checks: Sequence[Check]) -> str:
    """Return how many checks passed, failed and were not possible, "" for none."""
    counted = Counter(check.status for check in checks)
    told = (f"{counted[status]} {_MARKS[status]}" for status in CheckStatus if counted[status])
    return ", ".join(told)


def _cell(check: Check) -> str:
    said = markdown(check.message.removeprefix("Not checked: "))
    return f"{said} {table_code(check.hint, limit=_LONGEST_HINT)}" if check.hint else said
