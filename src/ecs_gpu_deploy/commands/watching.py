"""Watch a rollout to its verdict: look → observed → judge → show, until it is over.

What passes (throttling, 5xx, a broken connection) is survived and said; what is closed to us for good is
asked once. Stopped tasks and their last log lines are collected during the wait: a rollback removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import botocore.exceptions
import botocore.parsers

from ecs_gpu_deploy.core.diagnosis import diagnoses_of, diagnosis
from ecs_gpu_deploy.core.phases import PhaseFacts, PhaseName, deadlines
from ecs_gpu_deploy.core.rollout import (
    SETTLE_SECONDS,
    History,
    Snapshot,
    Verdict,
    Waiting,
    Watched,
    failures_in_a_row,
    history_at_start,
    is_failure,
    judge,
    observed,
)
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.edges.aws import Aws, error_text, is_passing, refused
from ecs_gpu_deploy.edges.clock import Clock
from ecs_gpu_deploy.edges.ecs import Ecs, HalfAnswer, is_unavailable
from ecs_gpu_deploy.edges.load_balancer import observe_targets
from ecs_gpu_deploy.edges.logs import fetch_log_tail
from ecs_gpu_deploy.edges.reporter import Reporter
from ecs_gpu_deploy.model import (
    Diagnosis,
    Finding,
    LogTail,
    Outcome,
    Phase,
    Service,
    ServiceDeployment,
    Severity,
    TargetHealth,
    Task,
    short_id,
)

T = TypeVar("T")

_SERVICE_SECONDS = 15.0
_TASKS_SECONDS = 30.0
_SLOW = {PhaseName.PLACEMENT: 2.0, PhaseName.PULL: 2.0, PhaseName.LOAD: 2.0, PhaseName.DRAIN: 2.0}
_SLOW_AFTER = 30.0
_LOG_TAILS = 12
_SHOWN_EVENTS = 60
_ROUTINE = (
    "has started ",
    "registered ",
    "deregistered ",
    "has begun draining",
    "has stopped ",
    "has reached a steady state",
    "deployment completed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the wait needs besides AWS: the rollout, its deadlines, and where the containers log."""

    watched: Watched
    facts: PhaseFacts
    containers: tuple[Mapping[str, Any], ...]
    poll_interval: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the wait ended, with everything that explains it."""

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    findings: tuple[Finding, ...]
    phases: tuple[Phase, ...]
    service: Service
    service_deployment_arn: str
    history: History
    log_tails: tuple[LogTail, ...] = ()


class Watcher:
    """The loop, and what it remembers of AWS between two looks."""

    def __init__(
        self, aws: Aws, ecs: Ecs, clock: Clock, reporter: Reporter, *, watch: Watch, service: Service
    ) -> None:
        self._aws, self._ecs, self._clock, self._reporter, self._watch = aws, ecs, clock, reporter, watch
        self._service: Service | None = service
        self._last_service = service
        self._deployment: ServiceDeployment | None = None
        self._deployment_key: tuple[object, ...] = ()
        self._closed: dict[str, Finding] = {}
        self._blind: dict[str, str] = {}
        self._service_at = self._tasks_at = 0.0
        self._service_key: tuple[object, ...] = ()
        self._seen_key: tuple[object, ...] = ()
        self._log_tails: dict[str, LogTail] = {}
        self._tailed: set[str] = set()
        self._shown_events: set[str] = {event.id for event in service.events}
        self._shown_tasks: set[str] = set()
        self._last_key = ""
        self._changed_at = watch.watched.started_at
        self.history = history_at_start(watch.watched)
        self.arn = ""

    def wait(self) -> Ending:
        """Look at AWS until there is a verdict. Refused where the credentials end or AWS says no."""
        watched = self._watch.watched
        while True:
            now = self._clock.now()
            snapshot = self._look(now)
            self.history = observed(watched, self.history, snapshot)
            answer = judge(watched, snapshot, self.history, now)
            self._show(answer, snapshot, now)
            if isinstance(answer, Verdict):
                return self.ending(answer)
            left = watched.started_at + watched.timeout - now
            self._clock.sleep(max(0.2, min(self._interval(now), left)))

    def ending(self, verdict: Verdict) -> Ending:
        """Return what is known now, with *verdict* over it."""
        diagnoses = () if verdict.outcome == Outcome.SUCCEEDED else self._diagnoses(verdict)
        return Ending(
            verdict=verdict,
            diagnoses=diagnoses,
            findings=tuple(self._closed.values()),
            phases=self._phases(),
            service=self._last_service,
            service_deployment_arn=self.arn,
            history=self.history,
            log_tails=tuple(self._log_tails.values()),
        )

    def _interval(self, now: float) -> float:
        """Return the seconds to the next look: longer while a quiet phase goes on as it should."""
        factor = _SLOW.get(self.history.phase, 1.0) if now - self._changed_at >= _SLOW_AFTER else 1.0
        return self._watch.poll_interval * factor

    # Looking

    def _look(self, now: float) -> Snapshot:
        before = self._deployment_key
        self._look_at_deployment(now)
        ended = self._deployment is not None and self._deployment.status.is_terminal
        due = self._deployment is None or self._deployment_key != before or ended
        if due or now - self._service_at >= _SERVICE_SECONDS:
            self._look_at_service(now)
        tasks: tuple[Task, ...] | None = None
        targets: tuple[TargetHealth, ...] = ()
        changed = ended or self._service_key != self._seen_key
        if changed or now - self._tasks_at >= _TASKS_SECONDS:
            self._seen_key = self._service_key
            tasks = self._look_at_tasks(now, with_stopped=changed)
            targets = self._look_at_targets(tasks)
        return Snapshot(
            at=now,
            service=self._service,
            deployment=self._deployment,
            api_closed="service-deployments" in self._closed,
            tasks=tasks,
            target_health=targets,
        )

    def _look_at_deployment(self, now: float) -> None:
        if "service-deployments" in self._closed:
            return
        if not self.arn:
            self._find_deployment(now)
            if not self.arn:
                return
        found = self._try("service-deployments", lambda: self._ecs.observe_deployment(self.arn))
        if found is not None:
            self._deployment = found
            self._deployment_key = (
                found.status,
                found.running_tasks,
                found.pending_tasks,
                found.breaker_failures,
                found.breaker_status,
                found.lifecycle_stage,
            )
        elif "service-deployments" in self._closed:
            self._deployment = None

    def _find_deployment(self, now: float) -> None:
        """Find the service deployment whose target revision carries the N of `ecs-svc/N` (aws-facts A1)."""
        watched = self._watch.watched
        number = short_id(watched.deployment_id)
        briefs = self._try(
            "service-deployments", lambda: self._ecs.fetch_deployments(self._last_service.name)
        )
        for brief in briefs or ():
            if short_id(brief.target_revision_arn) == number:
                self.arn = brief.arn
                return
        if briefs is not None and now - watched.started_at > SETTLE_SECONDS:
            self._close(
                "service-deployments",
                "AWS lists no service deployment for ours, so the classic deployments decide.",
                "",
            )

    def _look_at_service(self, now: float) -> None:
        name = self._last_service.name
        missing = object()
        found = self._try("service", lambda: self._ecs.observe_service(name) or missing)
        if found is None:
            return
        self._service_at = now
        if found is missing:
            self._service = None
            return
        if not isinstance(found, Service):
            return
        self._service = self._last_service = found
        self._service_key = (
            found.running_count,
            found.pending_count,
            tuple(
                (d.id, d.status, d.running_count, d.pending_count, d.failed_tasks) for d in found.deployments
            ),
            found.events[0].id if found.events else "",
        )

    def _look_at_tasks(self, now: float, *, with_stopped: bool) -> tuple[Task, ...] | None:
        known = [task.arn for task in self.history.stopped]
        tasks = self._try(
            "tasks",
            lambda: self._ecs.observe_tasks(
                self._last_service.name, known_stopped=known, with_stopped=with_stopped
            ),
        )
        if tasks is None:
            return None
        self._tasks_at = now
        ours = self._watch.watched.deployment_id
        for task in tasks:
            if task.started_by == ours and task.last_status == "STOPPED" and is_failure(task):
                self._tail_logs(task)
        return tasks

    def _look_at_targets(self, tasks: tuple[Task, ...] | None) -> tuple[TargetHealth, ...]:
        if not any(task.last_status == "RUNNING" for task in tasks or ()):
            return ()
        found: list[TargetHealth] = []
        for arn in self._last_service.target_group_arns:
            found += self._try("targets", partial(observe_targets, self._aws, arn)) or ()
        return tuple(found)

    def _tail_logs(self, task: Task) -> None:
        """Keep the last lines of a failed task; of many failed ones, the first few tell enough."""
        if task.id in self._tailed or len(self._tailed) >= _LOG_TAILS or not self._started(task):
            return
        self._tailed.add(task.id)
        for container in self._watch.containers:
            tail = fetch_log_tail(self._aws, container, task.id)
            self._log_tails[f"{task.id}/{tail.container}"] = tail

    def _started(self, task: Task) -> bool:
        return task.started_at is not None or any(c.exit_code is not None for c in task.containers)

    def _try(self, what: str, look: Callable[[], T]) -> T | None:
        """Return what *look* sees; None where AWS passes or closes it. Our own errors come through."""
        if what in self._closed:
            return None
        try:
            seen = look()
        except (
            HalfAnswer,
            botocore.exceptions.ClientError,
            botocore.exceptions.HTTPClientError,
            botocore.exceptions.ConnectionError,
            botocore.parsers.ResponseParserError,
        ) as error:
            if is_unavailable(error) and what != "service":
                self._close(what, f"AWS does not show us {_WHAT[what]}: {error_text(error)}", _NEEDS[what])
            elif isinstance(error, HalfAnswer) or is_passing(error):
                self._say_blind(what, error_text(error))
            else:
                raise refused(error, f"see {_WHAT[what]}") from error
            return None
        if what in self._blind:
            del self._blind[what]
            self._reporter.say(f"AWS answers again about {_WHAT[what]}")
        return seen

    def _close(self, what: str, message: str, hint: str) -> None:
        self._closed[what] = Finding(code="cannot-see", severity=Severity.WARNING, message=message, hint=hint)
        self._reporter.say(f"warning: {message} {hint}".rstrip())

    def _say_blind(self, what: str, why: str) -> None:
        if what not in self._blind:
            self._reporter.say(f"AWS does not answer about {_WHAT[what]} just now ({why}); the wait goes on")
        self._blind[what] = why

    # Showing

    def _show(self, answer: Verdict | Waiting, snapshot: Snapshot, now: float) -> None:
        self._show_events(now)
        self._show_failures(now)
        if isinstance(answer, Verdict):
            return
        history, watched = self.history, self._watch.watched
        ours = next((d for d in self._last_service.deployments if d.id == watched.deployment_id), None)
        limits = deadlines(self._watch.facts)
        parts = [f"{history.phase} {span(now - history.phase_since)} of {span(limits[history.phase])}"]
        if ours is not None:
            parts.append(f"new {ours.running_count}/{ours.desired_count} running")
        old = sum(d.running_count for d in self._last_service.deployments if d.id != watched.deployment_id)
        if old:
            parts.append(f"old {old}")
        failures = snapshot.deployment.breaker_failures if snapshot.deployment else 0
        threshold = snapshot.deployment.breaker_threshold if snapshot.deployment else 0
        failed = max(failures, len(failures_in_a_row(history)))
        if self._last_service.circuit_breaker.enable and threshold and failures:
            parts.append(f"breaker {failures}/{threshold}")
        elif failed:
            parts.append(f"{count(failed, 'task')} failed")
        note = answer.note
        if answer.rolling_back:
            parts = [note]
        elif note:
            parts.append(note)
        elif history.unplaced_since is not None:
            waited = now - history.unplaced_since
            parts.append(f"no room for {span(waited)} of {span(watched.placement_timeout)}")
        key = f"{history.phase} {parts[1:3]} {failures} {failed} {note} {history.unplaced_since is None}"
        if key != self._last_key:
            self._changed_at = now
            self._last_key = key
        self._reporter.progress(" · ".join(parts), key=key, now=now)

    def _show_events(self, now: float) -> None:
        for event in self.history.events:
            if event.id in self._shown_events or len(self._shown_events) > _SHOWN_EVENTS + 100:
                continue
            self._shown_events.add(event.id)
            message = event.message.removeprefix(f"(service {self._last_service.name}) ")
            if not message.startswith(_ROUTINE) and "deployment completed" not in message:
                self._reporter.event(event.message, service=self._last_service.name, now=now)

    def _show_failures(self, now: float) -> None:
        for task in self.history.stopped:
            if task.arn in self._shown_tasks:
                continue
            self._shown_tasks.add(task.arn)
            if not is_failure(task):
                continue
            exits = ", ".join(
                f"{c.name} exit {c.exit_code}" + (f" ({c.reason})" if c.reason else "")
                for c in task.containers
                if c.exit_code is not None or c.reason
            )
            ran = (
                f" after {span(task.stopped_at - task.started_at)}"
                if task.stopped_at and task.started_at
                else ""
            )
            self._reporter.say(
                f"task {task.id[:8]} failed{ran}: {task.stopped_reason}" + (f" — {exits}" if exits else ""),
                now=now,
            )

    # Explaining

    def _diagnoses(self, verdict: Verdict) -> tuple[Diagnosis, ...]:
        deployment = self._deployment
        reasons = [verdict.reason]
        if deployment is not None:
            reasons = [r for r in (deployment.rollback_reason, deployment.status_reason) if r]
        failed = tuple(task for task in self.history.stopped if is_failure(task))
        found = diagnoses_of(
            tasks=(*self.history.live, *failed),
            events=self.history.events,
            target_health=self.history.target_health,
            log_tails=tuple(self._log_tails.values()),
            service=self._last_service,
            timing=self._watch.facts.timing,
            reasons=tuple(dict.fromkeys(reasons)),
        )
        if verdict.outcome in {Outcome.SUPERSEDED, Outcome.CANCELLED}:
            return tuple(d for d in found if d.code != "unknown")
        if verdict.outcome == Outcome.NO_CAPACITY and not any(d.code.endswith("capacity") for d in found):
            found = (self._waiting_for_capacity(), *found)
        return found

    def _waiting_for_capacity(self) -> Diagnosis:
        """Return the cause where tasks wait in PROVISIONING and AWS says nothing yet (aws-facts A5)."""
        needs_gpu = any(
            item.get("type") == "GPU"
            for container in self._watch.containers
            for item in container.get("resourceRequirements") or ()
        )
        waiting = [task.id for task in self.history.live if task.last_status == "PROVISIONING"]
        return diagnosis("gpu-capacity" if needs_gpu else "ec2-capacity", tasks=waiting)

    def _phases(self) -> tuple[Phase, ...]:
        limits = deadlines(self._watch.facts)
        seconds = self.history.seconds
        return tuple(
            Phase(name=name, seconds=seconds.get(name, 0.0), deadline=limits[name]) for name in PhaseName
        )


_WHAT = {
    "service-deployments": "the service deployment",
    "service": "the service",
    "tasks": "the tasks",
    "targets": "the targets' health",
}
_NEEDS = {
    "service-deployments": "The classic deployments decide instead; allow ecs:ListServiceDeployments and "
    "ecs:DescribeServiceDeployments for the full picture.",
    "tasks": "Allow ecs:ListTasks and ecs:DescribeTasks: without them neither causes nor digests are seen.",
    "targets": "Allow elasticloadbalancing:DescribeTargetHealth.",
}
