"""The result in its three forms: JSON (the contract), text for a terminal, Markdown for the job summary."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ecs_gpu_deploy.core.definition.diff import Change, diff_markdown
from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.show.gpu_minutes import GpuMinutes, gpu_minutes, gpu_sentence
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.core.show.timeline import gantt
from ecs_gpu_deploy.core.text import count, fenced, indented, log_line, markdown, span, table_code
from ecs_gpu_deploy.model import LogTail, short_id
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Phase, Result, ServiceEnd, Severity

_SIGNS = {
    Outcome.SUCCEEDED: "✅",
    Outcome.STARTED: "▶️",
    Outcome.ROLLED_BACK: "↩️",
    Outcome.SUPERSEDED: "⏭️",
    Outcome.CANCELLED: "⏹️",
}
_TITLES = {
    Outcome.SUCCEEDED: "Deployed",
    Outcome.STARTED: "Started",
    Outcome.ROLLED_BACK: "Rolled back",
    Outcome.FAILED: "Failed",
    Outcome.TIMED_OUT: "Timed out",
    Outcome.NO_CAPACITY: "No capacity",
    Outcome.SUPERSEDED: "Superseded",
    Outcome.CANCELLED: "Cancelled",
    Outcome.REFUSED: "Refused",
    Outcome.INVALID: "Invalid input",
}


_SUCCESSES = {
    "rollback": "Rollback done",
    "reject": "Rejected",
    "run-task": "Batch done",
    "history": "History",
    "push": "Pushed",
    "status": "Status",
    "login": "Logged in",
    "render": "Rendered",
    "register": "Registered",
}
_TAIL_LINES = 40
_TAILS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the views show beside the result.

    `links` maps names to console pages, `next_command` rolls back or goes on watching, `stays` and `gpus`
    are the timeline up to `ended_at` (epoch seconds), `gpu_hourly_cost` is what a GPU costs an hour;
    `is_taken_back` says that AWS was told to roll the rollout back.
    `sections` are further parts of the summary, title to Markdown that is safe already.
    """

    changes: Sequence[Change] = ()
    links: Mapping[str, str] | None = None
    next_command: str = ""
    stays: Sequence[Stay] = ()
    gpus: Sequence[TaskGpus] = ()
    ended_at: float = 0.0
    gpu_hourly_cost: float | None = None
    is_taken_back: bool = False
    log_tails: Sequence[LogTail] = ()
    sections: Mapping[str, str] = field(default_factory=dict)


def result_document(result: Result) -> dict[str, Any]:
    """Return the result as the JSON document of the contract."""
    document = asdict(result)
    document["outcome"] = str(result.outcome)
    document["findings"] = [
        {"code": f.code, "severity": str(f.severity), "message": f.message, "hint": f.hint}
        for f in result.findings
    ]
    document["diagnoses"] = [
        {name: value for name, value in asdict(d).items() if name != "is_reason"} for d in result.diagnoses
    ]
    document["phases"] = _phases_document(result.phases)
    document["services"] = [_service_document(s) for s in result.services]
    document["duration_seconds"] = round(result.duration_seconds, 3)
    document["api_calls"] = dict(sorted(result.api_calls.items()))
    return {"schema": document.pop("schema"), **document}


def _phases_document(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    return [
        {"name": p.name, "seconds": round(p.seconds, 3), "deadline": round(p.deadline, 3)} for p in phases
    ]


def _service_document(end: ServiceEnd) -> dict[str, Any]:
    return {
        **asdict(end),
        "outcome": str(end.outcome),
        "phases": _phases_document(end.phases),
        "gpu_minutes": round(end.gpu_minutes, 3),
        "gpu_minutes_wasted": round(end.gpu_minutes_wasted, 3),
    }


def result_json(result: Result) -> str:
    """Return the result as JSON text."""
    return _encodable(json.dumps(result_document(result), indent=2, ensure_ascii=False)) + "\n"


def printed_json(result: Result) -> str:
    """Return the result as JSON for a log: ##[ keeps its value and is no workflow command any more."""
    return result_json(result).replace("##[", "##\\u005b")


def _encodable(text: str) -> str:
    """Return *text* without halves of surrogate pairs: JSON from AWS may carry them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def outputs(result: Result) -> dict[str, str]:
    """Return the action's outputs: every member of the result, its name in kebab-case, values as text."""
    return {
        name.replace("_", "-"): _encodable(
            (value or "") if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)
        )
        for name, value in result_document(result).items()
    }


def text_view(result: Result, details: Details | None = None) -> str:
    """Return the end of the log: verdict, causes with their proof, findings, GPU time, what to do next."""
    details = details or Details()
    lines = [f"{result.outcome} — {log_line(result.reason)} (exit {result.exit_code})"]
    for diagnosis in result.diagnoses:
        lines += _diagnosis_lines(diagnosis)
    said = {diagnosis.code for diagnosis in result.diagnoses}
    for finding in result.findings:
        if finding.is_reason and finding.code in said:
            continue
        if not finding.is_reason:
            lines.append(f"{finding.severity}: {log_line(finding.message)}")
        lines += [f"  → {log_line(line)}" for line in finding.hint.splitlines()]
    lines += [f"no log lines of {log_line(problem)}" for problem in _log_problems(details)]
    for whose, phases, gpu_time in _times(result, details):
        lines += [f"phases{whose}: {phases}"] if phases else []
        lines += [f"GPU time{whose}: {gpu_time}"] if gpu_time else []
    if details.next_command and not any(_tells(f, details.next_command) for f in result.findings):
        lines.append(f"next: {log_line(details.next_command)}")
    return "\n".join(lines) + "\n"


def _times(result: Result, details: Details) -> list[tuple[str, str, str]]:
    """Return whose they are (" of NAME", "" for one service alone), phases and GPU time, of each service."""
    if not result.services:
        return [("", _phases_told(result.phases), _gpu_time(result, details))]
    return [
        (f" of {end.service}", _phases_told(end.phases), _gpu_time_of(end, details))
        for end in result.services
    ]


def _phases_told(phases: Sequence[Phase]) -> str:
    return " · ".join(f"{phase.name} {span(phase.seconds)}" for phase in phases if phase.seconds > 0)


def _gpu_time_of(end: ServiceEnd, details: Details) -> str:
    minutes = GpuMinutes(held=end.gpu_minutes, wasted=end.gpu_minutes_wasted)
    return gpu_sentence(minutes, hourly_cost=details.gpu_hourly_cost)


def _gpu_time(result: Result, details: Details) -> str:
    minutes = gpu_minutes(
        details.gpus,
        until=details.ended_at,
        outcome=result.outcome,
        is_taken_back=details.is_taken_back,
    )
    return gpu_sentence(minutes, hourly_cost=details.gpu_hourly_cost)


def log_blocks(details: Details) -> tuple[tuple[str, str], ...]:
    """Return (title, text) for the log tail of each failed container that has one."""
    return tuple((_tail_title(tail), "\n".join(_tail_lines(tail))) for tail in _tails(details))


def _tails(details: Details) -> list[LogTail]:
    """Return the first few tails that differ in more than numbers: tasks of one cause log the same."""
    different = {
        (tail.container, re.sub(r"[0-9a-f]+", "0", "\n".join(tail.lines[-_TAIL_LINES:]))): tail
        for tail in reversed(details.log_tails)
        if tail.lines
    }
    return list(reversed(different.values()))[:_TAILS]


def _log_problems(details: Details) -> list[str]:
    """Return why nobody's log could be shown; nothing where some container's could."""
    if any(tail.lines for tail in details.log_tails):
        return []
    return list(dict.fromkeys(f"{tail.container}: {tail.problem}" for tail in details.log_tails))


def _tail_title(tail: LogTail) -> str:
    return f"last log lines of task {tail.task_id[:8]}, container {tail.container}"


def _tail_lines(tail: LogTail) -> tuple[str, ...]:
    return tuple(indented(line, limit=2000) for line in tail.lines[-_TAIL_LINES:])


def _diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    what = "" if diagnosis.is_reason else f" — {log_line(diagnosis.message)}"
    lines = [f"cause: {diagnosis.code}{what}"]
    lines += [f"  | {log_line(line, limit=400)}" for line in diagnosis.evidence]
    lines.append(f"  → {log_line(diagnosis.hint)}")
    return lines


def annotation(result: Result) -> tuple[str, str, str]:
    """Return the one annotation of a run: level, title, message."""
    title = f"{_title(result)}: {result.service}" if result.service else _title(result)
    level = "notice" if result.outcome in {Outcome.SUCCEEDED, Outcome.STARTED} else "error"
    message = result.reason
    for cause in result.diagnoses[:1]:
        what = "" if cause.is_reason else f"{cause.message} "
        message += f" {cause.code}: {what}{cause.hint}"
    return level, title, message


def annotation_proof(result: Result) -> tuple[str, ...]:
    """Return the lines below the annotation: those that prove an error which is a diagnosis itself."""
    for cause in result.diagnoses[:1]:
        if cause.is_reason:
            return tuple(indented(line, limit=300) for line in cause.evidence)
    return ()


def _title(result: Result) -> str:
    if result.outcome == Outcome.SUCCEEDED:
        return _SUCCESSES.get(result.command, _TITLES[result.outcome])
    return _TITLES[result.outcome]


def markdown_view(result: Result, details: Details) -> str:
    """Return the job summary: first what to know and to do, then the facts. Everything foreign is escaped."""
    sign = _SIGNS.get(result.outcome, "❌")
    what = f": {markdown(short_id(result.service))}" if result.service else ""
    parts = [f"## {sign} {_title(result)}{what}", markdown(result.reason)]
    parts += [_pointed("➡️", hint) for hint in _own_hints(result)]
    if result.diagnoses:
        parts.append("### What failed before" if result.outcome == Outcome.SUCCEEDED else "### Why")
        parts += [_diagnosis_markdown(diagnosis) for diagnosis in result.diagnoses]
    if result.services:
        parts += ["### Services", _services_markdown(result, details)]
    for name, body in details.sections.items():
        parts += [f"### {name}", body]
    parts += [_tail_markdown(tail) for tail in _tails(details)]
    now = next((f for f in result.findings if _tells(f, details.next_command)), None)
    if now is not None:
        parts += ["### What now", markdown(now.message), _commands(now)]
    elif details.next_command:
        parts += ["### What now", fenced([details.next_command], language="sh")]
    others = [f for f in result.findings if not f.is_reason and f is not now]
    seen = [_finding_markdown(finding) for finding in others]
    seen += [f"- ℹ️ No log lines of {markdown(problem)}" for problem in _log_problems(details)]
    if seen:
        parts += ["### Also seen", "\n".join(seen)]
    late = {phase.name for phase in result.phases if phase.seconds > phase.deadline > 0}
    timeline = gantt(_stays(result, details), details.gpus, until=details.ended_at, late=late)
    if timeline:
        of = f" of {markdown(result.service)}" if result.services else ""
        parts += [f"### Timeline{of}", timeline]
    if details.changes:
        parts += ["### Task definition", diff_markdown(details.changes)]
    parts += ["### Facts", _facts(result, details)]
    return "\n\n".join(part for part in parts if part) + "\n\n"


def _services_markdown(result: Result, details: Details) -> str:
    """Return a row for each of several services, with its own phases and GPU time."""
    rows = ["| Service | Outcome | Reason | Phases | GPU time |", "|---|---|---|---|---|"]
    rows += [
        f"| {table_code(end.service)} | {end.outcome} | {markdown(end.reason)} | {_phases_told(end.phases)} "
        f"| {markdown(_gpu_time_of(end, details))} |"
        for end in result.services
    ]
    return "\n".join(rows)


def _tells(finding: Finding, command: str) -> bool:
    return any(step.command == command for step in finding.next_steps)


def _commands(finding: Finding) -> str:
    """Return the next steps as a block that can be pasted into a shell."""
    lines = [line for step in finding.next_steps for line in (f"# {step.purpose}", step.command)]
    return fenced(lines, language="sh")


def _own_hints(result: Result) -> list[str]:
    """Return what to turn where the verdict itself is the finding, unless a diagnosis says it."""
    said = {diagnosis.code for diagnosis in result.diagnoses}
    return [f.hint for f in result.findings if f.is_reason and f.hint and f.code not in said]


def _pointed(sign: str, hint: str) -> str:
    return f"{sign} " + "\n\n".join(markdown(line) for line in hint.splitlines()) if hint else ""


def _stays(result: Result, details: Details) -> Sequence[Stay]:
    """Return the phases with their times; where only their lengths are known, one after the other."""
    if details.stays:
        return details.stays
    at = details.ended_at - sum(phase.seconds for phase in result.phases)
    stays = []
    for phase in result.phases:
        stays.append(Stay(name=phase.name, began_at=at, ended_at=at + phase.seconds))
        at += phase.seconds
    return stays


def _facts(result: Result, details: Details) -> str:
    rows = [
        ("Cluster", result.cluster),
        ("Service", result.service),
        ("Image", result.image),
        ("Digest", result.image_digest),
        ("Revision", short_id(result.task_definition_arn)),
        ("Before", short_id(result.previous_task_definition_arn)),
    ]
    table = [f"| Verdict | {result.outcome}, exit code {result.exit_code} |", "|:--|:--|"]
    table += [f"| {name} | {table_code(value)} |" for name, value in rows if value]
    calls = sum(result.api_calls.values())
    took = [span(result.duration_seconds)] if result.duration_seconds else []
    took += [f"{count(calls, 'call')} to AWS"] if calls else []
    if took:
        table.append(f"| Took | {', '.join(took)} |")
    if not result.services and (gpu_time := _gpu_time(result, details)):
        table.append(f"| GPU time | {markdown(gpu_time)} |")
    shown = " · ".join(f"[{markdown(name)}]({address})" for name, address in (details.links or {}).items())
    return "\n".join(table) + (f"\n\nIn the AWS console: {shown}" if shown else "")


def _diagnosis_markdown(diagnosis: Diagnosis) -> str:
    head = f"**{markdown(diagnosis.code)}** — {markdown(diagnosis.message)}"
    proof = fenced(diagnosis.evidence) if diagnosis.evidence else ""
    return "\n\n".join(part for part in (head, proof, _pointed("**What to turn:**", diagnosis.hint)) if part)


def _tail_markdown(tail: LogTail) -> str:
    title = _tail_title(tail)
    return (
        f"<details><summary>{markdown(title[0].upper() + title[1:])}</summary>\n\n"
        f"{fenced(_tail_lines(tail), limit=2000)}\n\n</details>"
    )


_FINDING_SIGNS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}


def _finding_markdown(finding: Finding) -> str:
    hint = "".join(f" {markdown(line)}" for line in finding.hint.splitlines())
    return f"- {_FINDING_SIGNS[finding.severity]} {markdown(finding.message)}{hint}"
