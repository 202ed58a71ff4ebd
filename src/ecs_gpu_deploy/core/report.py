"""The result in its three forms: JSON (the contract), text for a terminal, Markdown for the job summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecs_gpu_deploy.core.diff import Change, diff_markdown
from ecs_gpu_deploy.core.text import fenced, log_line, markdown, table_code, span
from ecs_gpu_deploy.model import Diagnosis, Finding, Outcome, Phase, Result, short_id

_SIGNS = {Outcome.SUCCEEDED: "✅", Outcome.ROLLED_BACK: "↩️", Outcome.SUPERSEDED: "⏭️", Outcome.CANCELLED: "⏹️"}
_TITLES = {
    Outcome.SUCCEEDED: "Deployed",
    Outcome.ROLLED_BACK: "Rolled back",
    Outcome.FAILED: "Failed",
    Outcome.TIMED_OUT: "Timed out",
    Outcome.NO_CAPACITY: "No capacity",
    Outcome.SUPERSEDED: "Superseded",
    Outcome.CANCELLED: "Cancelled",
    Outcome.REFUSED: "Refused",
    Outcome.INVALID: "Invalid input",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the summary shows beside the result: the task-definition diff, console links, the next command."""

    changes: Sequence[Change] = ()
    links: Mapping[str, str] | None = None
    next_command: str = ""


def result_document(result: Result) -> dict[str, Any]:
    """Return the result as the JSON document of the contract."""
    document = asdict(result)
    document["outcome"] = str(result.outcome)
    document["findings"] = [{**asdict(f), "severity": str(f.severity)} for f in result.findings]
    document["phases"] = [
        {"name": p.name, "seconds": round(p.seconds, 3), "deadline": round(p.deadline, 3)}
        for p in result.phases
    ]
    document["duration_seconds"] = round(result.duration_seconds, 3)
    document["api_calls"] = dict(sorted(result.api_calls.items()))
    return {"schema": document.pop("schema"), **document}


def result_json(result: Result) -> str:
    """Return the result as JSON text."""
    return json.dumps(result_document(result), indent=2, ensure_ascii=False) + "\n"


def outputs(result: Result) -> dict[str, str]:
    """Return the action's outputs: every member of the result, its name in kebab-case, values as text."""
    return {
        name.replace("_", "-"): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in result_document(result).items()
    }


def text_view(result: Result) -> str:
    """Return the end of the log: verdict, causes with their proof, findings, what to do next."""
    lines = [f"{result.outcome} — {log_line(result.reason)} (exit {result.exit_code})"]
    for diagnosis in result.diagnoses:
        lines += _diagnosis_lines(diagnosis)
    for finding in result.findings:
        if finding.message != result.reason:
            lines.append(f"{finding.severity}: {log_line(finding.message)}")
        lines += [f"  → {log_line(line)}" for line in finding.hint.splitlines()]
    return "\n".join(lines) + "\n"


def _diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    lines = [f"cause: {diagnosis.code} — {log_line(diagnosis.message)}"]
    lines += [f"  | {log_line(line, limit=400)}" for line in diagnosis.evidence]
    lines.append(f"  → {log_line(diagnosis.hint)}")
    return lines


def annotation(result: Result) -> tuple[str, str, str]:
    """Return the one annotation of a run: level, title, message."""
    title = f"{_TITLES[result.outcome]}: {result.service}" if result.service else _TITLES[result.outcome]
    cause = "".join(f" {d.code}: {d.message} {d.hint}" for d in result.diagnoses[:1])
    level = "notice" if result.outcome == Outcome.SUCCEEDED else "error"
    return level, title, result.reason + cause


def markdown_view(result: Result, details: Details) -> str:
    """Return the job summary. Everything that came from outside is escaped."""
    sign = _SIGNS.get(result.outcome, "❌")
    what = f" {markdown(short_id(result.service))}" if result.service else ""
    parts = [f"## {sign} {_TITLES[result.outcome]}{what}", markdown(result.reason), _facts(result, details)]
    if result.diagnoses:
        parts.append("### Why")
        parts += [_diagnosis_markdown(diagnosis) for diagnosis in result.diagnoses]
    if any(phase.seconds > 0 for phase in result.phases):
        parts += ["### Timeline", _gantt(result.phases)]
    if details.changes:
        parts += ["### Task definition", diff_markdown(details.changes)]
    if result.findings:
        parts += ["### Also seen", "\n".join(_finding_markdown(finding) for finding in result.findings)]
    if details.next_command:
        parts += ["### Next", fenced([details.next_command])]
    return "\n\n".join(part for part in parts if part) + "\n\n"


def _facts(result: Result, details: Details) -> str:
    links = details.links or {}
    rows = [
        ("Cluster", result.cluster),
        ("Image", result.image),
        ("Digest", result.image_digest),
        ("Revision", short_id(result.task_definition_arn)),
        ("Before", short_id(result.previous_task_definition_arn)),
        ("Took", span(result.duration_seconds) if result.duration_seconds else ""),
        ("Exit code", str(result.exit_code)),
    ]
    table = ["| | |", "|---|---|"]
    table += [f"| {name} | {table_code(value)} |" for name, value in rows if value]
    shown = " · ".join(f"[{markdown(name)}]({address})" for name, address in links.items())
    return "\n".join(table) + (f"\n\n{shown}" if shown else "")


def _diagnosis_markdown(diagnosis: Diagnosis) -> str:
    head = f"**{markdown(diagnosis.code)}** — {markdown(diagnosis.message)}"
    proof = fenced(tuple(diagnosis.evidence)) if diagnosis.evidence else ""
    return "\n\n".join(part for part in (head, proof, f"➡️ {markdown(diagnosis.hint)}") if part)


def _finding_markdown(finding: Finding) -> str:
    hint = f" {markdown(finding.hint)}" if finding.hint else ""
    return f"- {finding.severity}: {markdown(finding.message)}{hint}"


def _gantt(phases: Sequence[Phase]) -> str:
    lines = ["```mermaid", "gantt", "    dateFormat X", "    axisFormat %H:%M:%S"]
    at = 0
    for phase in phases:
        if phase.seconds > 0:
            end = at + max(1, round(phase.seconds))
            late = "crit, " if phase.seconds > phase.deadline > 0 else ""
            lines += [f"    section {phase.name}", f"    {span(phase.seconds)} :{late}{at}, {end}"]
            at = end
    return "\n".join([*lines, "```"])
