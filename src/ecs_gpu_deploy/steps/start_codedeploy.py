"""Start a deployment through CodeDeploy: everything checked first, then CreateDeployment, once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.appspec import AppSpec, appspec_of, filled, revision_content
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.judge.codedeploy import CodeDeployment, stop_command_of
from ecs_gpu_deploy.core.judge.update_sent import LOOK_PAUSES
from ecs_gpu_deploy.core.past.ongoing import Ongoing
from ecs_gpu_deploy.edges.aws.answers import AwsError, Unclear, needed_to, refused
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy, DeploymentGroup
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_held, heeded_signals, is_cancelled
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs.requests import CodeDeployWish
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity

_LONGEST_DESCRIPTION = 512
"""CodeDeploy refuses a longer one (DescriptionTooLongException); the official action cuts it there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueGreen:
    """How CodeDeploy deploys a service; `shift` are the seconds over which it shifts traffic."""

    group: DeploymentGroup
    appspec: AppSpec
    balanced: tuple[tuple[str, int], ...]
    config: str = ""
    description: str = ""
    shift: float = 0.0

    def revision(self, definition: Mapping[str, Any], arn: str) -> tuple[str, str]:
        """Return the AppSpec with the revision *arn* of the raw *definition*, and its SHA-256."""
        containers = tuple(images(definition))
        made = filled(self.appspec, task_definition=arn, balanced=self.balanced, containers=containers)
        return revision_content(made)

    def check_fit(self, definition: Mapping[str, Any]) -> None:
        """Raise InvalidInput where the AppSpec and the raw *definition*, not registered yet, do not fit."""
        self.revision(definition, "")


def blue_green_of(context: Context, wish: CodeDeployWish, service: Service) -> BlueGreen | None:
    """Return how CodeDeploy deploys the service, None where ECS does; InvalidInput where it cannot.

    The application, the deployment group and its configuration are seen to exist, and to be of this service.
    """
    if service.deployment_controller != "CODE_DEPLOY":
        if wish.is_given:
            context.record(
                Finding(
                    code="codedeploy-unused",
                    severity=Severity.WARNING,
                    message=f"The service {service.name!r} is deployed by ECS, so the codedeploy inputs are "
                    "not used.",
                    hint="Leave them out.",
                )
            )
        return None
    group = group_of(context, wish, service)
    edge = CodeDeploy(context.aws)
    description = wish.description
    if len(description) > _LONGEST_DESCRIPTION:
        description = description[:_LONGEST_DESCRIPTION]
        context.record(
            Finding(
                code="description-cut",
                severity=Severity.WARNING,
                message=f"codedeploy-deployment-description has {len(wish.description)} characters; "
                f"CodeDeploy keeps {_LONGEST_DESCRIPTION}, so the rest was cut off.",
            )
        )
    return BlueGreen(
        group=group,
        appspec=dict(wish.appspec) if wish.appspec is not None else appspec_of(service.balanced),
        balanced=service.balanced,
        config=wish.config,
        description=description,
        shift=edge.shift_seconds(wish.config or group.config),
    )


def check_not_scaled(blue_green: BlueGreen | None, service: Service, desired_count: int | None) -> None:
    """Raise InvalidInput where CodeDeploy is to change the desired count, which it cannot."""
    if blue_green is not None and desired_count not in {None, service.desired_count}:
        raise InvalidInput(
            f"desired-count is {desired_count}, and a deployment of CodeDeploy's keeps the "
            f"{service.desired_count} of the service {service.name!r}.",
            hint="Set it before, with `aws ecs update-service --desired-count`.",
        )


def group_of(context: Context, wish: CodeDeployWish, service: Service) -> DeploymentGroup:
    """Return the deployment group of the service, seen to be one that deploys it blue/green."""
    suffix = f"{short_id(context.ecs.cluster)}-{service.name}"
    group = CodeDeploy(context.aws).fetch_group(
        wish.application or f"AppECS-{suffix}", wish.group or f"DgpECS-{suffix}"
    )
    here = (short_id(context.ecs.cluster), service.name)
    if group.platform not in {"", "ECS"}:
        raise InvalidInput(f"The deployment group {group.name!r} is for {group.platform}, not for ECS.")
    if here not in group.services:
        others = ", ".join("/".join(each) for each in group.services) or "no ECS service"
        raise InvalidInput(
            f"The deployment group {group.name!r} deploys {others}, not {'/'.join(here)}.",
            hint="Set codedeploy-application and codedeploy-deployment-group to those of this service.",
        )
    if group.style != ("BLUE_GREEN", "WITH_TRAFFIC_CONTROL"):
        raise InvalidInput(
            f"The deployment group {group.name!r} has the style {' '.join(group.style)}; a deployment to ECS "
            "is BLUE_GREEN WITH_TRAFFIC_CONTROL.",
        )
    return group


def ongoing_codedeploy(context: Context, group: DeploymentGroup) -> CodeDeployment | None:
    """Return the deployment of the group that is under way: CodeDeploy allows one at a time."""
    with needed_to("list the deployments of CodeDeploy"):
        return next(iter(CodeDeploy(context.aws).active(group.application, group.name)), None)


def ongoing_by_task_sets(context: Context, service: Service) -> CodeDeployment | None:
    """Return the deployment of CodeDeploy's that is under way, as the task sets name it; raises AwsError."""
    for made_by in dict.fromkeys(each.external_id for each in service.deployments):
        if made_by.startswith("d-"):
            found = CodeDeploy(context.aws).observe(made_by)
            if not found.status.is_over:
                return found
    return None


def told_ongoing(deployment: CodeDeployment) -> Ongoing:
    """Return what is told of a CodeDeploy deployment that is under way."""
    going_back = bool(deployment.rolls_back) or deployment.creator == "codeDeployRollback"
    return Ongoing(
        name=deployment.id,
        status=deployment.status,
        created_at=deployment.created_at,
        stop="" if going_back else stop_command_of(deployment.id),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The id of the deployment that was created; `cancelled`: the job was meanwhile."""

    id: str
    cancelled: bool = False


def create_deployment(context: Context, plan: BlueGreen, definition: Mapping[str, Any], arn: str) -> Created:
    """Send CreateDeployment, with signals held, and return what it made; Refused where nobody can tell.

    Where the answer was lost, the one deployment under way tells by its AppSpec: a group has no two.
    """
    heed_held()
    content, sha256 = plan.revision(definition, arn)
    edge = CodeDeploy(context.aws)
    try:
        made = edge.create(plan.group, content, sha256, config=plan.config, description=plan.description)
    except Unclear as error:
        context.reporter.say(f"AWS did not say whether it deploys ({error.text}); looking")
        made = _look_for(context, plan.group, content)
        if not made:
            raise Refused(
                f"Whether CodeDeploy began the deployment of {short_id(arn)} is not known ({error.text}).",
                hint=f"Look: aws deploy list-deployments --application-name {plan.group.application} "
                f"--deployment-group-name {plan.group.name}",
            ) from error
    except AwsError as error:
        if error.code == "DeploymentLimitExceededException":
            raise Refused(
                f"CodeDeploy runs another deployment of this group: {error.text}",
                hint="Set ongoing to wait, and give the workflow a concurrency group.",
            ) from error
        raise refused(error, "create the deployment of CodeDeploy") from error
    return Created(id=made, cancelled=is_cancelled())


def _look_for(context: Context, group: DeploymentGroup, content: str) -> str:
    for pause in LOOK_PAUSES:
        with suppress(Cancelled), heeded_signals():
            context.clock.sleep(pause)
        with suppress(AwsError):
            for each in CodeDeploy(context.aws).active(group.application, group.name):
                if each.appspec == content:
                    return each.id
        if is_cancelled():
            break
    return ""
