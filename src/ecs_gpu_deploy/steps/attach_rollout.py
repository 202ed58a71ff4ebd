"""Attach to a service deployment that is under way: find out all that a watch of it needs."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.judge.codedeploy import BlueGreenWaits
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.phases import phase_facts, with_waits_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import watch_of
from ecs_gpu_deploy.core.show.console import console_links
from ecs_gpu_deploy.edges.aws.answers import AwsError, Missing, needed_to, refused
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen, PreviousRevision, RevisionChosen, RolloutShown
from ecs_gpu_deploy.model import Service, ServiceDeployment, short_id
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.end_wait import watch_command
from ecs_gpu_deploy.steps.follow_rollout import fetch_target_groups, verdict_of, watch_to_end
from ecs_gpu_deploy.steps.take_turns import waited
from ecs_gpu_deploy.steps.watch_rollout import Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A deployment that somebody else began: `task_definition` is the ARN of what it deploys."""

    rollout: Begun
    task_definition: str
    image: ImageSeen


def attach_any(context: Context, options: RolloutOptions, service: Service, arn: str) -> Attached:
    """Attach to a service deployment, or to a deployment of CodeDeploy's (its id begins with d-)."""
    return (attach_codedeploy if arn.startswith("d-") else attach)(context, options, service, arn)


def attach(context: Context, options: RolloutOptions, service: Service, arn: str) -> Attached:
    """Attach to the service deployment *arn*; the timeout counts from now."""
    found = deployment_of(context, service, arn)
    now = context.clock.now()
    with needed_to("describe the service revisions"):
        wanted = (found.target_revision_arn, *found.source_revision_arns)
        revisions = {r.arn: r for r in fetch_service_revisions(context.aws, dict.fromkeys(wanted))}
    target = revisions.get(found.target_revision_arn)
    if target is None:
        raise InvalidInput(f"AWS does not say what the service deployment {short_id(arn)} deploys.")
    source = next((revisions[a] for a in found.source_revision_arns if a in revisions), None)
    raw = context.ecs.fetch_task_definition(target.task_definition)
    containers = tuple(raw.body["containerDefinitions"])
    context.record(PreviousRevision(arn=source.task_definition if source else ""))
    context.record(RolloutShown(links=console_links(context.aws.region, service, containers)))

    watch = watch_of(
        service,
        raw.body,
        options,
        phase_facts(service, containers, fetch_target_groups(context.aws, service), options),
        deployment_id=f"ecs-svc/{short_id(found.target_revision_arn)}",
        task_definition=target.task_definition,
        digests={name: (digest,) for name, digest in target.digests.items()},
        began=found.created_at or now,
        attached_at=now,
        deployment_arn=arn,
    )
    image = ImageSeen(
        image=next(iter(images(raw.body).values()), ""), digest=next(iter(target.digests.values()), "")
    )
    previous = source.task_definition if source else service.task_definition
    return Attached(
        rollout=Begun(service=service, previous=previous, watch=watch),
        task_definition=target.task_definition,
        image=image,
    )


def attach_codedeploy(
    context: Context, options: RolloutOptions, service: Service, deployment_id: str
) -> Attached:
    """Attach to a deployment of CodeDeploy's; the timeout counts from now."""
    edge = CodeDeploy(context.aws)
    found = edge.fetch_deployment(deployment_id)
    now = context.clock.now()
    task_sets = service.deployments
    made = next((each for each in task_sets if each.external_id == deployment_id), None)
    target = found.task_definition or (made.task_definition if made else "")
    if not target:
        raise InvalidInput(f"AWS does not say what the deployment {deployment_id} deploys.")
    if made is None and found.application:
        group = edge.fetch_group(found.application, found.group)
        if (short_id(context.ecs.cluster), service.name) not in group.services:
            raise InvalidInput(
                f"The deployment {deployment_id} is not of the service {service.name!r}.",
                hint=f"It is of the deployment group {found.group!r}.",
            )
    raw = context.ecs.fetch_task_definition(target)
    containers = tuple(raw.body["containerDefinitions"])
    before = next((each.task_definition for each in task_sets if each is not made), "")
    context.record(PreviousRevision(arn=before))
    context.record(RolloutShown(links=console_links(context.aws.region, service, containers)))
    waits = BlueGreenWaits(
        ready=found.ready_wait, for_person=found.waits_for_person, termination=found.termination_wait
    )
    facts = phase_facts(service, containers, fetch_target_groups(context.aws, service), options)
    watch = watch_of(
        service,
        raw.body,
        options,
        with_waits_of(facts, waits, shift=edge.shift_seconds(found.config) if found.config else 0.0),
        deployment_id=made.id if made else "",
        task_definition=raw.arn,
        digests={},
        began=found.created_at or now,
        attached_at=now,
        codedeploy_id=deployment_id,
    )
    return Attached(
        rollout=Begun(service=service, previous=before or service.task_definition, watch=watch),
        task_definition=raw.arn,
        image=ImageSeen(image=next(iter(images(raw.body).values()), ""), digest=""),
    )


def watch_under_way(context: Context, options: RolloutOptions, service: Service, arn: str) -> Verdict:
    """Watch the service deployment *arn*, which brings what is wanted already: no second one is started.

    *arn* may be the id of a CodeDeploy deployment.
    """
    context.reporter.say(f"its rollout is under way already ({short_id(arn)}), and is watched")
    attached = attach_any(context, options, service, arn)
    context.record(RevisionChosen(arn=attached.task_definition))
    context.record(attached.image)
    return verdict_of(waited(context.clock, watch_to_end(context, options, attached.rollout)))


def left_under_way(context: Context, service: Service, arn: str) -> Verdict:
    """Return the verdict where nobody waits for the service deployment *arn* that is under way already."""
    how = watch_command(context, service, arn)
    return Verdict(
        outcome=Outcome.STARTED,
        reason=f"Its rollout was under way already; nobody waited, so how it ends is not known. To watch it: "
        f"{how}",
    )


def deployment_of(context: Context, service: Service, arn: str) -> ServiceDeployment:
    """Return the service deployment *arn*; InvalidInput where it is not there, or of another service."""
    try:
        found = context.ecs.observe_deployment(arn)
    except Missing as error:
        raise _absent(arn) from error
    except AwsError as error:
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
