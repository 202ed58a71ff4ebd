"""The result as JSON (the contract), as the action's outputs, as the end of a log, and as an annotation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ecs_gpu_deploy.core.definition.diff import Change
from ecs_gpu_deploy.core.definition.provenance import Provenance
from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.show.compared_view import compared_line
from ecs_gpu_deploy.core.show.console import TaskPages
from ecs_gpu_deploy.core.show.gpu_minutes import GpuMinutes, gpu_minutes, gpu_sentence
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.core.text import indented, log_line, span
from ecs_gpu_deploy.model import LogTail, short_id
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Phase, Result, ServiceEnd

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
    "plan": "Plan",
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
    `task_pages` maps the ARNs of a batch's tasks to their pages, `origin` says who asked for it, and for
    which commit. `sections` are further parts of the summary, title to Markdown that is safe already.
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
    task_pages: Mapping[str, TaskPages] = field(default_factory=dict)
    origin: Provenance | None = None
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
        lines += _diagnosis_lines(diagnosis, is_said=is_said(diagnosis, result))
    said = {diagnosis.code for diagnosis in result.diagnoses}
    for finding in result.findings:
        if finding.is_told or (finding.is_reason and finding.code in said):
            continue
        if not finding.is_reason:
            lines.append(f"{finding.severity}: {log_line(finding.message)}")
        lines += [f"  → {log_line(line)}" for line in finding.hint.splitlines()]
    lines += [f"no log lines of {log_line(problem)}" for problem in log_problems(details)]
    for whose, phases, gpu_time in _times(result, details):
        lines += [f"phases{whose}: {phases}"] if phases else []
        lines += [f"GPU time{whose}: {gpu_time}"] if gpu_time else []
    if result.predicted is not None:
        lines.append(f"foreseen → seen: {compared_line(result.predicted)}")
    if details.next_command and not any(tells(f, details.next_command) for f in result.findings):
        lines.append(f"next: {log_line(details.next_command)}")
    return "\n".join(lines) + "\n"


def _times(result: Result, details: Details) -> list[tuple[str, str, str]]:
    """Return whose they are (" of NAME", "" for one service alone), phases and GPU time, of each service."""
    if not result.services:
        return [("", phases_told(result.phases), gpu_time(result, details))]
    return [
        (f" of {end.service}", phases_told(end.phases), times_of(end, details)) for end in result.services
    ]


def phases_told(phases: Sequence[Phase]) -> str:
    """Return the phases with their seconds, in one line."""
    return " · ".join(f"{phase.name} {span(phase.seconds)}" for phase in phases if phase.seconds > 0)


def times_of(end: ServiceEnd, details: Details) -> str:
    """Return what GPU time one of several services took."""
    minutes = GpuMinutes(held=end.gpu_minutes, wasted=end.gpu_minutes_wasted)
    return gpu_sentence(minutes, hourly_cost=details.gpu_hourly_cost)


def gpu_time(result: Result, details: Details) -> str:
    """Return what GPU time the rollout took, "" where it held none."""
    minutes = gpu_minutes(
        details.gpus,
        until=details.ended_at,
        outcome=result.outcome,
        is_taken_back=details.is_taken_back,
    )
    return gpu_sentence(minutes, hourly_cost=details.gpu_hourly_cost)


def log_blocks(details: Details) -> tuple[tuple[str, str], ...]:
    """Return (title, text) for the log tail of each failed container that has one."""
    return tuple((tail_title(tail), "\n".join(tail_lines(tail))) for tail in shown_tails(details))


def shown_tails(details: Details) -> list[LogTail]:
    """Return the first few tails that differ in more than numbers: tasks of one cause log the same."""
    different = {
        (tail.container, re.sub(r"[0-9a-f]+", "0", "\n".join(tail.lines[-_TAIL_LINES:]))): tail
        for tail in reversed(details.log_tails)
        if tail.lines
    }
    return list(reversed(different.values()))[:_TAILS]


def log_problems(details: Details) -> list[str]:
    """Return why nobody's log could be shown; nothing where some container's could."""
    if any(tail.lines for tail in details.log_tails):
        return []
    return list(dict.fromkeys(f"{tail.container}: {tail.problem}" for tail in details.log_tails))


def tail_title(tail: LogTail) -> str:
    """Return what stands above a log tail."""
    return f"last log lines of task {tail.task_id[:8]}, container {tail.container}"


def tail_lines(tail: LogTail) -> tuple[str, ...]:
    """Return the last lines of a tail, made safe."""
    return tuple(indented(line, limit=2000) for line in tail.lines[-_TAIL_LINES:])


def is_said(diagnosis: Diagnosis, result: Result) -> bool:
    """Say whether the verdict's reason has said what the diagnosis says."""
    return diagnosis.is_reason or diagnosis.message.rstrip(".") in result.reason


def _diagnosis_lines(diagnosis: Diagnosis, *, is_said: bool) -> list[str]:
    what = "" if is_said else f" — {log_line(diagnosis.message)}"
    lines = [f"cause: {diagnosis.code}{what}"]
    lines += [f"  | {log_line(line, limit=400)}" for line in diagnosis.evidence]
    lines.append(f"  → {log_line(diagnosis.hint)}")
    return lines


def annotation(result: Result) -> tuple[str, str, str]:
    """Return the one annotation of a run: level, title, message."""
    subject = subject_of(result)
    title = f"{title_of(result)}: {subject}" if subject else title_of(result)
    level = "notice" if result.outcome in {Outcome.SUCCEEDED, Outcome.STARTED} else "error"
    message = result.reason
    for cause in result.diagnoses[:1]:
        what = "" if is_said(cause, result) else f"{cause.message} "
        message += f" {cause.code}: {what}{cause.hint}"
    return level, title, message


def annotation_proof(result: Result) -> tuple[str, ...]:
    """Return the lines below the annotation: those that prove an error which is a diagnosis itself."""
    for cause in result.diagnoses[:1]:
        if cause.is_reason:
            return tuple(indented(line, limit=300) for line in cause.evidence)
    return ()


def subject_of(result: Result) -> str:
    """Return what the run was about: the service, or the family of a batch's tasks."""
    family = short_id(result.task_definition_arn).partition(":")[0] if result.command == "run-task" else ""
    return short_id(result.service) or family


def title_of(result: Result) -> str:
    """Return how the run ended in a word or two."""
    if result.outcome == Outcome.SUCCEEDED:
        return _SUCCESSES.get(result.command, _TITLES[result.outcome])
    return _TITLES[result.outcome]


def tells(finding: Finding, command: str) -> bool:
    """Say whether *finding* tells *command* among its next steps."""
    return any(step.command == command for step in finding.next_steps)
