"""Watch a rollout to its verdict: look → observed → judge → show, until it is over."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
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
)
from ecs_gpu_deploy.core.judge.pace import (
    LAST_LOOK_SECONDS,
    LATE_LINES_SECONDS,
    LATE_LINES_STEP_SECONDS,
    LONGEST_LOOK_SECONDS,
    seconds_to_look_again,
    seconds_to_next_look,
)
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.judge.rollout import by_aws, judge
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.core.show.failures_view import failure_lines
from ecs_gpu_deploy.core.show.progress import Progress, TaskGpus, gpus_of, progress_of
from ecs_gpu_deploy.core.text import count, span
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heeded_signals
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Ending
from ecs_gpu_deploy.model import Event, Service, ServiceDeployment
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Severity
from ecs_gpu_deploy.steps.observe_codedeploy import CodeDeployLooker
from ecs_gpu_deploy.steps.observe_rollout import Looker
from ecs_gpu_deploy.steps.take_turns import Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A rollout that goes on in AWS. `cancelled`: the job was since it began.

    `service` is the service as it was seen before the watch, `previous` the ARN of the revision before it.
    `is_way_back`: it takes another one back, so nobody is told how to undo it.
    """

    service: Service
    previous: str
    watch: Watch
    cancelled: bool = False
    is_way_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """What AWS showed of a rollout after the end of our wait: its own verdict, or that it goes on.

    `unseen` says why that was not seen to its end, "" where it was.
    """

    answer: Verdict | Waiting
    service: Service
    history: History
    gpus: tuple[TaskGpus, ...] = ()
    unseen: str = ""


class Watcher:
    """The loop. What it has seen leaves it as a value: an `Ending`, or what AWS did `Later`."""

    def __init__(self, context: Context, rollout: Begun) -> None:
        watch = self._watch = rollout.watch
        self._aws, self._clock = context.aws, context.clock
        self._goes_back = False
        self._looker = (
            CodeDeployLooker(context, watch=watch, service=rollout.service)
            if watch.watched.codedeploy_id
            else Looker(context.aws, context.ecs, context.reporter, watch=watch, service=rollout.service)
        )
        self._seen = self._looker.seen()
        self._shower = Shower(context.reporter, watch.watched.known_events)
        self._key: tuple[object, ...] = ()
        self._changed_at = watch.watched.started_at
        self._history = history_at_start(watch.watched)

    @property
    def deployment(self) -> ServiceDeployment | None:
        """Return the service deployment as it was last seen."""
        return self._seen.last.deployment

    def wait(self, *, cancelled: bool) -> Wait[Ending]:
        """Look at AWS until there is a verdict, or the job is cancelled, or we cannot see it any more.

        The `error` of the ending says why: the credentials ended, or AWS says no.
        """
        verdict = Verdict(
            outcome=Outcome.CANCELLED, reason="The job was cancelled while the rollout went on.", ours=True
        )
        if cancelled:
            return self.ending(verdict)
        try:
            yield 0.0
            return (yield from self._waited())
        except Cancelled:
            self._seen = self._looker.seen()
            return self.ending(verdict)
        except DeployError as error:
            self._seen = self._looker.seen()
            unseen = Verdict(outcome=Outcome(error.outcome), reason=error.message)
            return replace(self.ending(unseen), error=error)

    def _waited(self) -> Wait[Ending]:
        while True:
            with heeded_signals():
                found = self._looked()
            if isinstance(found, Verdict):
                return (yield from self.explained(found))
            yield found

    def _looked(self) -> Verdict | float:
        """Look once and show it; return the verdict, or the seconds to the next look."""
        now = self._clock.now()
        snapshot, answer = self._judged(now)
        if isinstance(answer, Waiting) and answer.closer:
            snapshot, answer = self._judged(now, whole=True)
        watch = self._watch
        service = self._seen.last.service
        self._shower.show_seen(self._history, service, now)
        if isinstance(answer, Verdict):
            return answer
        progress = progress_of(watch.watched, watch.facts, self._history, snapshot, answer, service=service)
        if progress.key != self._key:
            self._key, self._changed_at = progress.key, now
        self._shower.show_progress(progress)
        return seconds_to_next_look(
            watch.watched,
            watch.facts,
            self._history,
            snapshot,
            interval=watch.poll_interval,
            given=watch.keeps_interval,
            quiet=now - self._changed_at,
        )

    def wait_for_aws(self, until: float, *, going_back_to: str = "") -> Wait[Later]:
        """Look at AWS until its own verdict comes, or *until* (epoch seconds): we have ended our wait.

        *going_back_to* is the revision to which we go back with a deployment of our own: then no service
        deployment tells of it, and a deployment of that revision is none that supersedes.
        """
        answer: Verdict | Waiting = Waiting(rolling_back=True)
        unseen = ""
        try:
            yield 0.0
            answer = yield from self._answer_of_aws(until, going_back_to)
        except Cancelled:
            unseen = "the job was cancelled meanwhile"
        except DeployError as error:
            unseen = error.message.rstrip(".")
        self._seen = self._looker.seen()
        return Later(
            answer=answer,
            service=self._seen.last.service,
            history=self._history,
            gpus=self._gpus(),
            unseen=unseen,
        )

    def _answer_of_aws(self, until: float, going_back_to: str) -> Wait[Verdict | Waiting]:
        watched = self._watch.watched
        while True:
            with heeded_signals():
                answer, watched = self._looked_at_aws(watched, until, going_back_to)
            now = self._clock.now()
            if isinstance(answer, Verdict) or now >= until:
                return answer
            yield seconds_to_look_again(self._watch.poll_interval, now=now, until=until)

    def _looked_at_aws(
        self, watched: Watched, until: float, going_back_to: str
    ) -> tuple[Verdict | Waiting, Watched]:
        """Look once and show it; return AWS's own verdict by now, and for whom the next look is."""
        whole = False
        while True:
            now = self._clock.now()
            snapshot, self._seen = self._looker.look(self._history, now, whole=whole)
            if going_back_to:
                snapshot = replace(snapshot, deployment=None, api_closed=True)
                watched = _with_ours_to(going_back_to, watched, snapshot)
            else:
                self._watch = self._looker.watch
                watched = self._watch.watched
            self._history = observed(watched, self._history, snapshot)
            answer = by_aws(watched, snapshot, self._history, now, self._watch.facts)
            if whole or not isinstance(answer, Waiting) or not answer.closer:
                break
            whole = True
        service = self._seen.last.service
        self._shower.show_seen(self._history, service, now)
        if isinstance(answer, Waiting) and now < until:
            facts = self._watch.facts
            # What CodeDeploy has been told to stop shows that a little later.
            shown = replace(answer, rolling_back=True) if watched.codedeploy_id else answer
            self._shower.show_progress(
                progress_of(watched, facts, self._history, snapshot, shown, service=service)
            )
        return answer, watched

    def explained(self, verdict: Verdict) -> Wait[Ending]:
        """Return the ending with *verdict*, after a last look at what may explain a bad one.

        The verdict stands where AWS does not let us look for its cause.
        """
        if verdict.outcome != Outcome.SUCCEEDED:
            late = verdict.outcome == Outcome.TIMED_OUT
            with suppress(DeployError):
                if not late:
                    yield from self._wait_for_late_lines(verdict)
                with heeded_signals(), self._aws.bounded(LAST_LOOK_SECONDS if late else None):
                    if late:
                        self._look_for_lines(verdict)
                    tasks = (*self._history.live, *self._history.since_healthy)
                    self._seen = self._looker.look_at_instances_of(tasks)
        return self.ending(verdict)

    def _wait_for_late_lines(self, verdict: Verdict) -> Wait[None]:
        """Ask for the log of failed tasks once more; for a while, where none of them has shown a line yet."""
        until = self._clock.now() + LATE_LINES_SECONDS
        while True:
            with heeded_signals():
                may_come = self._look_for_lines(verdict)
            if not may_come or self._clock.now() >= until:
                return
            yield LATE_LINES_STEP_SECONDS

    def _look_for_lines(self, verdict: Verdict) -> bool:
        """Ask for the log of failed tasks once more; say whether the lines that explain it may yet come."""
        if self._is_explained(verdict):
            return False
        self._seen, may_come = self._looker.tail_again(
            failures_of(self._history), self._history, self._clock.now()
        )
        return may_come

    def _is_explained(self, verdict: Verdict) -> bool:
        """Say whether the cause is known without the lines that have not come yet."""
        found = diagnoses_at_end(verdict, self._watch, self._history, self._seen.last)
        return bool(found) and found[0].code not in _UNEXPLAINED

    def _judged(self, now: float, *, whole: bool = False) -> tuple[Snapshot, Verdict | Waiting]:
        with self._aws.bounded(self._look_seconds(now)):
            snapshot, self._seen = self._looker.look(self._history, now, whole=whole)
        watch = self._watch = self._looker.watch
        self._history = observed(watch.watched, self._history, snapshot)
        answer = judge(watch.watched, snapshot, self._history, now, watch.facts)
        self._goes_back = isinstance(answer, Waiting) and answer.rolling_back
        return snapshot, answer

    def _look_seconds(self, now: float) -> float:
        """Return how many seconds a look may take: until the timeout, but where AWS rolls back."""
        if self._goes_back:
            return LONGEST_LOOK_SECONDS
        left = self._watch.watched.started_at + self._watch.watched.timeout - now
        return min(max(left, LAST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)

    def ending(self, verdict: Verdict) -> Ending:
        """Return what is known now, with *verdict* over it. Asks AWS for nothing more."""
        seen, history = self._seen, self._history
        diagnoses = diagnoses_at_end(verdict, self._watch, history, seen.last)
        findings = self._shower.findings
        if verdict.outcome == Outcome.SUCCEEDED:
            diagnoses = _of_failures(diagnoses, history)
            findings = _failures_before_success(verdict, diagnoses, history)
        return Ending(
            verdict=verdict,
            diagnoses=diagnoses,
            findings=(*seen.findings, *findings),
            phases=phases_at_end(self._watch.facts, history),
            service=seen.last.service,
            service_deployment_arn=seen.arn,
            codedeploy_deployment_id=seen.codedeploy_id,
            history=history,
            log_tails=seen.last.log_tails,
            gpus=self._gpus(),
            deployment=seen.last.deployment,
        )

    def _gpus(self) -> tuple[TaskGpus, ...]:
        requirement, deployment = self._watch.requirement, self._seen.last.deployment
        return gpus_of(
            self._history,
            requirement.gpu_count if requirement else 0.0,
            finished_at=deployment.finished_at if deployment else None,
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


_UNEXPLAINED = frozenset({"container-exit", "unknown", "no-rollback-candidate", "replacement-unhealthy"})
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
    PhaseName.PLACEMENT: "Where AWS says what it lacks, placement-timeout ends the wait, else timeout does.",
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

    def __init__(self, reporter: Reporter, known_events: Collection[str]) -> None:
        self._reporter = reporter
        self._events = set(known_events)
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
