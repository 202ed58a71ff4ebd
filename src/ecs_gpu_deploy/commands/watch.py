"""watch: attach to a deployment, or to batch tasks, that somebody else began."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, Missing, Rejected, refused
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.facts import RevisionChosen, ServiceSeen
from ecs_gpu_deploy.inputs.requests import WatchRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.steps.attach_rollout import attach_any
from ecs_gpu_deploy.steps.end_batch import StartedBy, watch_batch_to_end
from ecs_gpu_deploy.steps.follow_rollout import verdict_of, watch_to_end
from ecs_gpu_deploy.steps.see_address import see_address
from ecs_gpu_deploy.steps.start_codedeploy import group_of
from ecs_gpu_deploy.steps.start_deployment import check_stage
from ecs_gpu_deploy.steps.take_turns import waited
from ecs_gpu_deploy.steps.watch_batch import Batch, BatchWatcher


def run(context: Context, request: WatchRequest) -> Verdict:
    """Watch to the verdict."""
    if request.tasks or request.started_by:
        return _watch_tasks(context, request)
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name))
    check_stage(service, request.rollout.until)
    arn = request.service_deployment or _newest(context, request, service)
    context.reporter.say(f"watching {short_id(arn)} of {service.name}")
    attached = attach_any(context, request.rollout, service, arn)
    context.record(RevisionChosen(arn=attached.task_definition))
    context.record(attached.image)
    verdict = verdict_of(waited(context.clock, watch_to_end(context, request.rollout, attached.rollout)))
    return see_address(context, service, verdict)


def _newest(context: Context, request: WatchRequest, service: Service) -> str:
    """Return the service deployment that is ongoing, else the newest."""
    if service.deployment_controller == "CODE_DEPLOY":
        group = group_of(context, request.codedeploy, service)
        listed = CodeDeploy(context.aws).fetch_rollouts(group.application, group.name, most=10)
        if not listed:
            raise InvalidInput(f"CodeDeploy lists no deployment of the service {service.name!r}.")
        return next((each for each in listed if not each.status.is_terminal), listed[0]).arn
    try:
        briefs = context.ecs.fetch_deployments(service.name, with_status=False)
    except AwsError as error:
        if isinstance(error, Closed):
            raise Refused(
                "AWS does not show us the service deployments, so there is none to attach to.",
                hint="Allow ecs:ListServiceDeployments and ecs:DescribeServiceDeployments.",
            ) from error
        raise refused(error, "list the service deployments") from error
    if not briefs:
        raise InvalidInput(f"The service {service.name!r} has had no deployment in the last 90 days.")
    ongoing = (brief for brief in briefs if brief.status and not brief.status.is_terminal)
    return next(ongoing, briefs[0]).arn


def _watch_tasks(context: Context, request: WatchRequest) -> Verdict:
    edge = EcsTasks(context.aws, request.cluster)
    try:
        arns = request.tasks or edge.started_by(request.started_by)
        tasks = edge.observe(list(dict.fromkeys(arns)))
    except (Missing, Rejected) as error:
        raise InvalidInput(f"AWS does not know the tasks: {error.code}: {error.text}") from error
    except AwsError as error:
        raise refused(error, "describe the tasks") from error
    if not tasks:
        what = ", ".join(request.tasks) or f"started by {request.started_by}"
        raise InvalidInput(
            f"There are no tasks {what[:200]} in the cluster {request.cluster!r}.",
            hint="AWS forgets a task about an hour after its end, and finds by started-by only what runs.",
        )
    context.record(RevisionChosen(arn=tasks[0].task_definition_arn))
    raw = context.ecs.fetch_task_definition(tasks[0].task_definition_arn)
    batch = Batch(request=None, definition=raw.body, wanted=len(tasks))
    watcher = BatchWatcher(context, batch, request.batch.wait, known=tasks)
    started_by = StartedBy(text=request.started_by, is_ours=False)
    return watch_batch_to_end(context, request.batch, watcher, started_by)
