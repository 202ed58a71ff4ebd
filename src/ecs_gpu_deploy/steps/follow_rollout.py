"""Start a rollout of a revision and wait for its verdict: what deploy, rollback and watch have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.layers import LayerDelta
from ecs_gpu_deploy.core.image.moved_tag import moved_tag
from ecs_gpu_deploy.core.judge.confirm import other_images
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.phases import IMAGE_PULL_SECONDS, PhaseFacts, leaving_seconds
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import tag_names_now
from ecs_gpu_deploy.edges.aws.load_balancer import TargetGroup, fetch_target_group
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heeded_signals, held_signals
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs.requests import RolloutOptions, WaitOptions
from ecs_gpu_deploy.model import Deployment, Service, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.end_wait import end_unclear, leave_or_roll_back, still_running
from ecs_gpu_deploy.steps.facts import RolloutShown
from ecs_gpu_deploy.steps.register_revision import mark_succeeded
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.start_deployment import nothing_started, start_deployment
from ecs_gpu_deploy.steps.watch_rollout import Ending, Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rollout that is to begin: of the revision `arn`, to `service` as it was seen before.

    Where it is `urgent`, what only the deadlines need is asked after the update.
    """

    service: Service
    rendering: Rendering
    arn: str
    options: RolloutOptions
    to_pull: LayerDelta | None = None
    force_new_deployment: bool = True
    urgent: bool = False


def roll_out(context: Context, plan: Plan) -> Verdict:
    """Update the service to the revision, watch, and return the verdict.

    A job that is cancelled after the update does what on-cancel says, whenever the signal comes.
    """
    with held_signals():
        rollout = begin_rollout(context, plan)
        if isinstance(rollout, Verdict):
            return rollout
        return follow_rollout(context, plan, rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A rollout that goes on in AWS. `before` is the service before it; `cancelled`: the job was since."""

    before: Service
    watch: Watch
    cancelled: bool = False


def begin_rollout(context: Context, plan: Plan) -> Begun | Verdict:
    """Start a rollout, with signals held; a verdict where AWS made no deployment that could be watched."""
    service, rendering, arn = plan.service, plan.rendering, plan.arn
    containers = tuple(rendering.definition["containerDefinitions"])
    links = console_links(context.aws.region, service, containers)
    context.record(RolloutShown(changes=rendering.changes, links=links))
    with heeded_signals():
        groups = () if plan.urgent else fetch_target_groups(context.aws, service)
    began = context.clock.now()
    update = start_deployment(context, service, arn, force=plan.force_new_deployment)
    deployment, cancelled = update.deployment, update.cancelled
    if not update.is_known:
        return end_unclear(context, plan.options, service, arn, why=update.why, cancelled=cancelled)
    if deployment is None:
        return nothing_started(service, arn)
    context.reporter.say(f"deployment {deployment.id} of {short_id(arn)} began")
    if plan.urgent and not cancelled:
        try:
            with heeded_signals():
                groups = fetch_target_groups(context.aws, service)
        except Cancelled:
            cancelled = True
    wait = plan.options.wait
    facts = phase_facts(service, containers, groups, plan.options, to_pull=plan.to_pull)
    watched = watched_of(
        service, deployment, rendering.definition, plan.options, digests=rendering.digests, began=began
    )
    watch = Watch(
        watched=replace(watched, timeout=timeout_of(wait, facts), drain_seconds=leaving_seconds(facts)),
        facts=facts,
        definition=rendering.definition,
        requirement=requirement_in(rendering.definition, service),
        poll_interval=wait.poll_interval,
        keeps_interval=wait.poll_interval_given,
    )
    return Begun(before=service, watch=watch, cancelled=cancelled)


def follow_rollout(context: Context, plan: Plan, rollout: Begun) -> Verdict:
    """Wait for the verdict over a rollout, and mark the revision where it is good to go back to."""
    verdict = watch_to_end(context, plan.options, rollout).verdict
    if verdict.outcome == Outcome.SUCCEEDED and verdict.stable and plan.service.desired_count:
        mark_succeeded(context, plan.arn, service=plan.service.name)
    return verdict


def watch_to_end(context: Context, options: RolloutOptions, rollout: Begun) -> Ending:
    """Wait for the verdict; do what on-timeout, on-failure and on-cancel say where we end the wait."""
    before = rollout.before
    watcher = Watcher(
        context.aws, context.ecs, context.clock, context.reporter, watch=rollout.watch, service=before
    )
    try:
        if rollout.cancelled:
            raise Cancelled  # noqa: TRY301 - one place says what a cancelled job does
        with heeded_signals():
            ending = watcher.wait()
    except Cancelled:
        verdict = Verdict(
            outcome=Outcome.CANCELLED, reason="The job was cancelled while the rollout went on.", ours=True
        )
        ending = watcher.ending(verdict)
    except Refused:
        context.record(watcher.ending(Verdict(outcome=Outcome.REFUSED, reason="")))
        context.record(still_running(context, before, watcher, why="we cannot see it any more"))
        raise
    context.record(ending)
    if ending.verdict.outcome != Outcome.CANCELLED:
        _tell_moved_tags(context, rollout.watch.watched, ending)
    return leave_or_roll_back(context, options, ending, before, watcher) if ending.verdict.ours else ending


def _tell_moved_tags(context: Context, watched: Watched, ending: Ending) -> None:
    """Record what became of the tags of the images that run, or ran, with another digest than deployed."""
    tasks = (*ending.history.live, *ending.history.stopped)
    other = {each.container: each for each in reversed(other_images(watched, tasks)) if "@" not in each.image}
    for each in other.values():
        with suppress(InvalidInput):
            now = tag_names_now(context.aws, ImageReference.from_text(each.image))
            context.record(
                moved_tag(
                    each.image, container=each.container, wanted=each.wanted, runs=each.runs, names_now=now
                )
            )


def requirement_in(definition: Mapping[str, Any], service: Service) -> Requirement | None:
    """Return what a task asks of an instance; None for what AWS accepts and we cannot read."""
    with suppress(ValueError):
        return requirement_of(definition, constraints=service.placement_constraints)
    return None


def watched_of(
    before: Service,
    deployment: Deployment,
    definition: Mapping[str, Any],
    options: RolloutOptions,
    *,
    digests: Mapping[str, str],
    began: float,
) -> Watched:
    """Return what to wait for; *before* is the service before *deployment*, *definition* what it deploys."""
    wait = options.wait
    return Watched(
        deployment_id=deployment.id,
        task_definition=deployment.task_definition,
        baseline=frozenset(d.id for d in before.deployments if d.id != deployment.id),
        digests=digests,
        started_at=began,
        timeout=wait.timeout,
        placement_timeout=wait.placement_timeout,
        placement_given=wait.placement_timeout_given,
        crash_loop_threshold=options.crash_loop_threshold,
        settle_seconds=options.settle,
        allow_desired_zero=options.allow_desired_zero,
        checked_containers=frozenset(
            str(c.get("name")) for c in definition["containerDefinitions"] if c.get("healthCheck")
        ),
    )


ALARM_BAKE_SECONDS = 300.0
"""How long alarms may watch a finished rolling deployment, where bakeTimeInMinutes does not say."""


def phase_facts(
    service: Service,
    containers: Sequence[Mapping[str, Any]],
    groups: Sequence[TargetGroup],
    options: RolloutOptions,
    *,
    to_pull: LayerDelta | None = None,
) -> PhaseFacts:
    """Return the facts for *service* behind *groups*, running *containers* (raw container definitions)."""
    timing = HealthTiming(
        grace=service.health_check_grace_period,
        load_balancer=_load_balancer_check(groups),
        container=_container_check(containers),
    )
    return PhaseFacts(
        placement_timeout=options.wait.placement_timeout,
        timing=timing,
        pull=max(IMAGE_PULL_SECONDS, to_pull.pull_seconds if to_pull else 0.0),
        healthy_seconds=max((g.interval * g.healthy_threshold + g.timeout for g in groups), default=0.0),
        deregistration_delay=max((g.deregistration_delay for g in groups), default=0.0),
        stop_timeout=max((float(c.get("stopTimeout") or 30) for c in containers), default=30.0),
        bake=_bake(service),
        pauses=service.pause_seconds,
        given=options.phase_deadlines,
    )


def timeout_of(wait: WaitOptions, facts: PhaseFacts) -> float:
    """Return the seconds after which the wait ends: what was given, else the default and AWS's own waits."""
    return wait.timeout if wait.timeout_given else wait.timeout + facts.bake + facts.pauses


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


def fetch_target_groups(aws: Aws, service: Service) -> tuple[TargetGroup, ...]:
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
