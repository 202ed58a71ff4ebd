"""Bring several services back to what they ran before, where one of them ended badly or the job is cancelled.

What a service of several is during such a run, and how its deployment ended, is here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import registrable
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.gpu_minutes import gpu_minutes
from ecs_gpu_deploy.edges.machine.signals import Cancelled, is_cancelled
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Ending, Fact, RollbackSent, RolloutShown, TakenBack
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Finding, Outcome, ServiceEnd, Severity
from ecs_gpu_deploy.steps.end_wait import roll_back_left, send_back
from ecs_gpu_deploy.steps.follow_rollout import (
    Plan,
    RecordWish,
    begin_rollout,
    mark_revision,
    watch_to_end,
)
from ecs_gpu_deploy.steps.take_turns import Wait, take_turns, waited
from ecs_gpu_deploy.steps.watch_rollout import Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the services, and the rollout that is to begin. `kept` is what was recorded of it.

    `name` is what it is called in this run: with its cluster where that is not the run's.
    """

    name: str
    context: Context
    kept: list[Fact]
    plan: Plan

    @property
    def before(self) -> str:
        """Return the ARN of the revision that the service ran before."""
        return self.plan.service.task_definition

    @property
    def is_taken_back(self) -> bool:
        """Say whether AWS was told to run again what the service ran before."""
        return any(isinstance(fact, RollbackSent | TakenBack) for fact in self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A rollout that began, as we left it when our wait ended, `at` (epoch seconds)."""

    rollout: Begun
    ending: Ending
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a service ended; `error` is what ended it, or our sight of its rollout.

    `left` is the rollout that began, None where none did.
    """

    verdict: Verdict
    arn: str = ""
    error: DeployError | None = None
    left: Left | None = None

    @property
    def is_bad(self) -> bool:
        """Say whether it did not end well."""
        return self.verdict.outcome != Outcome.SUCCEEDED

    @property
    def goes_on(self) -> bool:
        """Say whether AWS goes on with it, as far as we know: it was we who ended the wait."""
        return self.error is not None or self.verdict.ours


def end_of(rollout: Begun, ending: Ending, *, at: float) -> End:
    """Return the end of a service whose rollout was watched to *ending*, *at* (epoch seconds)."""
    left = Left(rollout=rollout, ending=ending, at=at)
    return End(verdict=ending.verdict, arn=ending.service_deployment_arn, error=ending.error, left=left)


def record_end(context: Context, part: Part, end: End) -> None:
    """Record how a service ended, the phases of its rollout, and the GPU time that this held."""
    left, outcome = end.left, end.verdict.outcome
    minutes = gpu_minutes(
        left.ending.gpus if left else (),
        until=left.at if left else 0.0,
        outcome=outcome,
        is_taken_back=part.is_taken_back,
    )
    context.record(
        ServiceEnd(
            service=part.name,
            outcome=outcome,
            reason=end.verdict.reason,
            previous_task_definition_arn=part.before,
            service_deployment_arn=end.arn,
            phases=left.ending.phases if left else (),
            gpu_minutes=minutes.held,
            gpu_minutes_wasted=minutes.wasted,
        )
    )


def say_end(part: Part, end: End) -> None:
    """Say in the log how a service ended."""
    part.context.reporter.say(f"{end.verdict.outcome}: {end.verdict.reason}")


def roll_back_all(
    context: Context, parts: Sequence[Part], ends: Sequence[End], *, together: bool
) -> list[End]:
    """Bring every service whose deployment began back to what it ran before, the last one first.

    Not one that went back already, or that somebody else has deployed to since; and none where all is well,
    or in a cancelled job, which has no time for it.
    """
    after = list(ends)
    if is_cancelled() or not any(end.is_bad for end in ends):
        return after
    numbers = [number for number in reversed(range(len(ends))) if _runs_the_new(parts[number], ends[number])]
    waits = [_back(context, parts[number], ends[number]) for number in numbers]
    clock = context.clock
    ended = take_turns(clock, waits) if together else [waited(clock, wait) for wait in waits]
    for number, end in zip(numbers, ended, strict=True):
        after[number] = end
    return after


def send_back_all(context: Context, parts: Sequence[Part], ends: Sequence[End]) -> list[End]:
    """Have AWS run again what the services ran before that were done when the job was cancelled.

    The others went back, or were told to, when their wait ended. A cancelled job has no time to watch it.
    """
    return [
        end if end.is_bad or not _runs_the_new(part, end) else _told_to_go_back(context, part, end)
        for part, end in zip(parts, ends, strict=False)
    ]


def _told_to_go_back(context: Context, part: Part, end: End) -> End:
    """Send the update to what a service ran before; return its end, the old one where that was refused."""
    before = short_id(part.before)
    if why := send_back(part.context, part.plan.service):
        message = f"The rollback to {before} that on-cancel asks for could not be started: {why}"
        part.context.record(Finding(code="rollback-not-started", severity=Severity.ERROR, message=message))
        return end
    reason = f"It was done when the job was cancelled; AWS was told to run {before} again, as on-cancel asks."
    part.context.record(RollbackSent())
    part.context.record(Finding(code="rollback-requested", severity=Severity.WARNING, message=reason))
    after = replace(end, verdict=Verdict(outcome=Outcome.CANCELLED, reason=reason))
    record_end(context, part, after)
    return after


def _runs_the_new(part: Part, end: End) -> bool:
    """Say whether the service runs the new revision, or may come to run it, and ran another one before."""
    if part.before == part.plan.arn or end.left is None or part.is_taken_back:
        return False
    return end.verdict.outcome not in {Outcome.ROLLED_BACK, Outcome.SUPERSEDED}


def _back(context: Context, part: Part, end: End) -> Wait[End]:
    """Bring a service back to what it ran before; return its end, the old one where that did not begin."""
    try:
        yield 0.0
        left = end.left if end.goes_on else None
        after = yield from (_stopped(part, end, left) if left else _updated_back(part, end))
    except Cancelled:
        after, why, hint = end, "the job was cancelled before.", ""
    except DeployError as error:
        after, why, hint = end, error.message, error.hint
    else:
        why = hint = ""
    if why:
        message = f"could not be rolled back: {why}"
        part.context.record(
            Finding(code="rollback-not-started", severity=Severity.ERROR, message=message, hint=hint)
        )
    else:
        say_end(part, after)
    record_end(context, part, after)
    return after


def _stopped(part: Part, end: End, left: Left) -> Wait[End]:
    """Roll back the deployment that goes on in AWS, whose end we did not wait for or do not see.

    Where AWS does not stop it, it has ended meanwhile, and the service is updated to what it ran before.
    """
    part.context.reporter.say(f"rollback-all: goes back to {short_id(part.before)}")
    refused: list[Fact] = []

    def record(fact: Fact) -> None:
        is_refusal = isinstance(fact, Finding) and fact.code == "rollback-not-started"
        (refused.append if is_refusal else part.context.record)(fact)

    ending = yield from roll_back_left(replace(part.context, record=record), left.rollout, left.ending)
    if refused:
        return (yield from _updated_back(part, end))
    part.context.record(TakenBack())
    seen = replace(left, ending=ending, at=part.context.clock.now())
    return replace(end, verdict=ending.verdict, left=seen)


def _updated_back(part: Part, end: End) -> Wait[End]:
    """Update a service to what it ran before; DeployError where that did not begin."""
    before = short_id(part.before)
    part.context.reporter.say(f"rollback-all: goes back to {before}")
    context = replace(part.context, record=lambda fact: _record_way_back(part, fact))
    raw = context.ecs.fetch_task_definition(part.before)
    now = part.plan.service
    with suppress(DeployError):
        now = context.ecs.fetch_service(now.name)
    plan = Plan(
        service=now,
        arn=part.before,
        definition=registrable({"taskDefinition": raw.body}),
        # What ends our wait for the way back must not turn it round.
        options=replace(part.plan.options, on_timeout="leave", on_failure="leave", on_cancel="leave"),
        force_new_deployment=part.plan.force_new_deployment,
        is_way_back=True,
        record=RecordWish(kind="rollback", reason="another service failed"),
    )
    begun = begin_rollout(context, plan)
    part.context.record(TakenBack())
    if isinstance(begun, Begun):
        ending = yield from watch_to_end(context, plan.options, begun)
        with suppress(Cancelled):
            mark_revision(context, plan, begun, ending)
        left = _with_way_back(end.left, ending)
        if left is not None:
            part.context.record(left.ending)
        back = End(verdict=ending.verdict, arn=ending.service_deployment_arn, error=ending.error, left=left)
    else:
        back = End(verdict=begun, left=end.left)
    return _after_way_back(end, back, before=before)


def _record_way_back(part: Part, fact: Fact) -> None:
    """Record what is found out on the way back, but not over what is told of the rollout itself."""
    if not isinstance(fact, Ending | RolloutShown):
        part.context.record(fact)


def _with_way_back(left: Left | None, back: Ending) -> Left | None:
    """Return the rollout as it was left; where its way back did not go well, with the causes of that too."""
    if left is None:
        return None
    ending = replace(
        left.ending,
        service=back.service,
        service_deployment_arn=back.service_deployment_arn,
    )
    if back.verdict.outcome != Outcome.SUCCEEDED:
        ending = replace(
            ending,
            diagnoses=(*ending.diagnoses, *back.diagnoses),
            findings=(*ending.findings, *back.findings),
            log_tails=(*ending.log_tails, *back.log_tails),
        )
    return replace(left, ending=ending)


def _after_way_back(end: End, back: End, *, before: str) -> End:
    """Return the end of a service over which *back* is the end of its way back to the revision *before*."""
    verdict = back.verdict
    if verdict.outcome == Outcome.SUCCEEDED:
        if end.is_bad:
            reason = f"{end.verdict.reason} Then rolled back to {before}, as rollback-all asks."
            return replace(end, verdict=replace(end.verdict, reason=reason), arn=back.arn, left=back.left)
        reason = f"Rolled back to {before}, because another service failed."
        return replace(back, verdict=Verdict(outcome=Outcome.ROLLED_BACK, reason=reason))
    how = "did not succeed" if back.error is None else "goes on in AWS unseen"
    reason = f"Its rollback to {before} {how}: {verdict.reason}"
    if end.is_bad:
        reason = f"{end.verdict.reason} {reason}"
        return replace(end, verdict=replace(end.verdict, reason=reason), arn=back.arn, left=back.left)
    return replace(back, verdict=Verdict(outcome=verdict.outcome, reason=reason))
