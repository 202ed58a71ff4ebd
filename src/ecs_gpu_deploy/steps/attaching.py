"""Attach to a service deployment that is already there, and wait for the verdict over it."""

from __future__ import annotations

from dataclasses import replace

import botocore.exceptions

from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.aws.client import error_code, refused
from ecs_gpu_deploy.edges.aws.ecs import CONNECTION_ERRORS, HalfAnswer
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Deployment, Service, ServiceDeployment, short_id
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.facts import phase_facts, timeout_of
from ecs_gpu_deploy.steps.follow_rollout import requirement_in, watch_to_end, watched_of
from ecs_gpu_deploy.steps.observe_rollout import Watch

_ABSENT = frozenset({"ServiceDeploymentNotFoundException", "InvalidParameterException"})


def attached(context: Context, service: Service, arn: str) -> tuple[Verdict, Details]:
    """Watch the service deployment *arn* to its verdict; the timeout counts from now."""
    draft, settings = context.draft, context.settings
    found = _deployment(context, service, arn)
    now = context.clock.now()
    try:
        wanted = (found.target_revision_arn, *found.source_revision_arns)
        revisions = {r.arn: r for r in fetch_service_revisions(context.aws, dict.fromkeys(wanted))}
    except (botocore.exceptions.ClientError, *CONNECTION_ERRORS) as error:
        raise refused(error, "describe the service revisions") from error
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
    except botocore.exceptions.ClientError as error:
        if error_code(error) in _ABSENT:
            raise _absent(arn) from error
        raise refused(error, "describe the service deployment") from error
    except CONNECTION_ERRORS as error:
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
