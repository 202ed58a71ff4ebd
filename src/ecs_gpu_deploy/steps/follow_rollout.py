"""Start a rollout of a revision and wait for its verdict: what deploy, rollback and watch have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heeded_signals, held_signals
from ecs_gpu_deploy.errors import Refused
from ecs_gpu_deploy.model import Deployment, Outcome, Service, short_id
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.end_wait import leave_or_roll_back, still_running
from ecs_gpu_deploy.steps.facts import phase_facts, timeout_of
from ecs_gpu_deploy.steps.register_revision import mark_succeeded
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.start_deployment import nothing_started, started, started_after_all
from ecs_gpu_deploy.steps.watch_rollout import Watch, Watcher


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
