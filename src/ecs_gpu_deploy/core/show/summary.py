"""The job summary as Markdown: verdict, cause and what to do are seen at once, the rest is folded.

Everything foreign is escaped. A line of proof is inline code and not a fenced block: it wraps, where a block
would scroll sideways and hide the number that it is about.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ecs_gpu_deploy.core.definition.diff import Change, diff_markdown
from ecs_gpu_deploy.core.definition.provenance import Provenance
from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.show.compared_view import compared_markdown
from ecs_gpu_deploy.core.show.report import (
    Details,
    gpu_time,
    is_said,
    log_problems,
    phases_told,
    shown_tails,
    subject_of,
    tail_lines,
    tail_title,
    tells,
    times_of,
    title_of,
)
from ecs_gpu_deploy.core.show.timeline import gantt
from ecs_gpu_deploy.core.text import count, fenced, html_text, inline_code, markdown, span, table_code
from ecs_gpu_deploy.model import LogTail, short_id
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Result, ServiceEnd, Severity, TaskEnd

_SIGNS = {
    Outcome.SUCCEEDED: "✅",
    Outcome.STARTED: "▶️",
    Outcome.ROLLED_BACK: "↩️",
    Outcome.SUPERSEDED: "⏭️",
    Outcome.CANCELLED: "⏹️",
}
_FINDING_SIGNS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}
_SHORT_COMMIT = 12
_MOST_TASKS = 50
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_ADDRESS = re.compile(r"https?://[\w.-]+(?::\d+)?/[\w./%~-]*", re.ASCII)
_OF_A_COMMIT = frozenset({"deploy", "push", "register", "render", "run-task"})
"""Commands that make something of the commit that the job runs for; a rollback runs another one."""


def markdown_view(result: Result, details: Details) -> str:
    """Return the job summary: first what to know and to do, then when it was, then the facts, folded."""
    now = next((f for f in result.findings if tells(f, details.next_command)), None)
    parts = [summary_head(result, details)]
    if now is not None:
        parts += ["### What now", markdown(now.message), _commands(now)]
    elif details.next_command:
        parts += ["### What now", fenced([details.next_command], language="sh")]
    for name, body in details.sections.items():
        parts += [f"### {name}", body]
    severe, other = _seen(result, details, now)
    parts += ["### Also seen", severe] if severe else []
    foretold = compared_markdown(result.predicted) if result.predicted is not None else ""
    parts += [f"### Predicted beside actual\n\n{foretold}"] if foretold else []
    parts += [_timeline(result, details), other, _way_on(result, details), _links(details)]
    parts += [_tail(tail) for tail in shown_tails(details)]
    if details.changes:
        what = f"What changed in the task definition ({count(len(details.changes), 'value')})"
        parts.append(_folded(what, diff_markdown(details.changes)))
    parts.append(_folded("Facts", _facts(result, details)))
    return "\n\n".join(part for part in parts if part) + "\n\n"


def summary_head(result: Result, details: Details) -> str:
    """Return the head of the summary: verdict, its cause with the proof, what runs, and who asked for it."""
    sign = _SIGNS.get(result.outcome, "❌")
    subject = subject_of(result)
    what = f": {markdown(subject)}" if subject else ""
    parts = [f"## {sign} {title_of(result)}{what}", markdown(result.reason)]
    parts += [_pointed("➡️", hint) for hint in _own_hints(result)]
    if result.diagnoses:
        parts.append("### What failed before" if result.outcome == Outcome.SUCCEEDED else "### Why")
        parts += [_diagnosis(each, is_said=is_said(each, result)) for each in result.diagnoses]
    answers = result.service_url if _ADDRESS.fullmatch(result.service_url) else ""
    parts += [f"Answers at <{answers}>"] if answers else []
    parts += [_versions(result, details), _told(result, details)]
    if result.services:
        parts += ["### Services", _services(result.services, details)]
    if result.tasks:
        parts += ["### Tasks", _tasks(result.tasks, details)]
    return "\n\n".join(part for part in parts if part)


def _versions(result: Result, details: Details) -> str:
    """Return what was deployed beside what ran before: revision and image, the short way."""
    if not result.previous_task_definition_arn or not result.image:
        return ""
    rows = [
        ("Revision", short_id(result.task_definition_arn), short_id(result.previous_task_definition_arn)),
        ("Image", _short_image(result.image), _short_image(_image_before(result, details.changes))),
    ]
    what = "To deploy" if not result.task_definition_arn else "Deployed"
    lines = [f"| | {what} | Before |", "|:--|:--|:--|"]
    lines += [
        f"| {name} | {table_code(new) if new else 'a new one'} | {table_code(old)} |"
        for name, new, old in rows
    ]
    return "\n".join(lines)


def _image_before(result: Result, changes: Sequence[Change]) -> str:
    """Return the image that ran before, "" where nobody compared: the same where no image changed."""
    images = [change for change in changes if change.path.endswith("].image")]
    if not images:
        is_same = changes or result.task_definition_arn == result.previous_task_definition_arn
        return result.image if is_same else ""
    named = [change for change in images if change.new == result.image] or images
    return str(named[0].old or "") if len(named) == 1 else ""


def _short_image(image: str) -> str:
    """Return an image without its registry, and of a digest what tells it apart."""
    name = image.rpartition("/")[2] if "." in image.partition("/")[0] else image
    bare, at, digest = name.partition("@sha256:")
    return f"{bare}@sha256:{digest[:_SHORT_COMMIT]}" if at else bare


def _told(result: Result, details: Details) -> str:
    """Return who asked for it and from what, how long it took and what it cost, in one line."""
    told = _origin(details.origin, names_commit=result.command in _OF_A_COMMIT) if details.origin else []
    told += [f"took {span(result.duration_seconds)}"] if result.duration_seconds else []
    if not result.services and (held := gpu_time(result, details)):
        told.append(markdown(held))
    return " · ".join([f"{told[0][:1].upper()}{told[0][1:]}", *told[1:]]) if told else ""


def _origin(origin: Provenance, *, names_commit: bool) -> list[str]:
    """Return commit, person and run; with addresses where they are web addresses."""
    run = origin.run if origin.run.startswith(("https://", "http://")) else ""
    run = "" if set(run) & set("<>\n \\") else run
    home, is_github, _ = run.partition("/actions/runs/")
    told = []
    if origin.commit and names_commit:
        commit = inline_code(origin.commit[:_SHORT_COMMIT])
        has_page = is_github and _COMMIT.fullmatch(origin.commit)
        told.append(f"commit [{commit}](<{home}/commit/{origin.commit}>)" if has_page else f"commit {commit}")
    told += [f"by {markdown(origin.actor)}"] if origin.actor else []
    told += [f"[{markdown(f'run {short_id(run)}' if is_github else 'its run')}](<{run}>)"] if run else []
    return told


def _services(ends: Sequence[ServiceEnd], details: Details) -> str:
    """Return a row for each of several services, with its own phases and GPU time."""
    rows = ["| Service | Outcome | Reason | Phases | GPU time |", "|---|---|---|---|---|"]
    rows += [
        f"| {table_code(end.service)} | {end.outcome} | {markdown(end.reason)} | {phases_told(end.phases)} "
        f"| {markdown(times_of(end, details))} |"
        for end in ends
    ]
    return "\n".join(rows)


def _tasks(ends: Sequence[TaskEnd], details: Details) -> str:
    """Return a row for each container of a batch: how its task ended, exit code, time, log."""
    rows = ["| Task | Container | Ended as | Exit code | Ran | Log |", "|---|---|---|--:|--:|---|"]
    for end in ends[:_MOST_TASKS]:
        pages = details.task_pages.get(end.task_arn)
        name = table_code(short_id(end.task_arn)[:8])
        task = f"[{name}](<{pages.page}>)" if pages else name
        ran = span(end.stopped_at - end.started_at) if end.stopped_at and end.started_at else ""
        for container in end.containers:
            log = pages.logs.get(container.name, "") if pages else ""
            code = "" if container.exit_code is None else str(container.exit_code)
            rows.append(
                f"| {task} | {table_code(container.name)} | {container.judgement} | {code} | {ran} "
                f"| {f'[log](<{log}>)' if log else ''} |"
            )
        if not end.containers:
            rows.append(f"| {task} | | {end.judgement} | | {ran} | |")
    if len(ends) > _MOST_TASKS:
        rows.append(f"| and {len(ends) - _MOST_TASKS} more | | | | | |")
    return "\n".join(rows)


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


def _diagnosis(diagnosis: Diagnosis, *, is_said: bool) -> str:
    """Return cause, proof and knob; the sentence only where the verdict has not said it already."""
    what = "" if is_said else f" — {markdown(diagnosis.message)}"
    proof = " \\\n".join(f"> {inline_code(line, limit=1000)}" for line in diagnosis.evidence)
    parts = (f"**{markdown(diagnosis.code)}**{what}", proof, _pointed("**What to turn:**", diagnosis.hint))
    return "\n\n".join(part for part in parts if part)


def _seen(result: Result, details: Details, now: Finding | None) -> tuple[str, str]:
    """Return what else was seen: what is to be heeded, and what is good to know."""
    others = [f for f in result.findings if not f.is_reason and f is not now]
    severe = [_finding(finding) for finding in others if finding.severity != Severity.INFO]
    rest = [_finding(finding) for finding in others if finding.severity == Severity.INFO]
    rest += [f"- ℹ️ No log lines of {markdown(problem)}" for problem in log_problems(details)]
    return "\n".join(severe), "\n".join(rest)


def _way_on(result: Result, details: Details) -> str:
    """Return the one command that somebody may want next, where the run had none to tell."""
    if details.next_command or result.services or not result.task_definition_arn:
        return ""
    if not result.service or result.outcome in {Outcome.INVALID, Outcome.REFUSED}:
        return ""
    place = f"--cluster {shlex.quote(result.cluster or 'default')} --service {shlex.quote(result.service)}"
    if result.outcome == Outcome.SUCCEEDED and result.command == "deploy":
        return f"To go back: {inline_code(f'ecs-gpu-deploy rollback {place}')}"
    if result.command in {"deploy", "rollback", "watch"}:
        return f"To see what runs now: {inline_code(f'ecs-gpu-deploy status {place}')}"
    return ""


def _finding(finding: Finding) -> str:
    hint = "".join(f" {markdown(line)}" for line in finding.hint.splitlines())
    return f"- {_FINDING_SIGNS[finding.severity]} {markdown(finding.message)}{hint}"


def _timeline(result: Result, details: Details) -> str:
    late = {phase.name for phase in result.phases if phase.seconds > phase.deadline > 0}
    drawn = gantt(_stays(result, details), details.gpus, until=details.ended_at, late=late)
    of = f" of {markdown(result.service)}" if result.services else ""
    return f"### Timeline{of}\n\n{drawn}" if drawn else ""


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


def _links(details: Details) -> str:
    shown = " · ".join(f"[{markdown(name)}]({address})" for name, address in (details.links or {}).items())
    return f"In the AWS console: {shown}" if shown else ""


def _facts(result: Result, details: Details) -> str:
    """Return what the head does not say, or says in short."""
    rows = [
        ("Cluster", result.cluster),
        ("Service", result.service),
        ("Image", result.image),
        ("Digest", result.image_digest),
        ("Revision", "" if _versions(result, details) else short_id(result.task_definition_arn)),
    ]
    table = [f"| Verdict | {result.outcome}, exit code {result.exit_code} |", "|:--|:--|"]
    table += [f"| {name} | {table_code(value)} |" for name, value in rows if value]
    calls = sum(result.api_calls.values())
    table += [f"| Asked AWS | {count(calls, 'call')} |"] if calls else []
    return "\n".join(table)


def _tail(tail: LogTail) -> str:
    title = tail_title(tail)
    return _folded(f"{title[0].upper()}{title[1:]}", fenced(tail_lines(tail), limit=2000))


def _folded(title: str, body: str) -> str:
    """Return a part that opens on a click; *body* is Markdown that is safe already."""
    return f"<details><summary>{html_text(title)}</summary>\n\n{body}\n\n</details>"
