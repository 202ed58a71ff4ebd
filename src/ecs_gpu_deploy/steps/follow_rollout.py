"""Start a rollout of a revision and wait for its verdict: what deploy, rollback and watch have in common."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.layers import LayerDelta
from ecs_gpu_deploy.core.image.moved_tag import moved_tag
from ecs_gpu_deploy.core.judge.confirm import other_images
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.phases import phase_facts
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import Watch, watch_of
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import tag_names_now
from ecs_gpu_deploy.edges.aws.load_balancer import fetch_target_group
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heeded_signals, held_signals
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.model import Service, TargetGroup, short_id
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
    pull = plan.to_pull.pull_seconds if plan.to_pull else 0.0
    watch = watch_of(
        service,
        deployment,
        rendering.definition,
        plan.options,
        phase_facts(service, containers, groups, plan.options, pull_seconds=pull),
        digests=rendering.digests,
        began=began,
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
