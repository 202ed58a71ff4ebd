"""Watch a rollout to its verdict: look → observed → judge → show, until it is over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.capacity.shortage import Answer
from ecs_gpu_deploy.core.diagnose.rollout_causes import diagnoses_at_end, phases_at_end
from ecs_gpu_deploy.core.judge.confirm import failures_of
from ecs_gpu_deploy.core.judge.evidence import is_failure
from ecs_gpu_deploy.core.judge.observed import (
    History,
    Snapshot,
    Watched,
    history_at_start,
    is_ours,
    observed,
    ours_of,
)
from ecs_gpu_deploy.core.judge.pace import (
    LAST_LOOK_SECONDS,
    LATE_LINES_SECONDS,
    LATE_LINES_STEP_SECONDS,
    LONGEST_LOOK_SECONDS,
    seconds_to_look_again,
    seconds_to_next_look,
)
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.rollout import by_aws, judge
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.core.show.failures_view import failure_lines
from ecs_gpu_deploy.core.show.progress import Progress, TaskGpus, gpus_of, progress_of
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.model import Event, LogTail, Service
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Phase, Severity
from ecs_gpu_deploy.steps.observe_rollout import Looker

__all__ = ["Ending", "Watch", "Watcher"]


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
    gpus: tuple[TaskGpus, ...] = ()


class Watcher:
    """The loop."""

    def __init__(
        self, aws: Aws, ecs: Ecs, clock: Clock, reporter: Reporter, *, watch: Watch, service: Service
    ) -> None:
        watch = self._watch = replace(watch, watched=_knowing_events(watch.watched, service))
        self._aws, self._clock = aws, clock
        self._goes_back = False
        self._looker = Looker(aws, ecs, reporter, watch=watch, service=service)
        self._shower = Shower(reporter, service)
        self._key: tuple[object, ...] = ()
        self._changed_at = watch.watched.started_at
        self.history = history_at_start(watch.watched)

    @property
    def arn(self) -> str:
        """Return the ARN of our service deployment, "" while it is unknown."""
        return self._looker.arn

    @property
    def watched(self) -> Watched:
        """Return what is waited for."""
        return self._watch.watched

    @property
    def facts(self) -> PhaseFacts:
        """Return the settings from which deadlines follow."""
        return self._watch.facts

    @property
    def service(self) -> Service:
        """Return the service as it was last seen."""
        return self._looker.service

    def wait(self) -> Ending:
        """Look at AWS until there is a verdict. Refused where the credentials end or AWS says no."""
        watch = self._watch
        while True:
            now = self._clock.now()
            snapshot, answer = self._judged(now)
            if isinstance(answer, Waiting) and answer.closer:
                snapshot, answer = self._judged(now, whole=True)
            self._shower.show_seen(self.history, self.service, now)
            if isinstance(answer, Verdict):
                return self.explained(answer)
            progress = progress_of(
                watch.watched, watch.facts, self.history, snapshot, answer, service=self.service
            )
            if progress.key != self._key:
                self._key, self._changed_at = progress.key, now
            self._shower.show_progress(progress)
            self._clock.sleep(
                seconds_to_next_look(
                    watch.watched,
                    watch.facts,
                    self.history,
                    snapshot,
                    interval=watch.poll_interval,
                    given=watch.keeps_interval,
                    quiet=now - self._changed_at,
                )
            )

    def wait_for_aws(self, until: float, *, going_back_to: str = "") -> Verdict | Waiting:
        """Look at AWS until its own verdict comes, or *until* (epoch seconds): we have ended our wait.

        *going_back_to* is the revision to which we go back with a deployment of our own: then no service
        deployment tells of it, and a deployment of that revision is none that supersedes.
        """
        watch, watched, whole = self._watch, self.watched, False
        while True:
            now = self._clock.now()
            snapshot = self._looker.look(self.history, now, whole=whole)
            if going_back_to:
                snapshot = replace(snapshot, deployment=None, api_closed=True)
                watched = _with_ours_to(going_back_to, watched, snapshot)
            self.history = observed(watched, self.history, snapshot)
            answer = by_aws(watched, snapshot, self.history, now, watch.facts)
            if isinstance(answer, Waiting) and answer.closer and not whole:
                whole = True
                continue
            whole = False
            self._shower.show_seen(self.history, self.service, now)
            if isinstance(answer, Verdict) or now >= until:
                return answer
            shown = progress_of(watched, watch.facts, self.history, snapshot, answer, service=self.service)
            self._shower.show_progress(shown)
            self._clock.sleep(seconds_to_look_again(watch.poll_interval, now=now, until=until))

    def explained(self, verdict: Verdict) -> Ending:
        """Return the ending with *verdict*, after a last look at what may explain a bad one."""
        if verdict.outcome != Outcome.SUCCEEDED:
            late = verdict.outcome == Outcome.TIMED_OUT
            with self._aws.bounded(LAST_LOOK_SECONDS if late else None):
                self._wait_for_late_lines(verdict, 0.0 if late else LATE_LINES_SECONDS)
                self._looker.look_at_instances_of((*self.history.live, *self.history.since_healthy))
        return self.ending(verdict)

    def _wait_for_late_lines(self, verdict: Verdict, seconds: float) -> None:
        """Ask for the log of failed tasks once more; for a while, where none of them has shown a line yet."""
        until = self._clock.now() + seconds
        while not self._is_explained(verdict):
            now = self._clock.now()
            if not self._looker.tail_again(failures_of(self.history), self.history, now) or now >= until:
                return
            self._clock.sleep(LATE_LINES_STEP_SECONDS)

    def _is_explained(self, verdict: Verdict) -> bool:
        """Say whether the cause is known without the lines that have not come yet."""
        found = diagnoses_at_end(verdict, self._watch, self.history, self._looker.last)
        return bool(found) and found[0].code not in _UNEXPLAINED

    def _judged(self, now: float, *, whole: bool = False) -> tuple[Snapshot, Verdict | Waiting]:
        watch = self._watch
        with self._aws.bounded(self._look_seconds(now)):
            snapshot = self._looker.look(self.history, now, whole=whole)
        self.history = observed(watch.watched, self.history, snapshot)
        answer = judge(watch.watched, snapshot, self.history, now, watch.facts)
        self._goes_back = isinstance(answer, Waiting) and answer.rolling_back
        return snapshot, answer

    def _look_seconds(self, now: float) -> float:
        """Return how many seconds a look may take: until the timeout, but where AWS rolls back."""
        if self._goes_back:
            return LONGEST_LOOK_SECONDS
        left = self.watched.started_at + self.watched.timeout - now
        return min(max(left, LAST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)

    def ending(self, verdict: Verdict) -> Ending:
        """Return what is known now, with *verdict* over it. Asks AWS for nothing more."""
        looker, history = self._looker, self.history
        diagnoses = diagnoses_at_end(verdict, self._watch, history, looker.last)
        findings = self._shower.findings
        if verdict.outcome == Outcome.SUCCEEDED:
            diagnoses = _of_failures(diagnoses, history)
            findings = _failures_before_success(verdict, diagnoses, history)
        requirement = self._watch.requirement
        return Ending(
            verdict=verdict,
            diagnoses=diagnoses,
            findings=(*looker.findings, *findings),
            phases=phases_at_end(self._watch.facts, history),
            service=looker.service,
            service_deployment_arn=looker.arn,
            history=history,
            log_tails=looker.last.log_tails,
            gpus=gpus_of(
                history,
                requirement.gpu_count if requirement else 0.0,
                finished_at=looker.deployment.finished_at if looker.deployment else None,
            ),
        )


def _of_failures(diagnoses: tuple[Diagnosis, ...], history: History) -> tuple[Diagnosis, ...]:
    """Return the causes for which tasks of a rollout that succeeded had failed."""
    failed = {task.id for task in failures_of(history)}
    return tuple(each for each in diagnoses if failed.intersection(each.tasks))


def _failures_before_success(
    verdict: Verdict, diagnoses: tuple[Diagnosis, ...], history: History
) -> tuple[Finding, ...]:
    """Return the warning over a success before which tasks of the new revision failed."""
    failed = failures_of(history)
    if not failed:
        return ()
    why = f" ({', '.join(each.code for each in diagnoses)})" if diagnoses else ""
    good = "" if verdict.stable else " It was not marked as good to roll back to."
    return (
        Finding(
            code="tasks-failed",
            severity=Severity.WARNING,
            message=f"{count(len(failed), 'task')} of the new revision failed before it was up{why}.{good}",
            hint="Look at their cause before you rely on this revision.",
        ),
    )


def _with_ours_to(revision: str, watched: Watched, snapshot: Snapshot) -> Watched:
    """Return *watched* for which the deployments of *revision* are no strangers: we go back with one."""
    shown = snapshot.service.deployments if snapshot.service is not None else ()
    back = {each.id for each in shown if each.task_definition == revision and not is_ours(watched, each)}
    return replace(watched, baseline=watched.baseline | back)


def _knowing_events(watched: Watched, service: Service) -> Watched:
    """Return *watched* with the events of *service* that are older than our deployment, by AWS's clock."""
    ours = ours_of(watched, service)
    old = (e.id for e in service.events if ours is None or e.created_at < ours.created_at)
    return replace(watched, known_events=watched.known_events | frozenset(old))


_UNEXPLAINED = frozenset({"container-exit", "unknown", "no-rollback-candidate"})
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
