"""Say what a look at the rollout showed: events, failed tasks, why nothing is placed, what is late."""

from __future__ import annotations

from ecs_gpu_deploy.core.capacity.shortage import Answer
from ecs_gpu_deploy.core.judge.observed import History, is_failure
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.failures_view import failure_lines
from ecs_gpu_deploy.core.show.progress import Progress
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.model import Event, Finding, Service, Severity

_SHOWN_EVENTS = 160
_ROUTINE = (
    "has started ",
    "registered ",
    "deregistered ",
    "has begun draining",
    "has stopped ",
    "has reached a steady state",
    "deployment completed",
)
_LATE = {
    PhaseName.PLACEMENT: "The line above says what it lacks; placement-timeout ends the wait.",
    PhaseName.PULL: "A large image on a cold instance, or a slow way to the registry: keep the layers on the "
    "instance's disk, or pull through a VPC endpoint.",
    PhaseName.START: "Creating the container hangs: look at the NVIDIA runtime, volumes and secrets.",
    PhaseName.LOAD: "The tasks run but are not healthy: look at their logs and at the health check's path.",
    PhaseName.TRAFFIC: "The load balancer has not accepted the new targets: look at path, port and matcher "
    "of its health check, and at the security groups.",
    PhaseName.DRAIN: "Old tasks are slow to leave: deregistration delay, stopTimeout or task protection.",
}


class Shower:
    """What has been said already, so that it is said once."""

    def __init__(self, reporter: Reporter, service: Service) -> None:
        self._reporter = reporter
        self._events: set[str] = {event.id for event in service.events}
        self._most_events = len(self._events) + _SHOWN_EVENTS
        self._tasks: set[str] = set()
        self._answer: Answer | None = None
        self._late: dict[PhaseName, Finding] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the phases that were late."""
        return tuple(self._late.values())

    def show_seen(self, history: History, service: Service, now: float) -> None:
        """Say what is new in *history*: events, failed tasks, why nothing finds a place."""
        for event in history.events:
            if event.id not in self._events and len(self._events) < self._most_events:
                self._events.add(event.id)
                self._show_event(event, service, now)
        failed = [task for task in history.stopped if task.arn not in self._tasks and is_failure(task)]
        for line in failure_lines(failed):
            self._reporter.say(line, now=now)
        self._tasks = {task.arn for task in history.stopped}
        shortage = history.shortage
        if shortage is not None and shortage.answer != self._answer:
            self._reporter.say(f"no place: {shortage.message}", now=now)
        self._answer = shortage.answer if shortage is not None else None

    def show_progress(self, progress: Progress) -> None:
        """Show how far it is, and say once where a phase is late."""
        if progress.is_late and not progress.rolling_back and progress.phase not in self._late:
            message = (
                f"The phase {progress.phase} takes longer than its deadline of {span(progress.deadline)}."
            )
            hint = _LATE[progress.phase]
            self._late[progress.phase] = Finding(
                code="late", severity=Severity.WARNING, message=message, hint=hint
            )
            self._reporter.say(f"late: {message} {hint}", now=progress.at)
        self._reporter.progress(progress)

    def _show_event(self, event: Event, service: Service, now: float) -> None:
        message = event.message.removeprefix(f"(service {service.name}) ")
        if not message.startswith(_ROUTINE) and "deployment completed" not in message:
            self._reporter.event(event.message, service=service.name, now=now)
