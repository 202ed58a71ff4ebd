"""Start a rollout of a revision and wait for its verdict: what deploy, rollback and watch have in common."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import Change
from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.layers import LayerDelta
from ecs_gpu_deploy.core.image.moved_tag import moved_tag
from ecs_gpu_deploy.core.judge.confirm import other_images
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.pace import CANCEL_FIND_SECONDS
from ecs_gpu_deploy.core.judge.phases import phase_facts, with_waits_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import watch_of
from ecs_gpu_deploy.core.past.records import Kind
from ecs_gpu_deploy.core.show.console import codedeploy_page, console_links
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import tag_names_now
from ecs_gpu_deploy.edges.aws.load_balancer import fetch_target_group
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.machine.signals import (
    Cancelled,
    CutShort,
    at_most,
    heeded_signals,
    held_signals,
)
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Ending, RolloutShown
from ecs_gpu_deploy.model import Service, TargetGroup, short_id
from ecs_gpu_deploy.result import Finding, NextStep, Outcome, Predicted, Severity
from ecs_gpu_deploy.steps.end_wait import (
    end_unclear,
    leave_or_roll_back,
    leave_to_aws,
    left_at_stage,
    still_running,
)
from ecs_gpu_deploy.steps.register_revision import recorded, succeeded_tag
from ecs_gpu_deploy.steps.score_rollout import measured_by_rollout, scored
from ecs_gpu_deploy.steps.start_codedeploy import BlueGreen, create_deployment
from ecs_gpu_deploy.steps.start_deployment import nothing_started, start_deployment
from ecs_gpu_deploy.steps.take_turns import Wait, waited
from ecs_gpu_deploy.steps.watch_rollout import Begun, Watcher

_FORESEEN = frozenset(
    {
        *("gpu-capacity", "cpu-capacity", "memory-capacity", "ec2-capacity", "provisioning-limit"),
        *("no-instances", "port-conflict", "deployment-deadlock", "health-check-timing"),
    }
)
"""Diagnoses of room and time, which plan tells before a rollout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWish:
    """What the revision is to tell of this deployment of it, where it was not registered for that."""

    kind: Kind
    reason: str = ""


def record_of_again(service: Service, arn: str) -> RecordWish:
    """Return what is to be told of a deployment of a revision that was there before."""
    return RecordWish(kind="redeploy" if service.task_definition == arn else "deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rollout that is to begin: of the revision `arn`, to `service` as it was seen before.

    `definition` is the raw task definition, `changes` its difference to what runs, `digests` maps containers
    to the digests of which their tasks must report one. Where it is `urgent`, what only the deadlines need is
    asked after the update. `is_way_back`: it takes another rollout back. `desired_count` is set with the
    update unless it is None, and was `scaled_from` before. `settings` is what changes in the service's
    deployment configuration, which is sent where something does; `service_settings` is what else is set in
    it. Where nobody `waits`, its end is left to AWS. `blue_green` says how CodeDeploy deploys the service,
    None where ECS does. `predicted` is what was foreseen of it, None where nobody looked ahead or could.
    """

    service: Service
    arn: str
    definition: Mapping[str, Any]
    options: RolloutOptions
    changes: tuple[Change, ...] = ()
    digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    to_pull: LayerDelta | None = None
    force_new_deployment: bool = True
    urgent: bool = False
    is_way_back: bool = False
    desired_count: int | None = None
    scaled_from: int | None = None
    settings: tuple[str, ...] = ()
    waits: bool = True
    record: RecordWish | None = None
    blue_green: BlueGreen | None = None
    service_settings: ServiceSettings = field(default_factory=ServiceSettings)
    predicted: Predicted | None = None

    @property
    def update(self) -> ServiceUpdate:
        """Return the request that begins it, which `plan` shows."""
        return ServiceUpdate(
            service=self.service.name,
            task_definition=self.arn,
            force=self.force_new_deployment,
            desired_count=self.desired_count,
            configuration=self.service.deployment_configuration if self.settings else None,
            members=self.service_settings.to_api(self.definition, self.service),
        )


def roll_out(context: Context, plan: Plan) -> Ending | Verdict:
    """Update the service to the revision, watch, and return how it ended.

    A verdict alone where AWS made no deployment that could be watched. A job that is cancelled after the
    update does what on-cancel says, whenever the signal comes.
    """
    with held_signals():
        rollout = begin_rollout(context, plan)
        if isinstance(rollout, Verdict):
            return rollout
        if plan.waits or rollout.cancelled:
            ending = waited(context.clock, watch_to_end(context, plan.options, rollout))
        else:
            ending = leave_to_aws(context, rollout)
        mark_revision(context, plan, rollout, ending)
        return ending


def verdict_of(end: Ending | Verdict) -> Verdict:
    """Return the verdict; raise the error that took our sight of the rollout."""
    if isinstance(end, Verdict):
        return end
    if end.error is not None:
        raise end.error
    return end.verdict


def begin_rollout(context: Context, plan: Plan) -> Begun | Verdict:
    """Start a rollout, with signals held; a verdict where AWS made no deployment that could be watched."""
    service, definition, arn = plan.service, plan.definition, plan.arn
    containers = tuple(definition["containerDefinitions"])
    links = console_links(context.aws.region, service, containers)
    context.record(RolloutShown(changes=plan.changes, links=links))
    with heeded_signals():
        groups = () if plan.urgent else fetch_target_groups(context.aws, service)
    began = context.clock.now()
    if plan.blue_green is not None:
        return _begin_blue_green(context, plan, plan.blue_green, groups)
    update = start_deployment(context, service, plan.update)
    deployment, cancelled = update.deployment, update.cancelled
    if not update.is_known:
        return end_unclear(context, plan.options, service, arn, why=update.why, cancelled=cancelled)
    _tell_settings(context, plan)
    if deployment is None:
        return nothing_started(service, arn)
    context.reporter.say(f"deployment {deployment.id} of {short_id(arn)} began")
    _tell_scaling(context, plan)
    if plan.urgent and not cancelled:
        try:
            # Without credentials the watch says what goes on; here that would be lost.
            with suppress(DeployError), heeded_signals():
                groups = fetch_target_groups(context.aws, service)
        except Cancelled:
            cancelled = True
    pull = plan.to_pull.pull_seconds if plan.to_pull else 0.0
    watch = watch_of(
        service,
        definition,
        plan.options,
        phase_facts(service, containers, groups, plan.options, pull_seconds=pull),
        deployment_id=deployment.id,
        task_definition=deployment.task_definition,
        digests=plan.digests,
        began=began,
    )
    return Begun(
        service=service,
        previous=service.task_definition,
        watch=watch,
        cancelled=cancelled,
        is_way_back=plan.is_way_back,
    )


def _tell_settings(context: Context, plan: Plan) -> None:
    """Record what the update, which is sent, has changed in the service's deployment configuration."""
    if plan.settings:
        context.record(
            Finding(
                code="deployment-settings",
                severity=Severity.INFO,
                message=f"With the deployment {plan.service.name} has other deployment settings: "
                f"{'; '.join(plan.settings)}.",
                hint="They stay, also after a rollback, until something sets them again.",
            )
        )


def _tell_scaling(context: Context, plan: Plan) -> None:
    """Record that the update, which is sent, scales the service."""
    if plan.desired_count is None or plan.scaled_from in {None, plan.desired_count}:
        return
    context.record(
        Finding(
            code="desired-count",
            severity=Severity.INFO,
            message=f"With the deployment the desired count of {plan.service.name} goes from "
            f"{plan.scaled_from} to {plan.desired_count}.",
            hint="A rollback, also one by AWS, does not take it back.",
        )
    )


def _begin_blue_green(
    context: Context, plan: Plan, blue_green: BlueGreen, groups: tuple[TargetGroup, ...]
) -> Begun | Verdict:
    """Create the deployment of CodeDeploy, and return what to watch; its waits are added to the deadlines."""
    service, arn = plan.service, plan.arn
    if service.task_definition == arn and not plan.force_new_deployment:
        return nothing_started(service, arn)
    if plan.urgent:
        with heeded_signals():
            groups = fetch_target_groups(context.aws, service)
    began = context.clock.now()
    created = create_deployment(context, blue_green, plan.definition, arn)
    context.reporter.say(f"deployment {created.id} of {short_id(arn)} began at CodeDeploy")
    containers = tuple(plan.definition["containerDefinitions"])
    region = context.aws.region
    links = {
        "CodeDeploy": codedeploy_page(region, created.id),
        **console_links(region, service, containers),
    }
    context.record(RolloutShown(changes=plan.changes, links=links))
    pull = plan.to_pull.pull_seconds if plan.to_pull else 0.0
    facts = phase_facts(service, containers, groups, plan.options, pull_seconds=pull)
    watch = watch_of(
        service,
        plan.definition,
        plan.options,
        with_waits_of(facts, blue_green.group.waits, shift=blue_green.shift),
        deployment_id="",
        task_definition=arn,
        digests=plan.digests,
        began=began,
        codedeploy_id=created.id,
    )
    return Begun(service=service, previous=service.task_definition, watch=watch, cancelled=created.cancelled)


def mark_revision(context: Context, plan: Plan, rollout: Begun, ending: Ending) -> None:
    """Mark the revision of *plan* with who did this deployment of it, and with what it has shown.

    Where it ended well, with that it is good to go back to and how long its tasks took; where it was
    foreseen, with what was foreseen of it and came, which is recorded.
    """
    verdict, about = ending.verdict, {}
    watched = rollout.watch.watched
    number = watched.codedeploy_id or short_id(watched.deployment_id)
    seconds = CANCEL_FIND_SECONDS if verdict.outcome == Outcome.CANCELLED else None
    with suppress(CutShort), at_most(seconds) if seconds else nullcontext():
        if plan.record is not None:
            about = recorded(context, plan.arn, number, plan.record.kind, reason=plan.record.reason)
        if verdict.outcome == Outcome.SUCCEEDED and verdict.stable and plan.service.desired_count:
            about |= succeeded_tag(context, service=plan.service.name)
            about |= measured_by_rollout(ending)
        if plan.predicted is not None:
            before = [rollout.previous] if plan.record is None else [plan.arn, rollout.previous]
            about |= scored(context, plan.predicted, ending, number=number, before=before)
        if about:
            tag_revision(context.aws, plan.arn, about)


def watch_to_end(context: Context, options: RolloutOptions, rollout: Begun) -> Wait[Ending]:
    """Wait for the verdict; do what on-timeout, on-failure and on-cancel say where we end the wait.

    Where we cannot see the rollout any more, the ending has the error.
    """
    watcher = Watcher(context, rollout)
    ending = yield from watcher.wait(cancelled=rollout.cancelled)
    context.record(ending)
    if foreseeable := _plan_hint(context, rollout.service, ending):
        context.record(foreseeable)
    if ending.error is not None:
        context.record(still_running(context, rollout, ending, why="we cannot see it any more"))
        return ending
    if ending.verdict.outcome != Outcome.CANCELLED:
        _tell_moved_tags(context, rollout.watch.watched, ending)
    if ending.verdict.outcome == Outcome.STARTED:
        return left_at_stage(context, rollout, ending, watcher)
    if not ending.verdict.ours:
        return ending
    return (yield from leave_or_roll_back(context, options, rollout, ending, watcher))


def _plan_hint(context: Context, service: Service, ending: Ending) -> Finding | None:
    """Return how to foresee it next time, where a cause is one that plan foresees: room, or time to load."""
    if not any(each.code in _FORESEEN for each in ending.diagnoses):
        return None
    cluster, name = shlex.quote(short_id(context.ecs.cluster)), shlex.quote(service.name)
    command = f"ecs-gpu-deploy plan --cluster {cluster} --service {name}"
    return Finding(
        code="foreseen-by-plan",
        severity=Severity.INFO,
        message="Whether a rollout fits, and how long it takes, plan tells before it.",
        hint=f"To foresee the next one: {command}",
        next_steps=(NextStep(purpose="To foresee the next one", command=command),),
    )


def _tell_moved_tags(context: Context, watched: Watched, ending: Ending) -> None:
    """Record what became of the tags of the images that run, or ran, with another digest than deployed."""
    tasks = (*ending.history.live, *ending.history.stopped)
    other = {each.container: each for each in reversed(other_images(watched, tasks)) if "@" not in each.image}
    for each in other.values():
        with suppress(DeployError):
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
