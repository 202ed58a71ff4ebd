"""deploy: observe → render → check → register → update → watch → report."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.commands.context import Cancelled, Context
from ecs_gpu_deploy.commands.facts import phase_facts
from ecs_gpu_deploy.commands.rendering import Rendering, overrides_from, read_source, rendering_of
from ecs_gpu_deploy.commands.starting import nothing_started, started, without_others
from ecs_gpu_deploy.commands.unfinished import leave_or_roll_back
from ecs_gpu_deploy.commands.watching import Watch, Watcher
from ecs_gpu_deploy.core.console import console_links
from ecs_gpu_deploy.core.diff import diff_text
from ecs_gpu_deploy.core.report import Details
from ecs_gpu_deploy.core.rollout import Verdict, Watched
from ecs_gpu_deploy.edges.reporter import Reporter
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs import Settings, required
from ecs_gpu_deploy.model import Outcome, Service, short_id


def check(settings: Settings) -> None:
    """Raise InvalidInput for what can be known to be wrong without AWS."""
    required(settings, "cluster", "service")
    overrides_from(settings)
    read_source(settings)


def run(context: Context) -> tuple[Verdict, Details]:
    """Deploy, and return the verdict. InvalidInput and Refused leave AWS as it was before UpdateService."""
    ecs, settings, draft = context.ecs, context.settings, context.draft

    service = draft.service = ecs.fetch_service(settings.service)
    draft.previous_task_definition_arn = service.task_definition
    _check_deployable(service, settings)
    rendering = draft.rendering = rendering_of(context.aws, ecs, settings, service)
    draft.findings += rendering.findings
    service = draft.service = without_others(context, service)
    _show_plan(rendering, service, context.reporter)

    arn = draft.task_definition_arn = rendering.existing_arn or ecs.register_task_definition(
        rendering.definition
    )
    containers = tuple(rendering.definition["containerDefinitions"])
    details = draft.details = Details(
        changes=rendering.changes, links=console_links(context.aws.region, service, containers)
    )
    facts = phase_facts(context, service, containers)
    began = context.clock.now()
    deployment = started(context, service, arn)
    if deployment is None:
        return nothing_started(service, arn), details
    context.reporter.say(f"deployment {deployment.id} of {short_id(arn)} began")

    watched = Watched(
        deployment_id=deployment.id,
        task_definition=arn,
        previous_task_definition=service.task_definition,
        baseline=frozenset(d.id for d in service.deployments),
        digests=rendering.digests,
        started_at=began,
        timeout=settings.timeout,
        placement_timeout=settings.placement_timeout,
        crash_loop_threshold=settings.crash_loop_threshold,
        allow_desired_zero=settings.allow_desired_zero,
        has_container_check=any(container.get("healthCheck") for container in containers),
    )
    watch = Watch(watched=watched, facts=facts, containers=containers, poll_interval=settings.poll_interval)
    watcher = Watcher(context.aws, ecs, context.clock, context.reporter, watch=watch, service=service)
    try:
        draft.ending = watcher.wait()
    except Cancelled:
        verdict = Verdict(
            outcome=Outcome.CANCELLED, reason="The job was cancelled while the rollout went on.", ours=True
        )
        draft.ending = watcher.ending(verdict)
    except Refused:
        draft.ending = watcher.ending(Verdict(outcome=Outcome.REFUSED, reason=""))
        raise
    verdict = draft.ending.verdict
    if verdict.ours:
        command = leave_or_roll_back(context, verdict, service, watcher.arn)
        details = replace(details, next_command=command)
    return verdict, details


def _check_deployable(service: Service, settings: Settings) -> None:
    if service.deployment_controller != "ECS":
        raise InvalidInput(
            f"The service {service.name!r} is deployed by {service.deployment_controller}, not by ECS.",
            hint="Only services with the deployment controller ECS can be deployed by this program.",
        )
    if service.status == "DRAINING":
        raise InvalidInput(f"The service {service.name!r} is being deleted (DRAINING).")
    if service.desired_count == 0 and not settings.allow_desired_zero:
        raise InvalidInput(
            f"The desired count of the service {service.name!r} is 0: no task would run, so nothing would be "
            "verified.",
            hint="Scale the service up, or set allow-desired-zero to true.",
        )


def _show_plan(rendering: Rendering, service: Service, reporter: Reporter) -> None:
    reporter.say(
        f"service {service.name}: {short_id(service.task_definition)}, desired {service.desired_count}"
    )
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    else:
        reporter.say("the task definition stays the same: no new revision")
