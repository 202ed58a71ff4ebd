"""Find the pause hook that waits for an answer, and answer it.

A deployment waits at a hook with the target type PAUSE until somebody sends ContinueServiceDeployment, or it
expires (docs/aws-facts.md#pause-hooks).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.past.ongoing import newest_ongoing
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, needed_to, refused
from ecs_gpu_deploy.edges.aws.pause_hooks import HookAction, answer_hook
from ecs_gpu_deploy.edges.machine.signals import heed_held, is_cancelled
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.facts import Changed, RevisionChosen, ServiceSeen
from ecs_gpu_deploy.inputs.requests import AnswerRequest
from ecs_gpu_deploy.model import LifecycleHook, Service, ServiceDeployment, short_id
from ecs_gpu_deploy.steps.attach_rollout import Attached, attach, deployment_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A deployment that waits at a `hook`, attached to, so that it can be watched once that is answered."""

    deployment: ServiceDeployment
    hook: LifecycleHook
    attached: Attached

    @property
    def where(self) -> str:
        """Return which hook of what it is, for a sentence."""
        stage = self.deployment.lifecycle_stage or "a stage that AWS does not name"
        return f"the hook {self.hook.id} at {stage} of deployment {short_id(self.deployment.arn)}"


def find_paused(context: Context, request: AnswerRequest) -> Paused:
    """Return the deployment that waits and its hook, all that is needed to watch it known.

    Refused where nothing waits, or of several hooks none is named; InvalidInput for what is not there.
    """
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name))
    if service.deployment_controller != "ECS":
        raise InvalidInput(
            f"The service {service.name!r} is deployed by {service.deployment_controller}, and only "
            "deployments by ECS itself have pause hooks.",
            hint="aws deploy continue-deployment sends the traffic on, where CodeDeploy waits for that."
            if service.deployment_controller == "CODE_DEPLOY"
            else "",
        )
    arn = request.service_deployment or _ongoing(context, service)
    deployment = deployment_of(context, service, arn)
    hook = _hook_of(deployment, request)
    left = "" if hook.expires_at is None else f" for another {span(hook.expires_at - context.clock.now())}"
    attached = attach(context, request.rollout, service, deployment.arn)
    context.record(RevisionChosen(arn=attached.task_definition))
    context.record(attached.image)
    found = Paused(deployment=deployment, hook=hook, attached=attached)
    context.reporter.say(f"{found.where} waits for an answer{left}")
    return found


def answer(context: Context, paused: Paused, action: HookAction) -> Paused:
    """Answer the hook, with signals held; return what is to be watched now."""
    heed_held()
    with needed_to(f"answer {paused.where} with {action}"):
        answer_hook(context.aws, context.ecs, paused.deployment.arn, paused.hook.id, action)
    context.record(Changed(subject="hook", what=f"{paused.where} was answered with {action}"))
    context.reporter.say(f"{paused.where} was answered with {action}")
    rollout = replace(paused.attached.rollout, cancelled=is_cancelled())
    return replace(paused, attached=replace(paused.attached, rollout=rollout))


def _ongoing(context: Context, service: Service) -> str:
    """Return the ARN of the service deployment that is under way."""
    try:
        briefs = context.ecs.fetch_deployments(service.name)
    except AwsError as error:
        if isinstance(error, Closed):
            raise Refused(
                "AWS does not show us the service deployments, so nobody can tell what waits.",
                hint="Allow ecs:ListServiceDeployments and ecs:DescribeServiceDeployments, or name it with "
                "service-deployment.",
            ) from error
        raise refused(error, "list the service deployments") from error
    if ongoing := newest_ongoing(briefs):
        return ongoing.arn
    last = f" (the last one, {short_id(briefs[0].arn)}, ended as {briefs[0].status})" if briefs else ""
    raise Refused(
        f"No deployment of the service {service.name!r} is under way, so nothing waits for an answer{last}."
    )


def _hook_of(deployment: ServiceDeployment, request: AnswerRequest) -> LifecycleHook:
    """Return the hook that is meant, of those that wait."""
    name, status = short_id(deployment.arn), deployment.status
    if status.is_terminal or status.is_going_back:
        doing = "is over" if status.is_terminal else "goes back already"
        raise Refused(f"The service deployment {name} {doing} ({status}): nothing waits for an answer.")
    waiting = deployment.awaited_hooks
    if not waiting:
        stage = f" in {deployment.lifecycle_stage}" if deployment.lifecycle_stage else ""
        raise Refused(
            f"The service deployment {name} is {status}{stage}, and none of its hooks waits for an answer.",
            hint="deploy, watch and status say it when one does.",
        )
    meant = [hook for hook in waiting if hook.id == request.hook] if request.hook else list(waiting)
    ids = ", ".join(hook.id for hook in waiting)
    if not meant:
        raise Refused(
            f"The hook {request.hook[:100]!r} of the service deployment {name} does not wait for an answer.",
            hint=f"What waits is {ids}.",
        )
    if len(meant) > 1:
        raise Refused(
            f"{len(meant)} hooks of the service deployment {name} wait for an answer.",
            hint=f"Name one with hook: {ids}.",
        )
    return meant[0]
