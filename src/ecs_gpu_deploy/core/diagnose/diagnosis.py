"""Say why a rollout failed: from tasks, events, target health and log tails to causes.

Cause before symptom: what a container's log proves outranks the health check it broke, and a
task that was killed while it was still loading is told from one that crashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from ecs_gpu_deploy.core.diagnose.loading import Kill, loading_message, still_loads
from ecs_gpu_deploy.core.diagnose.table import (
    AWS_SOURCES,
    LOGGED_RANK,
    NORMAL_RANK,
    Cause,
    Hit,
    Pattern,
    Source,
    cause_of,
    hits,
    patterns,
)
from ecs_gpu_deploy.core.judge.culprit import SIGKILL, SIGTERM, culprit_of
from ecs_gpu_deploy.core.judge.timing import HealthTiming
from ecs_gpu_deploy.core.text import excerpt, lines_of
from ecs_gpu_deploy.model import Container, Event, LogTail, Service, TargetHealth, Task
from ecs_gpu_deploy.result import Diagnosis

__all__ = ["Instance", "diagnoses_of", "diagnosis", "explanation_of"]

MAX_EVIDENCE = 5
_MAX_WRAPPED = 30
"""Lines that may be one wrapped message."""
_MIN_WIDTH = 30
_NOTHING = 1000
"""The rank of a text that proves nothing, beyond every cause."""
_WEAK_RANK = 600
"""From this rank on a cause is named by the beginning of a message alone."""

_ESCAPE = re.compile(r"\\+(?:n(?=\\*[\"'\u201c\u201d\u2018\u2019](?:\W|$))|([nrt])|u([0-9a-fA-F]{4}))")
"""An escaped letter; a line end that a quoted text ends with parts no lines."""
_NORMAL_STOP = re.compile(r"scaling activity initiated by|stopped by user|user initiated", re.IGNORECASE)
_STARTED = re.compile(r"has started \d+ tasks", re.IGNORECASE)
CAPACITY = frozenset(
    {
        "gpu-capacity",
        "cpu-capacity",
        "memory-capacity",
        "port-conflict",
        "missing-attribute",
        "no-instances",
        "provisioning-limit",
        "vcpu-quota",
        "ec2-capacity",
        "agent-disconnected",
    }
)
"""Causes that keep a task from a place."""
_REASON_SOURCES = frozenset({Source.STOPPED_REASON, Source.EVENT, Source.API_FAILURE})
_HEALTH_CHECKS = frozenset({"health-check-elb", "health-check-container"})
_STOP_CODES = {
    "SpotInterruption": "spot-interruption",
    "TerminationNotice": "instance-lost",
    "InfrastructureHealth": "instance-lost",
}
_EXIT_CODES = {
    126: "SIGEXEC: the command may not be executed",
    127: "command not found",
    134: "SIGABRT",
    137: "SIGKILL",
    139: "SIGSEGV, a segmentation fault",
    143: "SIGTERM",
}


class Instance(Protocol):
    """The part of a container instance that a diagnosis looks at."""

    @property
    def arn(self) -> str:
        """Return the container instance ARN."""

    @property
    def agent_connected(self) -> bool:
        """Say whether ECS hears from its agent."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """What is known of one code while the diagnoses are gathered."""

    cause: Cause
    message: str = ""
    hint: str = ""
    evidence: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def add(self, cause: Cause, evidence: Iterable[str]) -> None:
        if cause.rank < self.cause.rank:
            self.cause = cause
        for line in evidence:
            text = excerpt(line)
            if text and text not in self.evidence and len(self.evidence) < MAX_EVIDENCE:
                self.evidence.append(text)

    def diagnosis(self) -> Diagnosis:
        message = self.message or self.cause.meaning
        if self.tasks:
            message = (
                f"{len(self.tasks)} {'task' if len(self.tasks) == 1 else 'tasks'}: {_lower_first(message)}"
            )
        return Diagnosis(
            code=self.cause.code,
            message=message,
            hint=self.hint or self.cause.hint,
            evidence=tuple(self.evidence),
            tasks=tuple(self.tasks),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What else is known when the end of one task is judged."""

    log_tails: Sequence[LogTail]
    timing: HealthTiming | None
    status_codes: frozenset[int]
    side: frozenset[str]

    def lines_of(self, task: Task) -> list[str]:
        beside = self.beside(task)
        tails = [tail for tail in self.log_tails if tail.task_id == task.id and tail.container not in beside]
        return [line for tail in tails for line in tail.lines]

    def beside(self, task: Task) -> frozenset[str]:
        """Return the side containers where another one ended the task: what they say is no cause of that."""
        culprit = culprit_of(task.containers, self.side)
        return self.side if culprit is not None and culprit.name not in self.side else frozenset()

    def lines_of_others(self, task: Task) -> list[str]:
        return [line for tail in self.log_tails if tail.task_id != task.id for line in tail.lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """The cause of one task's end."""

    cause: Cause
    evidence: tuple[str, ...]
    message: str = ""


def diagnosis(
    code: str, *, evidence: Sequence[str] = (), tasks: Sequence[str] = (), message: str = "", hint: str = ""
) -> Diagnosis:
    """Return the table's Diagnosis for *code*; *message* and *hint* replace its words.

    Raises KeyError for a code that the table does not have.
    """
    group = _Group(cause=cause_of(code), message=message, hint=hint, tasks=list(tasks))
    group.add(group.cause, evidence)
    return group.diagnosis()


def explanation_of(text: str, looked_for: Sequence[Pattern] | None = None) -> tuple[Diagnosis, ...]:
    """Return what *text* says, best first and never empty.

    *text* is any ECS event, stopped reason, API failure or container log, of any length: at most its first
    200 and last 1800 lines are looked at, and 4000 characters of a line. *looked_for* is the whole table,
    or the part of it that is asked about.
    """
    lines = lines_of(text)
    found = _hits_of_best_reading(lines, patterns() if looked_for is None else looked_for)
    if any(hit.cause.code in _HEALTH_CHECKS for hit in found):
        # Exit 137 beside a failed health check is how ECS stopped the task, no memory limit
        # (docs/aws-facts.md#stopped-tasks).
        found = tuple(hit for hit in found if not _is_bare_kill(hit))
        if all(hit.cause.is_symptom for hit in found) and still_loads(lines):
            return (diagnosis("health-check-timing", evidence=[hit.line for hit in found]),)
    if any(not hit.cause.is_symptom for hit in found):
        found = tuple(hit for hit in found if not hit.cause.is_symptom)
    if not found:
        return (diagnosis("unknown", evidence=[line for line in lines if line.strip()][-1:]),)
    groups = _grouped(found)
    if next(iter(groups)) != "unknown" or not groups["unknown"].cause.is_symptom:
        _leave_out_unknown(groups)
    return tuple(group.diagnosis() for group in groups.values())


def readings(lines: Sequence[str]) -> Iterator[str]:
    """Return the ways to read *lines*: as they stand, with escaped line ends and letters as such, and joined.

    A JSON string holds its line ends as `\\n`, its tabs and other letters so too; a console or a table wraps
    a sentence between its words, a narrow column also inside of them.
    """
    yield "\n".join(lines)
    if any(_ESCAPE.search(line) for line in lines):
        yield _ESCAPE.sub(_unescaped, "\n".join(lines))
    if _is_wrapped(lines):
        for glue in (" ", ""):
            yield glue.join(line.strip() for line in lines)


def _hits_of_best_reading(lines: Sequence[str], looked_for: Sequence[Pattern]) -> tuple[Hit, ...]:
    """Return what *lines* prove as they stand or, where that is no clear cause, read in another way."""
    best: tuple[Hit, ...] = ()
    one_line = any(_ESCAPE.search(line) for line in lines)
    for number, reading in enumerate(readings(lines)):
        found = hits(reading, looked_for)
        if one_line and number == 0:
            # Several lines stand in one: whether a failure is only a warning's is told once they are apart.
            found = tuple(hit for hit in found if hit.cause.rank < LOGGED_RANK)
        best = min(best, found, key=_rank)
        if _rank(best) < _WEAK_RANK:
            break
    return best


def _unescaped(escape: re.Match[str]) -> str:
    """Return what *escape* stands for; half of a surrogate pair is no letter by itself."""
    if escape[2]:
        letter = chr(int(escape[2], 16))
        return "?" if "\ud800" <= letter <= "\udfff" else letter
    return "\n" if escape[1] in ("n", "r") else " "


def _is_wrapped(lines: Sequence[str]) -> bool:
    """Say whether *lines* look like one text cut at a width: no line had room for the next one's first word.

    Two separate log lines pass that by chance, so a second line that begins like an own entry does not.
    """
    if not 1 < len(lines) <= _MAX_WRAPPED or not all(line.strip() for line in lines):
        return False
    if len(lines) == 2 and lines[1][:1].isupper():
        return False
    width = max(map(len, lines))
    return width >= _MIN_WIDTH and all(
        len(line) + 1 + len(after.split()[0]) > width for line, after in pairwise(lines)
    )


def _rank(found: Sequence[Hit]) -> int:
    return min((hit.cause.rank for hit in found), default=_NOTHING)


def _is_bare_kill(hit: Hit) -> bool:
    """Say whether *hit* knows of a SIGKILL only, which need not be a memory limit."""
    return hit.cause.code == "out-of-memory" and hit.cause.is_symptom


def _leave_out_unknown(groups: dict[str, _Group]) -> None:
    """Drop what has no code where something else is known, but never the last group."""
    if len(groups) > 1:
        groups.pop("unknown", None)


def _grouped(found: Iterable[Hit]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for hit in sorted(found, key=lambda hit: (hit.cause.rank, hit.number)):
        groups.setdefault(hit.cause.code, _Group(cause=hit.cause)).add(hit.cause, (hit.line,))
    return groups


def diagnoses_of(
    *,
    tasks: Sequence[Task],
    events: Sequence[Event] = (),
    target_health: Sequence[TargetHealth] = (),
    log_tails: Sequence[LogTail] = (),
    instances: Sequence[Instance] = (),
    service: Service | None = None,
    timing: HealthTiming | None = None,
    reasons: Sequence[str] = (),
    proven: Mapping[str, str] | None = None,
    side: frozenset[str] = frozenset(),
) -> tuple[Diagnosis, ...]:
    """Return the causes of a rollout's failures, root causes first, grouped: one Diagnosis per code.

    *tasks* may hold running ones; *events* are those since the deployment began; *reasons* are further
    texts of AWS: statusReason, rollback.reason, RunTask `failures[].reason`; *proven* maps codes that
    a field of AWS's answers proves to their evidence; *side* names the containers that are not
    essential. Tasks that a deployment or a user stopped are no failures. Empty when nothing failed.
    """
    groups: dict[str, _Group] = {}
    context = _Context(
        log_tails=log_tails,
        timing=timing,
        status_codes=_failing_status_codes(events, target_health),
        side=side,
    )
    for task in tasks:
        finding = _finding(task, context)
        if finding:
            group = groups.setdefault(finding.cause.code, _Group(cause=finding.cause))
            group.add(finding.cause, finding.evidence)
            group.message = group.message or finding.message
            group.tasks.append(task.id)
    others = [
        *_event_hits(events, service),
        *(hit for reason in reasons for hit in hits(reason, patterns(AWS_SOURCES))),
        *_target_hits(target_health),
        *(Hit(cause=cause_of(code), number=0, line=line) for code, line in (proven or {}).items()),
    ]
    _add_others(groups, [hit for hit in others if hit.cause.rank < NORMAL_RANK])
    _add_instances(groups, tasks, instances)
    ordered = sorted(groups.values(), key=lambda group: group.cause.rank)
    return tuple(group.diagnosis() for group in ordered)


def _finding(task: Task, context: _Context) -> _Finding | None:
    """Return why *task* ended, or None while it runs and when it was meant to end."""
    reason = task.stopped_reason
    if not (task.stop_code or reason or task.last_status == "STOPPED"):
        return None
    if task.stop_code == "UserInitiated" or _NORMAL_STOP.search(reason):
        return None
    if code := _STOP_CODES.get(task.stop_code):
        return _Finding(cause=cause_of(code), evidence=(reason or f"stopCode {task.stop_code}",))
    reason_hits = hits(reason, patterns(_REASON_SOURCES))
    beside = context.beside(task)
    container_hits = tuple(
        hit
        for c in task.containers
        if c.reason and c.name not in beside
        for hit in hits(c.reason, patterns(frozenset({Source.CONTAINER_REASON})))
    )
    log_hits = hits(context.lines_of(task), patterns(frozenset({Source.LOG})))
    check = next((hit.cause for hit in reason_hits if hit.cause.code in _HEALTH_CHECKS), None)
    if check:
        log_hits = tuple(hit for hit in log_hits if not _is_bare_kill(hit))
    proofs = sorted((*container_hits, *log_hits, *reason_hits), key=lambda hit: hit.cause.rank)
    causes = [hit for hit in proofs if not hit.cause.is_symptom]
    by_scheduler = task.stop_code == "ServiceSchedulerInitiated" and not reason_hits
    is_normal = by_scheduler or _is_finished_batch(task)
    if is_normal:
        causes = [hit for hit in causes if hit not in log_hits]
    if causes:
        best = causes[0].cause
        lines = [hit.line for hit in causes if hit.cause.code == best.code]
        return _Finding(cause=best, evidence=(*lines[:3], *_stop_lines(task, check)))
    if check:
        return _health_finding(task, check, log_hits, context)
    return None if is_normal else _exit_finding(task, log_hits, reason_hits, context.side)


def _health_finding(task: Task, check: Cause, log_hits: Sequence[Hit], context: _Context) -> _Finding:
    """Tell "killed while still loading" from a health check that fails for another reason."""
    lines = context.lines_of(task)
    evidence = (task.stopped_reason, *(hit.line for hit in log_hits[:2]), *lines[-2:])
    if context.timing and all(hit.cause.rank >= LOGGED_RANK for hit in log_hits):
        kill = Kill(
            task=task,
            by_load_balancer=check.code == "health-check-elb",
            lines=lines,
            earlier=context.lines_of_others(task),
            status_codes=context.status_codes,
        )
        if message := loading_message(kill, context.timing):
            return _Finding(cause=cause_of("health-check-timing"), evidence=evidence, message=message)
    return _Finding(cause=check, evidence=evidence)


def _exit_finding(
    task: Task, log_hits: Sequence[Hit], reason_hits: Sequence[Hit], side: frozenset[str]
) -> _Finding | None:
    """Name the exit code of the container that ended the task; None for a scheduler's normal stop."""
    culprit = culprit_of(task.containers, side)
    lines = tuple(hit.line for hit in log_hits[-3:])
    if culprit and culprit.exit_code is not None and task.stop_code != "ServiceSchedulerInitiated":
        code = culprit.exit_code
        said = f"exit code {code}" + (f" ({_EXIT_CODES[code]})" if code in _EXIT_CODES else "")
        cause = cause_of("command-not-found" if code in {126, 127} else "container-exit")
        message = "" if code in {126, 127} else _ended(culprit, said, task, side)
        own = f"{culprit.name}: {said}" + (f", {culprit.reason}" if culprit.reason else "")
        return _Finding(cause=cause, evidence=(*lines, own, task.stopped_reason), message=message)
    symptoms = sorted((*log_hits, *reason_hits), key=lambda hit: hit.cause.rank)
    if symptoms and symptoms[0].cause.rank < NORMAL_RANK:
        return _Finding(cause=symptoms[0].cause, evidence=(*lines, task.stopped_reason))
    if task.stop_code == "ServiceSchedulerInitiated":
        return None
    texts = [task.stopped_reason, *(c.reason for c in task.containers), f"stopCode {task.stop_code}"]
    return _Finding(cause=cause_of("unknown"), evidence=tuple(texts))


def _is_finished_batch(task: Task) -> bool:
    """Say whether *task* is no service's and all its containers ended with 0: a batch that is done."""
    of_service = task.group.startswith("service:") or task.started_by.startswith("ecs-svc/")
    return bool(task.containers) and not of_service and all(c.exit_code == 0 for c in task.containers)


def _ended(culprit: Container, said: str, task: Task, side: frozenset[str]) -> str:
    """Say how the culprit ended and, where that alone does not tell, why the task stopped with it."""
    done = [c.name for c in task.containers if c.exit_code == 0 and c.name not in {*side, culprit.name}]
    if culprit.exit_code == 0 and len(task.containers) > 1:
        return f"The container {culprit.name} is essential and ended with {said}, so ECS stopped the task."
    if culprit.exit_code in {SIGKILL, SIGTERM} and done:
        return (
            f"The container {culprit.name} ended with {said}; {', '.join(done)}, essential too, ended "
            "with 0: the first of them to end stopped the task."
        )
    return f"The container {culprit.name} ended with {said}."


def _stop_lines(task: Task, check: Cause | None) -> tuple[str, ...]:
    exits = [f"{c.name}: exit code {c.exit_code}" for c in task.containers if c.exit_code]
    return (task.stopped_reason, *(() if check else exits))


def _event_hits(events: Sequence[Event], service: Service | None) -> list[Hit]:
    """Return what events prove; a lack of capacity that a later start resolved is none."""
    resolved = -1.0
    if not _still_short(service):
        resolved = max((e.created_at for e in events if _STARTED.search(e.message)), default=-1.0)
    return [
        hit
        for event in sorted(events, key=lambda event: -event.created_at)
        for hit in hits(event.message, patterns(frozenset({Source.EVENT})))
        if not (hit.cause.code in CAPACITY and event.created_at < resolved)
    ]


def _still_short(service: Service | None) -> bool:
    primary = service.primary if service else None
    return bool(primary and primary.running_count + primary.pending_count < primary.desired_count)


def _target_hits(target_health: Sequence[TargetHealth]) -> list[Hit]:
    said = (
        f"{target.target_id}:{target.port} {target.state}: {target.reason} {target.description}"
        for target in target_health
        if target.state.startswith("unhealthy")
    )
    return [hit for line in said for hit in hits(line, patterns(frozenset({Source.TARGET_HEALTH})))]


def _failing_status_codes(events: Sequence[Event], target_health: Sequence[TargetHealth]) -> frozenset[int]:
    """Return the HTTP status codes that load balancer health checks got instead of a good one."""
    texts = [event.message for event in events] + [target.description for target in target_health]
    found = (re.findall(r"with these codes: \[([\d, ]{1,60})\]", text) for text in texts)
    return frozenset(
        int(code) for groups in found for group in groups for code in re.findall(r"\d{3}", group)
    )


def _add_others(groups: dict[str, _Group], others: Sequence[Hit]) -> None:
    """Merge what is not tied to a task: a symptom only where nothing better is known."""
    from_tasks = bool(groups)
    causes = [hit for hit in others if not hit.cause.is_symptom]
    for hit in causes:
        groups.setdefault(hit.cause.code, _Group(cause=hit.cause)).add(hit.cause, (hit.line,))
    for hit in (hit for hit in others if hit.cause.is_symptom):
        code = hit.cause.code
        if code in _HEALTH_CHECKS and "health-check-timing" in groups:
            code = "health-check-timing"
        if code in groups:
            groups[code].add(groups[code].cause, (hit.line,))
        elif not from_tasks and not causes:
            groups.setdefault(code, _Group(cause=hit.cause)).add(hit.cause, (hit.line,))
    if len(groups) > 1 and "unknown" in groups and not groups["unknown"].tasks:
        del groups["unknown"]


def _add_instances(groups: dict[str, _Group], tasks: Sequence[Task], instances: Sequence[Instance]) -> None:
    """Name a disconnected agent where it matters: under a task of ours, or when no agent answers."""
    lost = {instance.arn for instance in instances if not instance.agent_connected}
    ours = [task for task in tasks if task.container_instance_arn in lost and task.last_status != "STOPPED"]
    if not lost or not (ours or len(lost) == len(instances)):
        return
    cause = cause_of("agent-disconnected")
    group = groups.setdefault(cause.code, _Group(cause=cause))
    group.add(cause, (f"{arn}: agentConnected false" for arn in sorted(lost)))
    group.tasks += [task.id for task in ours if task.id not in group.tasks]


def _lower_first(text: str) -> str:
    """Return *text* as it goes on within a sentence: an abbreviation keeps its capitals."""
    return text if any(map(str.isupper, text.partition(" ")[0][1:])) else text[:1].lower() + text[1:]
