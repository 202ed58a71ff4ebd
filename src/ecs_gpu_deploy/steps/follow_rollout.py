"""Start a rollout of a revision and wait for its verdict: what deploy, rollback and watch have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.phases import IMAGE_PULL_SECONDS, PhaseFacts
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.aws.answers import AwsError, HalfAnswer, Passing, needed_to, refused
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.load_balancer import TargetGroup, fetch_target_group
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heeded_signals, held_signals
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.model import Deployment, Service, ServiceDeployment, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.end_wait import leave_or_roll_back, still_running
from ecs_gpu_deploy.steps.register_revision import mark_succeeded
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.start_deployment import nothing_started, started, started_after_all
from ecs_gpu_deploy.steps.watch_rollout import Watcher


def roll_out(
    context: Context, service: Service, rendering: Rendering, arn: str, *, urgent: bool = False
) -> tuple[Verdict, Details]:
    """Update *service*, as it was seen before, to the revision *arn*; watch, and return the verdict.

    Where it is *urgent* what only the deadlines need is asked after the update. A job that is cancelled
    after the update does what on-cancel says, whenever the signal comes.
    """
    with held_signals():
        rollout = begun(context, service, rendering, arn, urgent=urgent)
        if rollout is None:
            return nothing_started(service, arn), context.draft.details
        return followed(context, service, rollout, arn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A rollout that AWS has begun; `cancelled` says that the job was cancelled since."""

    watch: Watch
    details: Details
    cancelled: bool


def begun(
    context: Context, service: Service, rendering: Rendering, arn: str, *, urgent: bool = False
) -> Begun | None:
    """Start a rollout, with signals held; None where AWS made no deployment."""
    containers = tuple(rendering.definition["containerDefinitions"])
    details = context.draft.details = Details(
        changes=rendering.changes, links=console_links(context.aws.region, service, containers)
    )
    facts = phase_facts(context, replace(service, target_group_arns=()) if urgent else service, containers)
    began = context.clock.now()
    cancelled = False
    try:
        with heeded_signals():
            deployment = started(context, service, arn)
    except Cancelled:
        cancelled = True
        deployment = started_after_all(context, service, arn)
        if deployment is None:
            raise
    if deployment is None:
        return None
    context.reporter.say(f"deployment {deployment.id} of {short_id(arn)} began")
    if urgent and not cancelled:
        try:
            with heeded_signals():
                facts = phase_facts(context, service, containers)
        except Cancelled:
            cancelled = True
    watched = watched_of(
        context, service, deployment, rendering.definition, digests=rendering.digests, began=began
    )
    watch = Watch(
        watched=replace(watched, timeout=timeout_of(context.settings, facts)),
        facts=facts,
        definition=rendering.definition,
        requirement=requirement_in(rendering.definition, service),
        poll_interval=context.settings.poll_interval,
        keeps_interval="poll-interval" in context.settings.given,
    )
    return Begun(watch=watch, details=details, cancelled=cancelled)


def followed(context: Context, service: Service, rollout: Begun, arn: str) -> tuple[Verdict, Details]:
    """Wait for the verdict over a rollout of the revision *arn*, and mark the revision where it is good."""
    verdict, details = watch_to_end(
        context, service, rollout.watch, rollout.details, cancelled=rollout.cancelled
    )
    if verdict.outcome == Outcome.SUCCEEDED and service.desired_count:
        mark_succeeded(context, arn)
    return verdict, details


def requirement_in(definition: Mapping[str, Any], service: Service) -> Requirement | None:
    """Return what a task asks of an instance; None for what AWS accepts and we cannot read."""
    with suppress(ValueError):
        return requirement_of(definition, constraints=service.placement_constraints)
    return None


def watched_of(
    context: Context,
    before: Service,
    deployment: Deployment,
    definition: Mapping[str, Any],
    *,
    digests: Mapping[str, str],
    began: float,
) -> Watched:
    """Return what to wait for; *before* is the service before *deployment*, *definition* what it deploys."""
    settings = context.settings
    return Watched(
        deployment_id=deployment.id,
        task_definition=deployment.task_definition,
        previous_task_definition=before.task_definition,
        baseline=frozenset(d.id for d in before.deployments if d.id != deployment.id),
        digests=digests,
        started_at=began,
        timeout=settings.timeout,
        placement_timeout=settings.placement_timeout,
        placement_given="placement-timeout" in settings.given,
        crash_loop_threshold=settings.crash_loop_threshold,
        allow_desired_zero=settings.allow_desired_zero,
        has_container_check=any(c.get("healthCheck") for c in definition["containerDefinitions"]),
    )


def watch_to_end(
    context: Context, before: Service, watch: Watch, details: Details, *, cancelled: bool = False
) -> tuple[Verdict, Details]:
    """Wait for the verdict; do what on-timeout, on-failure and on-cancel say where we end the wait."""
    draft = context.draft
    watcher = Watcher(context.aws, context.ecs, context.clock, context.reporter, watch=watch, service=before)
    try:
        if cancelled:
            raise Cancelled  # noqa: TRY301 - one place says what a cancelled job does
        with heeded_signals():
            draft.ending = watcher.wait()
    except Cancelled:
        verdict = Verdict(
            outcome=Outcome.CANCELLED, reason="The job was cancelled while the rollout went on.", ours=True
        )
        draft.ending = watcher.ending(verdict)
    except Refused:
        draft.ending = watcher.ending(Verdict(outcome=Outcome.REFUSED, reason=""))
        draft.findings.append(still_running(context, before, watcher, why="we cannot see it any more"))
        raise
    verdict = draft.ending.verdict
    if verdict.ours:
        command = leave_or_roll_back(context, verdict, before, watcher)
        details = replace(details, next_command=command)
    return verdict, details


ALARM_BAKE_SECONDS = 300.0
"""How long alarms may watch a finished rolling deployment, where bakeTimeInMinutes does not say."""


def phase_facts(context: Context, service: Service, containers: Sequence[Mapping[str, Any]]) -> PhaseFacts:
    """Return the facts for *service* running *containers* (raw container definitions)."""
    groups = _target_groups(context.aws, service)
    to_pull = context.draft.to_pull
    timing = HealthTiming(
        grace=service.health_check_grace_period,
        load_balancer=_load_balancer_check(groups),
        container=_container_check(containers),
    )
    return PhaseFacts(
        placement_timeout=context.settings.placement_timeout,
        timing=timing,
        pull=max(IMAGE_PULL_SECONDS, to_pull.pull_seconds if to_pull else 0.0),
        healthy_seconds=max((g.interval * g.healthy_threshold + g.timeout for g in groups), default=0.0),
        deregistration_delay=max((g.deregistration_delay for g in groups), default=0.0),
        stop_timeout=max((float(c.get("stopTimeout") or 30) for c in containers), default=30.0),
        bake=_bake(service),
        pauses=service.pause_seconds,
        given=context.settings.phase_deadlines or {},
    )


def timeout_of(settings: Settings, facts: PhaseFacts) -> float:
    """Return the seconds after which the wait ends: what was given, else the default and AWS's own waits."""
    own: float = settings.timeout
    return own if "timeout" in settings.given else own + facts.bake + facts.pauses


def _bake(service: Service) -> float:
    """Return the seconds that the deployment configuration adds: traffic steps, bake time, alarms."""
    own = service.bake_time_minutes * 60.0
    if service.strategy == "ROLLING" and not service.alarms:
        return 0.0
    return service.traffic_shift_seconds + (own or ALARM_BAKE_SECONDS if service.alarms else own)


def _load_balancer_check(groups: Sequence[TargetGroup]) -> LoadBalancerCheck | None:
    """Return the check of the group that is quickest to call a target unhealthy."""
    if not groups:
        return None
    group = min(groups, key=lambda group: group.interval * group.unhealthy_threshold)
    return LoadBalancerCheck(
        interval=group.interval, timeout=group.timeout, unhealthy_threshold=group.unhealthy_threshold
    )


def _container_check(containers: Sequence[Mapping[str, Any]]) -> ContainerCheck | None:
    """Return the first container's check, with AWS's defaults (docs/aws-facts.md#container-health-check)."""
    check = next((c["healthCheck"] for c in containers if c.get("healthCheck")), None)
    if check is None:
        return None
    return ContainerCheck(
        interval=check.get("interval", 30),
        timeout=check.get("timeout", 5),
        retries=check.get("retries", 3),
        start_period=check.get("startPeriod", 0),
    )


def _target_groups(aws: Aws, service: Service) -> tuple[TargetGroup, ...]:
    """Return the settings of the target groups; deadlines do without where we may not see them."""
    found = []
    for arn in service.target_group_arns:
        try:
            group = fetch_target_group(aws, arn)
        except AwsError:
            continue
        if group is not None:
            found.append(group)
    return tuple(found)


_ABSENT = frozenset({"ServiceDeploymentNotFoundException", "InvalidParameterException"})


def attached(context: Context, service: Service, arn: str) -> tuple[Verdict, Details]:
    """Watch the service deployment *arn* to its verdict; the timeout counts from now."""
    draft, settings = context.draft, context.settings
    found = _deployment(context, service, arn)
    now = context.clock.now()
    with needed_to("describe the service revisions"):
        wanted = (found.target_revision_arn, *found.source_revision_arns)
        revisions = {r.arn: r for r in fetch_service_revisions(context.aws, dict.fromkeys(wanted))}
    target = revisions.get(found.target_revision_arn)
    if target is None:
        raise InvalidInput(f"AWS does not say what the service deployment {short_id(arn)} deploys.")
    source = next((revisions[a] for a in found.source_revision_arns if a in revisions), None)
    raw = context.ecs.fetch_task_definition(target.task_definition)
    draft.task_definition_arn = draft.task_definition_arn or target.task_definition
    draft.previous_task_definition_arn = source.task_definition if source else ""
    draft.image = next(iter(images(raw.body).values()), "")
    draft.image_digest = next(iter(target.digests.values()), "")

    containers = tuple(raw.body["containerDefinitions"])
    identifier = f"ecs-svc/{short_id(found.target_revision_arn)}"
    deployment = Deployment(id=identifier, status="PRIMARY", task_definition=target.task_definition)
    before = replace(
        service,
        task_definition=source.task_definition if source else service.task_definition,
        events=tuple(event for event in service.events if event.created_at < found.created_at),
    )
    facts = phase_facts(context, service, containers)
    watched = replace(
        watched_of(
            context, before, deployment, raw.body, digests=target.digests, began=found.created_at or now
        ),
        timeout=timeout_of(settings, facts) + max(now - found.created_at, 0.0),
    )
    watch = Watch(
        watched=watched,
        facts=facts,
        definition=raw.body,
        requirement=requirement_in(raw.body, service),
        poll_interval=settings.poll_interval,
        keeps_interval="poll-interval" in settings.given,
        deployment_arn=arn,
    )
    details = Details(links=console_links(context.aws.region, service, containers))
    draft.details = details
    return watch_to_end(context, before, watch, details)


def _deployment(context: Context, service: Service, arn: str) -> ServiceDeployment:
    try:
        found = context.ecs.observe_deployment(arn)
    except HalfAnswer as error:
        raise _absent(arn) from error
    except AwsError as error:
        if error.code in _ABSENT and not isinstance(error, Passing):
            raise _absent(arn) from error
        raise refused(error, "describe the service deployment") from error
    if f"/{service.name}/" not in found.arn:
        raise InvalidInput(
            f"The service deployment {short_id(arn)} is not of the service {service.name!r}.",
            hint="The ARN is …:service-deployment/CLUSTER/SERVICE/ID.",
        )
    return found


def _absent(arn: str) -> InvalidInput:
    return InvalidInput(
        f"There is no service deployment {short_id(arn)!r}.",
        hint="The ARN is …:service-deployment/CLUSTER/SERVICE/ID; AWS keeps them for 90 days.",
    )
