"""Deploy one revision to several services: in the order given, or together; stop at the first bad verdict.

All services are checked before anything changes, and one revision is registered for all of them
(https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/420).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change, diff_text, difference
from ecs_gpu_deploy.core.definition.task_definition import registrable, without_tags
from ecs_gpu_deploy.core.judge.deployment_settings import settings_changed
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.edges.machine.signals import Cancelled, held_signals, is_cancelled
from ecs_gpu_deploy.errors import DeployError, InternalError
from ecs_gpu_deploy.facts import Fact, ServiceSeen, TakenBack
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import WORST_FIRST, Diagnosis, Finding, Outcome, Severity
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.compare_layers import compare_layers
from ecs_gpu_deploy.steps.follow_rollout import (
    Plan,
    begin_rollout,
    mark_revision,
    record_of_again,
    watch_to_end,
)
from ecs_gpu_deploy.steps.image_of_deploy import with_built_image
from ecs_gpu_deploy.steps.move_tags import move_tags_after
from ecs_gpu_deploy.steps.preflight_several import OneOfSeveral, preflight_several
from ecs_gpu_deploy.steps.record_deployment import begin_record, deployed_by
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision
from ecs_gpu_deploy.steps.run_before import plan_before, run_before
from ecs_gpu_deploy.steps.start_deployment import (
    as_wished,
    check_alarms,
    check_deployable,
    check_fit,
    check_settings,
    named_where_refused,
    wait_for_others,
)
from ecs_gpu_deploy.steps.take_back_services import (
    End,
    Part,
    end_of,
    record_end,
    roll_back_all,
    say_end,
    send_back_all,
)
from ecs_gpu_deploy.steps.take_turns import Wait, take_turns, waited
from ecs_gpu_deploy.steps.verify_attestation import verify_attestations
from ecs_gpu_deploy.steps.watch_rollout import Begun


def deploy_several(context: Context, request: DeployRequest) -> Verdict:
    """Deploy to all services of the request, and return the verdict over all of them.

    Once its deployment has begun, each service is followed to its end, whatever becomes of the others; the
    worst end is the verdict, or the error that is raised.
    """
    reporter = context.reporter
    contexts, services, before_it = [], [], []
    for name in request.services:
        own = replace(context, ecs=context.ecs.of(name))
        with named_where_refused(context, _name(context, own, name)):
            seen = own.ecs.fetch_service(name)
            service = as_wished(seen, request)
            check_deployable(
                service, allow_desired_zero=request.rollout.allow_desired_zero, one_of_several=True
            )
            check_alarms(own, service, request)
        contexts.append(own)
        services.append(service)
        before_it.append(seen)
    names = [_name(context, own, service.name) for own, service in zip(contexts, services, strict=True)]
    first = services[0]
    context.record(ServiceSeen(name=names[0], previous=first.task_definition))
    image = with_built_image(context, request, services)
    rendering = render_revision(context, request.revision, image.overrides, runs=first.task_definition)
    for name, service in zip(names, services, strict=True):
        with named_where_refused(context, name, service):
            check_fit(rendering.definition, service)
            check_settings(context, request.service_settings, rendering.definition, service)
    verify_attestations(context, request.signer, rendering)
    to_pull = compare_layers(context, rendering, platform=request.platform)
    changes = [_changes(context, service, rendering) for service in services]
    for number, (name, own) in enumerate(zip(names, contexts, strict=True)):
        with named_where_refused(context, name, services[number]):
            services[number] = as_wished(wait_for_others(own, services[number], request), request)
    reporter.say(f"services {', '.join(names)}: one revision for all")
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    plans = [
        _plan(request, rendering, service, changed, seen)
        for service, changed, seen in zip(services, changes, before_it, strict=True)
    ]
    refused = preflight_several(
        context,
        request.preflight,
        [
            OneOfSeveral(name=name, context=own, seen=seen, plan=plan)
            for name, own, seen, plan in zip(names, contexts, before_it, plans, strict=True)
        ],
        rendering,
        together=request.parallel,
        untouched="Nothing was changed." if image.built is None else "No service was changed.",
    )
    if refused is not None:
        return refused
    before = plan_before(contexts[0], request, first, rendering.definition)
    arn = register_rendering(context, rendering, commit=request.commit).arn
    if before is not None and (ended := run_before(contexts[0], before, rendering.definition, arn)):
        return ended
    if before is not None:
        for number, (name, own) in enumerate(zip(names, contexts, strict=True)):
            with named_where_refused(context, name, services[number]):
                seen = own.ecs.fetch_service(services[number].name)
                services[number] = as_wished(wait_for_others(own, seen, request), request)
    parts = [
        _part(
            name,
            own,
            replace(
                _plan(request, rendering, service, changed, seen),
                arn=arn,
                to_pull=to_pull,
                record=record_of_again(service, arn),
            ),
        )
        for name, own, service, changed, seen in zip(
            names, contexts, services, changes, before_it, strict=True
        )
    ]
    for part in parts:
        record_end(context, part, _NOT_DEPLOYED)
    begin_record(context, request.record_in, deployed_by(request, rendering, arn, names))
    with held_signals():
        ends = after = _together(context, parts) if request.parallel else _one_by_one(context, parts)
        if request.rollout.on_failure == "rollback-all":
            after = roll_back_all(context, parts, ends, together=request.parallel)
        if is_cancelled() and request.rollout.on_cancel == "rollback":
            after = send_back_all(context, parts, after)
        verdict = _told(context, parts, ends, after)
    move_tags_after(context, image.built, verdict)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, [part.plan for part in parts], keep=request.keep_revisions)
    return verdict


def _plan(
    request: DeployRequest,
    rendering: Rendering,
    service: Service,
    changes: tuple[Change, ...],
    seen: Service,
) -> Plan:
    """Return the rollout of one *service*, which was *seen* without what is wished of it."""
    return Plan(
        service=service,
        arn=rendering.existing_arn,
        definition=rendering.definition,
        options=_options(request),
        changes=changes,
        digests=rendering.digests,
        force_new_deployment=request.force_new_deployment,
        desired_count=request.desired_count,
        scaled_from=seen.desired_count,
        settings=settings_changed(seen, service),
        service_settings=request.service_settings,
    )


def _changes(context: Context, service: Service, rendering: Rendering) -> tuple[Change, ...]:
    """Return the difference to what the service runs itself."""
    running = context.ecs.fetch_task_definition(service.task_definition)
    return difference(registrable({"taskDefinition": running.body}), without_tags(rendering.definition))


def _name(context: Context, own: Context, service: str) -> str:
    """Return what a service (name or ARN) is called: with its cluster, where that is not the run's."""
    cluster, name = short_id(own.ecs.cluster), short_id(service)
    return name if cluster == short_id(context.ecs.cluster) else f"{cluster}/{name}"


def _options(request: DeployRequest) -> RolloutOptions:
    """Return how each rollout is watched: where all are to go back, one that times out goes at once."""
    options = request.rollout
    asks = options.on_failure == "rollback-all" and options.on_timeout == "leave"
    return replace(options, on_timeout="rollback-all") if asks else options


def _part(name: str, context: Context, plan: Plan) -> Part:
    """Return a service with a record of its own; what is found is told at once, with the service's name."""
    kept: list[Fact] = []

    def record(fact: Fact) -> None:
        if isinstance(fact, Finding):
            context.record(replace(fact, message=f"{name}: {fact.message}", service=name))
            return
        if isinstance(fact, TakenBack):
            context.record(replace(fact, service=name))
        kept.append(fact)

    own = replace(context, record=record, reporter=context.reporter.of(name))
    return Part(name=name, context=own, kept=kept, plan=plan)


_NOT_DEPLOYED = End(verdict=Verdict(outcome=Outcome.CANCELLED, reason="It was not deployed."))
_NOT_UPDATED = End(
    verdict=Verdict(
        outcome=Outcome.CANCELLED, reason="The job was cancelled before this service was updated."
    )
)
_GOES_ON = End(
    verdict=Verdict(
        outcome=Outcome.CANCELLED, reason="Its deployment goes on in AWS; its end was not waited for."
    )
)


def _one_by_one(context: Context, parts: Sequence[Part]) -> list[End]:
    """Return the ends of the services that were to begin, with signals held: none after a bad one."""
    ends: list[End] = []
    for part in parts:
        begun = _begin(context, part)
        if isinstance(begun, Begun):
            begun = waited(context.clock, _follow(context, part, begun))
        ends.append(begun)
        if ends[-1].is_bad:
            break
    return ends


def _together(context: Context, parts: Sequence[Part]) -> list[End]:
    """Begin all, but none after a bad end, then look at each in turn to its verdict, with signals held.

    A cancelled job is cancelled for all of them.
    """
    ends: dict[int, End] = {}
    waits: dict[int, Wait[End]] = {}
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


def _begin(context: Context, part: Part) -> Begun | End:
    """Update a service; its end where no deployment began, or where the job is cancelled."""
    begun: Begun | Verdict | End = _NOT_UPDATED
    try:
        if not is_cancelled():
            part.context.reporter.say("is being updated")
            begun = begin_rollout(part.context, part.plan)
    except Cancelled:
        pass
    except DeployError as error:
        begun = _end_by(error)
    if isinstance(begun, Verdict):
        begun = End(verdict=begun)
    record_end(context, part, _GOES_ON if isinstance(begun, Begun) else begun)
    return begun


def _follow(context: Context, part: Part, rollout: Begun) -> Wait[End]:
    """Wait for the end of a rollout that began, and mark the revision where it is good to go back to."""
    try:
        ending = yield from watch_to_end(part.context, part.plan.options, rollout)
    except Exception as error:  # noqa: BLE001 - a bug over one service must not end the wait for the others
        end = _end_by(InternalError.of(error, version=__version__))
        record_end(context, part, end)
        say_end(part, end)
        return end
    end = end_of(rollout, ending, at=context.clock.now())
    record_end(context, part, end)
    say_end(part, end)
    with suppress(Cancelled):
        mark_revision(part.context, part.plan, rollout, ending)
    return end


def _end_by(error: DeployError) -> End:
    return End(verdict=Verdict(outcome=Outcome(error.outcome), reason=error.message), error=error)


def _told(context: Context, parts: Sequence[Part], first_ends: Sequence[End], ends: Sequence[End]) -> Verdict:
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
    if not worst.is_bad:
        those = ", ".join(part.name for part in parts)
        reason = f"{len(parts)} services run {short_id(parts[0].plan.arn)}: {those}."
        return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)
    context.record(ServiceSeen(name=shown.name, previous=shown.before))
    for finding in _causes_of_others(parts, first_ends, number):
        context.record(finding)
    said, others = worst.verdict.reason, _ends_of_others(parts, ends, number)
    stop = "." if others and not said.endswith((".", "!", "?", ")")) else ""
    reason = f"{shown.name}: {said}{stop}{others}"
    if worst.error is not None:
        raise worst.error.with_message(reason)
    return replace(worst.verdict, reason=reason)


def _ends_of_others(parts: Sequence[Part], ends: Sequence[End], shown: int) -> str:
    """Return how the services ended that the verdict is not about, in a few words for its sentence."""
    names: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        end = ends[number] if number < len(ends) else _NOT_DEPLOYED
        if number != shown:
            names.setdefault(_ended(end, part), []).append(part.name)
    order = sorted(names, key=lambda said: (not said.startswith("Runs "), said == "Not deployed"))
    return "".join(f" {said}: {', '.join(names[said])}." for said in order)


def _ended(end: End, part: Part) -> str:
    if end is _NOT_DEPLOYED or end is _NOT_UPDATED:
        return "Not deployed"
    if not end.is_bad:
        return f"Runs {short_id(part.plan.arn)}"
    return end.verdict.outcome.replace("_", " ").capitalize()


def _causes_of_others(parts: Sequence[Part], ends: Sequence[End], shown: int) -> list[Finding]:
    """Return what else went wrong with other services than the one *shown*, whose causes are told anyway."""

    def causes(end: End) -> Sequence[Diagnosis]:
        return end.left.ending.diagnoses if end.left and end.is_bad else ()

    told = {cause.code for cause in causes(ends[shown])}
    return [
        Finding(
            code=cause.code,
            severity=Severity.WARNING,
            message=f"{part.name}: {cause.message or cause.code}"
            + (f" ({plain(cause.evidence[0], limit=200)})" if cause.evidence else ""),
            hint=cause.hint,
            service=part.name,
        )
        for part, end in zip(parts, ends, strict=False)
        for cause in causes(end)
        if end is not ends[shown] and cause.code not in told
    ]
