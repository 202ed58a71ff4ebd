"""Deploy one revision to several services: in the order given, or together; stop at the first bad verdict.

All services are checked before anything changes, and one revision is registered for all of them
(https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/420).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change, diff_text, difference
from ecs_gpu_deploy.core.definition.task_definition import registrable, without_tags
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import markdown, table_code
from ecs_gpu_deploy.edges.machine.signals import Cancelled, held_signals, is_cancelled
from ecs_gpu_deploy.errors import DeployError, InternalError
from ecs_gpu_deploy.facts import Ending, Fact, RollbackSent, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import WORST_FIRST, Finding, Outcome, ServiceEnd, Severity
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.compare_layers import compare_layers
from ecs_gpu_deploy.steps.end_wait import roll_back_left, send_back
from ecs_gpu_deploy.steps.follow_rollout import (
    Plan,
    RecordWish,
    begin_rollout,
    mark_revision,
    record_of_again,
    watch_to_end,
)
from ecs_gpu_deploy.steps.image_of_deploy import with_built_image
from ecs_gpu_deploy.steps.move_tags import move_tags_after
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, wait_for_others
from ecs_gpu_deploy.steps.take_turns import Wait, take_turns, waited
from ecs_gpu_deploy.steps.watch_rollout import Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One of the services, and the rollout that is to begin. `kept` is what was recorded of it.

    `name` is what it is called in this run: with its cluster where that is not the run's.
    """

    name: str
    context: Context
    kept: list[Fact]
    plan: Plan
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """A rollout that began, as we left it when our wait ended."""

    rollout: Begun
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a service ended; `error` is what ended it, or our sight of its rollout.

    `left` is the rollout that began, None where none did.
    """

    verdict: Verdict
    arn: str = ""
    error: DeployError | None = None
    left: _Left | None = None

    @property
    def is_bad(self) -> bool:
        return self.verdict.outcome != Outcome.SUCCEEDED

    @property
    def goes_on(self) -> bool:
        """Say whether AWS goes on with it, as far as we know: it was we who ended the wait."""
        return self.error is not None or self.verdict.ours


def deploy_several(context: Context, request: DeployRequest) -> Verdict:
    """Deploy to all services of the request, and return the verdict over all of them.

    Once its deployment has begun, each service is followed to its end, whatever becomes of the others; the
    worst end is the verdict, or the error that is raised.
    """
    reporter = context.reporter
    contexts = [replace(context, ecs=context.ecs.of(name)) for name in request.services]
    services = [own.ecs.fetch_service(name) for own, name in zip(contexts, request.services, strict=True)]
    for service in services:
        check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    first = services[0]
    context.record(ServiceSeen(name=first.name, previous=first.task_definition))
    image = with_built_image(context, request, services)
    rendering = render_revision(context, request, first, image.overrides)
    for service in services:
        check_fit(rendering.definition, service)
    to_pull = compare_layers(context, rendering, platform=request.platform)
    changes = [_changes(context, service, rendering) for service in services]
    services = [wait_for_others(*each, request) for each in zip(contexts, services, strict=True)]
    names = [_name(context, *each) for each in zip(contexts, services, strict=True)]
    reporter.say(f"services {', '.join(names)}: one revision for all")
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    arn = register_rendering(context, rendering, first, commit=request.commit).arn
    plan = Plan(
        service=first,
        arn=arn,
        definition=rendering.definition,
        options=_options(request),
        digests=rendering.digests,
        to_pull=to_pull,
        force_new_deployment=request.force_new_deployment,
    )
    parts = [
        _part(
            name, own, replace(plan, service=service, changes=changed, record=record_of_again(service, arn))
        )
        for name, own, service, changed in zip(names, contexts, services, changes, strict=True)
    ]
    for part in parts:
        _record_end(context, part, _NOT_DEPLOYED)
    with held_signals():
        ends = after = _together(context, parts) if request.parallel else _one_by_one(context, parts)
        if request.rollout.on_failure == "rollback-all":
            after = _rolled_back(context, parts, ends, together=request.parallel)
        if is_cancelled() and request.rollout.on_cancel == "rollback":
            after = _sent_back(context, parts, after)
        verdict = _told(context, parts, ends, after)
    move_tags_after(context, image.built, verdict)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, [part.plan for part in parts], keep=request.keep_revisions)
    return verdict


def _changes(context: Context, service: Service, rendering: Rendering) -> tuple[Change, ...]:
    """Return the difference to what the service runs itself."""
    running = context.ecs.fetch_task_definition(service.task_definition)
    return difference(registrable({"taskDefinition": running.body}), without_tags(rendering.definition))


def _name(context: Context, own: Context, service: Service) -> str:
    """Return what a service is called: with its cluster, where that is not the run's."""
    cluster = short_id(own.ecs.cluster)
    return service.name if cluster == short_id(context.ecs.cluster) else f"{cluster}/{service.name}"


def _options(request: DeployRequest) -> RolloutOptions:
    """Return how each rollout is watched: where all are to go back, one that times out goes at once."""
    options = request.rollout
    return replace(options, on_timeout="rollback") if options.on_failure == "rollback-all" else options


def _part(name: str, context: Context, plan: Plan) -> _Part:
    """Return a service with a record of its own; what is found is told at once, with the service's name."""
    kept: list[Fact] = []

    def record(fact: Fact) -> None:
        if isinstance(fact, Finding):
            context.record(replace(fact, message=f"{name}: {fact.message}"))
        else:
            kept.append(fact)

    own = replace(context, record=record, reporter=context.reporter.of(name))
    return _Part(name=name, context=own, kept=kept, plan=plan, service=plan.service)


_NOT_DEPLOYED = _End(verdict=Verdict(outcome=Outcome.CANCELLED, reason="It was not deployed."))
_NOT_UPDATED = _End(
    verdict=Verdict(
        outcome=Outcome.CANCELLED, reason="The job was cancelled before this service was updated."
    )
)
_GOES_ON = _End(
    verdict=Verdict(
        outcome=Outcome.CANCELLED, reason="Its deployment goes on in AWS; its end was not waited for."
    )
)


def _one_by_one(context: Context, parts: Sequence[_Part]) -> list[_End]:
    """Return the ends of the services that were to begin, with signals held: none after a bad one."""
    ends: list[_End] = []
    for part in parts:
        begun = _begin(context, part)
        if isinstance(begun, Begun):
            begun = waited(context.clock, _follow(context, part, begun))
        ends.append(begun)
        if ends[-1].is_bad:
            break
    return ends


def _together(context: Context, parts: Sequence[_Part]) -> list[_End]:
    """Begin all, but none after a bad end, then look at each in turn to its verdict, with signals held.

    A cancelled job is cancelled for all of them.
    """
    ends: dict[int, _End] = {}
    waits: dict[int, Wait[_End]] = {}
    for number, part in enumerate(parts):
        begun = _begin(context, part)
        if isinstance(begun, Begun):
            waits[number] = _follow(context, part, begun)
            continue
        ends[number] = begun
        if begun.is_bad:
            break
    ends |= zip(waits, take_turns(context.clock, list(waits.values())), strict=True)
    return [ends[number] for number in sorted(ends)]


def _begin(context: Context, part: _Part) -> Begun | _End:
    """Update a service; its end where no deployment began, or where the job is cancelled."""
    begun: Begun | Verdict | _End = _NOT_UPDATED
    try:
        if not is_cancelled():
            part.context.reporter.say("is being updated")
            begun = begin_rollout(part.context, part.plan)
    except Cancelled:
        pass
    except DeployError as error:
        begun = _end_by(error)
    if isinstance(begun, Verdict):
        begun = _End(verdict=begun)
    _record_end(context, part, _GOES_ON if isinstance(begun, Begun) else begun)
    return begun


def _follow(context: Context, part: _Part, rollout: Begun) -> Wait[_End]:
    """Wait for the end of a rollout that began, and mark the revision where it is good to go back to."""
    try:
        ending = yield from watch_to_end(part.context, part.plan.options, rollout)
    except Exception as error:  # noqa: BLE001 - a bug over one service must not end the wait for the others
        end = _end_by(InternalError.of(error, version=__version__))
        _record_end(context, part, end)
        _say_end(part, end)
        return end
    end = replace(_end_of(ending), left=_Left(rollout=rollout, ending=ending))
    _record_end(context, part, end)
    _say_end(part, end)
    with suppress(Cancelled):
        mark_revision(part.context, part.plan, rollout, ending)
    return end


def _say_end(part: _Part, end: _End) -> None:
    part.context.reporter.say(f"{end.verdict.outcome}: {end.verdict.reason}")


def _end_of(ending: Ending) -> _End:
    return _End(verdict=ending.verdict, arn=ending.service_deployment_arn, error=ending.error)


def _end_by(error: DeployError) -> _End:
    return _End(verdict=Verdict(outcome=Outcome(error.outcome), reason=error.message), error=error)


def _record_end(context: Context, part: _Part, end: _End) -> None:
    context.record(
        ServiceEnd(
            service=part.name,
            outcome=end.verdict.outcome,
            reason=end.verdict.reason,
            previous_task_definition_arn=part.service.task_definition,
            service_deployment_arn=end.arn,
        )
    )


def _rolled_back(
    context: Context, parts: Sequence[_Part], ends: Sequence[_End], *, together: bool
) -> list[_End]:
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


def _sent_back(context: Context, parts: Sequence[_Part], ends: Sequence[_End]) -> list[_End]:
    """Have AWS run again what the services ran before that were done when the job was cancelled.

    The others went back, or were told to, when their wait ended. A cancelled job has no time to watch it.
    """
    return [
        end if end.is_bad or not _runs_the_new(part, end) else _told_to_go_back(context, part, end)
        for part, end in zip(parts, ends, strict=False)
    ]


def _told_to_go_back(context: Context, part: _Part, end: _End) -> _End:
    """Send the update to what a service ran before; return its end, the old one where that was refused."""
    before = short_id(part.service.task_definition)
    if why := send_back(part.context, part.service):
        message = f"The rollback to {before} that on-cancel asks for could not be started: {why}"
        part.context.record(Finding(code="rollback-not-started", severity=Severity.ERROR, message=message))
        return end
    reason = f"It was done when the job was cancelled; AWS was told to run {before} again, as on-cancel asks."
    part.context.record(RollbackSent())
    part.context.record(Finding(code="rollback-requested", severity=Severity.WARNING, message=reason))
    after = _End(verdict=Verdict(outcome=Outcome.CANCELLED, reason=reason), arn=end.arn)
    _record_end(context, part, after)
    return after


def _runs_the_new(part: _Part, end: _End) -> bool:
    """Say whether the service runs the new revision, or may come to run it, and ran another one before."""
    if part.service.task_definition == part.plan.arn or end.left is None:
        return False
    is_sent = any(isinstance(fact, RollbackSent) for fact in part.kept)
    return not is_sent and end.verdict.outcome not in {Outcome.ROLLED_BACK, Outcome.SUPERSEDED}


def _back(context: Context, part: _Part, end: _End) -> Wait[_End]:
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
        _say_end(part, after)
    _record_end(context, part, after)
    return after


def _stopped(part: _Part, end: _End, left: _Left) -> Wait[_End]:
    """Roll back the deployment that goes on in AWS, whose end we did not wait for or do not see.

    Where AWS does not stop it, it has ended meanwhile, and the service is updated to what it ran before.
    """
    part.context.reporter.say(f"on-failure: goes back to {short_id(part.service.task_definition)}")
    refused: list[Fact] = []

    def record(fact: Fact) -> None:
        is_refusal = isinstance(fact, Finding) and fact.code == "rollback-not-started"
        (refused.append if is_refusal else part.context.record)(fact)

    ending = yield from roll_back_left(replace(part.context, record=record), left.rollout, left.ending)
    if refused:
        return (yield from _updated_back(part, end))
    return replace(end, verdict=ending.verdict)


def _updated_back(part: _Part, end: _End) -> Wait[_End]:
    """Update a service to what it ran before; DeployError where that did not begin."""
    before = part.service.task_definition
    part.context.reporter.say(f"on-failure: goes back to {short_id(before)}")
    raw = part.context.ecs.fetch_task_definition(before)
    now = part.service
    with suppress(DeployError):
        now = part.context.ecs.fetch_service(part.service.name)
    plan = Plan(
        service=now,
        arn=before,
        definition=registrable({"taskDefinition": raw.body}),
        # What ends our wait for the way back must not turn it round.
        options=replace(part.plan.options, on_timeout="leave", on_failure="leave", on_cancel="leave"),
        force_new_deployment=part.plan.force_new_deployment,
        record=RecordWish(kind="rollback", reason="another service failed"),
    )
    begun = begin_rollout(part.context, plan)
    if isinstance(begun, Begun):
        ending = yield from watch_to_end(part.context, plan.options, begun)
        with suppress(Cancelled):
            mark_revision(part.context, plan, begun, ending)
        back = _end_of(ending)
    else:
        back = _End(verdict=begun)
    verdict = back.verdict
    if verdict.outcome == Outcome.SUCCEEDED:
        if end.is_bad:
            reason = f"{end.verdict.reason} Then rolled back to {short_id(before)}, as on-failure asks."
            return replace(end, verdict=replace(end.verdict, reason=reason), arn=back.arn)
        reason = f"Rolled back to {short_id(before)}, because another service failed."
        return _End(verdict=Verdict(outcome=Outcome.ROLLED_BACK, reason=reason), arn=back.arn)
    how = "did not succeed" if back.error is None else "goes on in AWS unseen"
    reason = f"Its rollback to {short_id(before)} {how}: {verdict.reason}"
    if end.is_bad:
        reason = f"{end.verdict.reason} {reason}"
        return replace(end, verdict=replace(end.verdict, reason=reason), arn=back.arn)
    return replace(back, verdict=Verdict(outcome=verdict.outcome, reason=reason))


def _told(
    context: Context, parts: Sequence[_Part], first_ends: Sequence[_End], ends: Sequence[_End]
) -> Verdict:
    """Record what the result shows, and return the verdict over all; raise where the worst is an error.

    *first_ends* are those before any service was brought back: of two equal ends the cause of that counts.
    """
    number = min(
        range(len(ends)),
        key=lambda each: (WORST_FIRST.index(ends[each].verdict.outcome), not first_ends[each].is_bad),
    )
    shown, worst = parts[number], ends[number]
    for fact in shown.kept:
        context.record(fact)
    rest = parts[len(ends) :]
    told = [*zip(parts, ends, strict=False), *((part, _NOT_DEPLOYED) for part in rest)]
    rows = ["| Service | Outcome | Reason |", "|---|---|---|"]
    rows += [
        f"| {table_code(part.name)} | {end.verdict.outcome} | {markdown(end.verdict.reason)} |"
        for part, end in told
    ]
    context.record(Section(title="Services", text="\n".join(rows)))
    if not worst.is_bad:
        those = ", ".join(part.name for part in parts)
        reason = f"{len(parts)} services run {short_id(parts[0].plan.arn)}: {those}."
        return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)
    context.record(ServiceSeen(name=shown.name, previous=shown.service.task_definition))
    new = [part.name for part, end in zip(parts, ends, strict=False) if not end.is_bad]
    after = f" Runs {short_id(shown.plan.arn)}: {', '.join(new)}." if new else ""
    after += f" Not deployed: {', '.join(part.name for part in rest)}." if rest else ""
    reason = f"{shown.name}: {worst.verdict.reason}{after}"
    if worst.error is not None:
        raise worst.error.with_message(reason)
    return replace(worst.verdict, reason=reason)
