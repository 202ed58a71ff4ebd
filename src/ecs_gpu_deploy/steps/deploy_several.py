"""Deploy one revision to several services: in the order given, or together; stop at the first bad verdict.

All services are checked before anything changes, and one revision is registered for all of them
(https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/420).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change, diff_text, difference
from ecs_gpu_deploy.core.definition.task_definition import registrable, without_tags
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import markdown, table_code
from ecs_gpu_deploy.edges.machine.signals import Cancelled, held_signals, is_cancelled
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Ending, Fact, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import WORST_FIRST, Finding, Outcome, ServiceEnd, Severity
from ecs_gpu_deploy.steps.build_image import compare_layers, with_built_image
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.follow_rollout import (
    Plan,
    begin_rollout,
    mark_where_good,
    roll_out,
    watch_to_end,
)
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, wait_for_others
from ecs_gpu_deploy.steps.watch_rollout import Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One of the services, and the rollout that is to begin. `kept` is what was recorded of it."""

    context: Context
    kept: list[Fact]
    plan: Plan
    service: Service

    @property
    def name(self) -> str:
        return self.service.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a service ended; `error` is what ended it, or our sight of its rollout."""

    verdict: Verdict
    arn: str = ""
    error: DeployError | None = None

    @property
    def is_bad(self) -> bool:
        return self.verdict.outcome != Outcome.SUCCEEDED


def deploy_several(context: Context, request: DeployRequest) -> Verdict:
    """Deploy to all services of the request, and return the verdict over all of them.

    Once its deployment has begun, each service is followed to its end, whatever becomes of the others; the
    worst end is the verdict, or the error that is raised.
    """
    reporter = context.reporter
    services = [context.ecs.fetch_service(name) for name in request.services]
    for service in services:
        check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    first = services[0]
    context.record(ServiceSeen(name=first.name, previous=first.task_definition))
    overrides = with_built_image(context, request, first)
    rendering = render_revision(context, request, first, overrides)
    for service in services:
        check_fit(rendering.definition, service)
    to_pull = compare_layers(context, rendering, platform=request.platform)
    changes = [_changes(context, service, rendering) for service in services]
    services = [wait_for_others(context, service, request) for service in services]
    reporter.say(f"services {', '.join(service.name for service in services)}: one revision for all")
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    arn = register_rendering(context, rendering, first, commit=request.commit)
    plan = Plan(
        service=first,
        arn=arn,
        definition=rendering.definition,
        options=request.rollout,
        digests=rendering.digests,
        to_pull=to_pull,
        force_new_deployment=request.force_new_deployment,
    )
    parts = [
        _part(context, replace(plan, service=service, changes=own))
        for service, own in zip(services, changes, strict=True)
    ]
    for part in parts:
        _record_end(context, part, _NOT_DEPLOYED)
    with held_signals():
        ends = _together(context, parts) if request.parallel else _one_by_one(context, parts)
        goes_back = request.rollout.on_failure == "rollback-all" and _is_to_go_back(ends)
        after = _rolled_back(context, parts, ends) if goes_back else ends
        verdict = _told(context, parts, ends, after)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, parts[0].plan, keep=request.keep_revisions)
    return verdict


def _changes(context: Context, service: Service, rendering: Rendering) -> tuple[Change, ...]:
    """Return the difference to what the service runs itself."""
    running = context.ecs.fetch_task_definition(service.task_definition)
    return difference(registrable({"taskDefinition": running.body}), without_tags(rendering.definition))


def _part(context: Context, plan: Plan) -> _Part:
    """Return a service with a record of its own; what is found is told at once, with the service's name."""
    kept: list[Fact] = []

    def record(fact: Fact) -> None:
        if isinstance(fact, Finding):
            context.record(replace(fact, message=f"{plan.service.name}: {fact.message}"))
        else:
            kept.append(fact)

    return _Part(context=replace(context, record=record), kept=kept, plan=plan, service=plan.service)


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
        ends.append(_follow(context, part, begun) if isinstance(begun, Begun) else begun)
        if ends[-1].is_bad:
            break
    return ends


def _together(context: Context, parts: Sequence[_Part]) -> list[_End]:
    """Begin all, but none after a bad end, then follow each that began to its verdict, with signals held.

    A cancelled job is cancelled for all of them.
    """
    begun: list[Begun | _End] = []
    for part in parts:
        begun.append(each := _begin(context, part))
        if isinstance(each, _End) and each.is_bad:
            break
    ends: list[_End] = []
    for part, each in zip(parts, begun, strict=False):
        if isinstance(each, _End):
            ends.append(each)
            continue
        part.context.reporter.say(f"service {part.name}: waiting for the verdict")
        ends.append(_follow(context, part, replace(each, cancelled=each.cancelled or is_cancelled())))
    return ends


def _begin(context: Context, part: _Part) -> Begun | _End:
    """Update a service; its end where no deployment began, or where the job is cancelled."""
    part.context.reporter.say(f"service {part.name}")
    try:
        begun = _NOT_UPDATED if is_cancelled() else begin_rollout(part.context, part.plan)
    except Cancelled:
        begun = _NOT_UPDATED
    except DeployError as error:
        begun = _end_by(error)
    if isinstance(begun, Verdict):
        begun = _End(verdict=begun)
    _record_end(context, part, _GOES_ON if isinstance(begun, Begun) else begun)
    return begun


def _follow(context: Context, part: _Part, rollout: Begun) -> _End:
    """Wait for the end of a rollout that began, and mark the revision where it is good to go back to."""
    ending = watch_to_end(part.context, part.plan.options, rollout)
    end = _end_of(ending)
    _record_end(context, part, end)
    with suppress(Cancelled):
        mark_where_good(part.context, part.plan, ending)
    return end


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


def _is_to_go_back(ends: Sequence[_End]) -> bool:
    """Say whether one failed, so that what was done is taken back; a cancelled job has no time for it."""
    return any(end.is_bad for end in ends) and not is_cancelled()


def _rolled_back(context: Context, parts: Sequence[_Part], ends: Sequence[_End]) -> list[_End]:
    """Bring the services that were done back to what they ran before, the last one first."""
    after = list(ends)
    for number in reversed(range(len(ends))):
        part = parts[number]
        if ends[number].is_bad:
            continue
        why = hint = ""
        try:
            after[number] = _roll_back(part)
        except Cancelled:
            why = "the job was cancelled before."
        except DeployError as error:
            why, hint = error.message, error.hint
        if why:
            message = f"could not be rolled back: {why}"
            part.context.record(
                Finding(code="rollback-not-started", severity=Severity.ERROR, message=message, hint=hint)
            )
        _record_end(context, part, after[number])
    return after


def _roll_back(part: _Part) -> _End:
    """Bring a service back to what it ran before; Cancelled and DeployError where that did not begin."""
    if is_cancelled():
        raise Cancelled
    before = part.service.task_definition
    part.context.reporter.say(f"on-failure: {part.name} goes back to {short_id(before)}")
    raw = part.context.ecs.fetch_task_definition(before)
    plan = Plan(
        service=part.context.ecs.fetch_service(part.name),
        arn=before,
        definition=registrable({"taskDefinition": raw.body}),
        options=part.plan.options,
        force_new_deployment=part.plan.force_new_deployment,
    )
    ended = roll_out(part.context, plan)
    end = _End(verdict=ended) if isinstance(ended, Verdict) else _end_of(ended)
    verdict = end.verdict
    if verdict.outcome == Outcome.SUCCEEDED:
        reason = f"Rolled back to {short_id(before)}, because another service failed."
        return _End(verdict=Verdict(outcome=Outcome.ROLLED_BACK, reason=reason), arn=end.arn)
    how = "did not succeed" if end.error is None else "goes on in AWS unseen"
    reason = f"Its rollback to {short_id(before)} {how}: {verdict.reason}"
    return replace(end, verdict=Verdict(outcome=verdict.outcome, reason=reason))


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
    after = f" Not deployed: {', '.join(part.name for part in rest)}." if rest else ""
    reason = f"{shown.name}: {worst.verdict.reason}{after}"
    if worst.error is not None:
        raise worst.error.with_message(reason)
    return replace(worst.verdict, reason=reason)
