"""Observe what a service is and does now: what cannot be seen is said, and costs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.capacity.holders import gpus_held
from ecs_gpu_deploy.core.definition.provenance import told_by
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.past.ongoing import Ongoing, newest_ongoing, ongoing_classic, ongoing_of
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import Deployment, Event, Service, Task
from ecs_gpu_deploy.result import (
    Finding,
    RunningImage,
    RunningRevision,
    SeenEvent,
    ServiceStatus,
    Severity,
)
from ecs_gpu_deploy.steps.start_codedeploy import ongoing_by_task_sets, told_ongoing

_EVENTS = 6
_STEADY = "has reached a steady state"


def observe_status(context: Context, service: Service) -> ServiceStatus:
    """Return the status of *service*; what AWS does not show is recorded as a finding each."""
    tasks: Sequence[Task] = ()
    with _unless_unseen(context, "its tasks", "ecs:ListTasks and ecs:DescribeTasks"):
        tasks = context.ecs.observe_tasks(service.name, with_stopped=False).tasks
    revisions = [_revision(context, deployment, tasks) for deployment in service.deployments]
    ongoing = _ongoing(context, service)
    now = context.clock.now()
    return ServiceStatus(
        at=now,
        status=service.status,
        desired=service.desired_count,
        running=service.running_count,
        pending=service.pending_count,
        revisions=revisions,
        ongoing=ongoing.told(now) if ongoing else "",
        stop=ongoing.stop if ongoing else "",
        gpus=_gpus(context, tasks),
        events=_events(service.events),
    )


@contextmanager
def _unless_unseen(context: Context, what: str, permissions: str) -> Iterator[None]:
    try:
        yield
    except (AwsError, DeployError) as error:
        context.record(
            Finding(
                code="cannot-see",
                severity=Severity.WARNING,
                message=f"AWS does not show us {what}: {str(error).rstrip('.')}.",
                hint=f"Allow {permissions}.",
            )
        )


def _revision(context: Context, deployment: Deployment, tasks: Sequence[Task]) -> RunningRevision:
    own = [task for task in tasks if task.started_by == deployment.id]
    commit, named = "", {}
    with _unless_unseen(context, "a task definition", "ecs:DescribeTaskDefinition"):
        raw = context.ecs.fetch_task_definition(deployment.task_definition)
        commit, named = told_by(raw.tags).get("commit", ""), images(raw.body)
    return RunningRevision(
        task_definition_arn=deployment.task_definition,
        status=deployment.status,
        state=str(deployment.rollout_state or ""),
        desired=deployment.desired_count,
        running=deployment.running_count,
        pending=deployment.pending_count,
        failed=deployment.failed_tasks,
        healthy=sum(task.health_status == "HEALTHY" for task in own),
        commit=commit,
        created_at=deployment.created_at,
        images=[
            RunningImage(container=name, image=image, digests=_digests(own, name))
            for name, image in named.items()
        ],
    )


def _digests(tasks: Sequence[Task], container: str) -> tuple[str, ...]:
    seen = (each.image_digest for task in tasks for each in task.containers if each.name == container)
    return tuple(dict.fromkeys(digest for digest in seen if digest))


def _ongoing(context: Context, service: Service) -> Ongoing | None:
    """Return the deployment that is under way; where AWS lists none for us, the classic ones tell."""
    if service.deployment_controller == "CODE_DEPLOY":
        with _unless_unseen(context, "the deployment of CodeDeploy", "codedeploy:GetDeployment"):
            found = ongoing_by_task_sets(context, service)
            return told_ongoing(found) if found is not None else None
        return None
    try:
        briefs = context.ecs.fetch_deployments(service.name)
    except (AwsError, DeployError):
        return ongoing_classic(context.ecs.cluster, service)
    brief = newest_ongoing(briefs)
    if brief is None:
        return None
    with _unless_unseen(context, "its stage and hooks", "ecs:DescribeServiceDeployments"):
        return ongoing_of(context.ecs.observe_deployment(brief.arn))
    return ongoing_of(brief)


def _gpus(context: Context, tasks: Sequence[Task]) -> dict[str, int]:
    """Return who holds GPUs on the cluster's instances, where the service has some itself."""
    if not any(container.gpu_ids for task in tasks for container in task.containers):
        return {}
    everyone: Sequence[Task] = tasks
    with _unless_unseen(context, "the cluster's tasks", "ecs:ListTasks and ecs:DescribeTasks"):
        everyone = context.ecs.observe_cluster_tasks()
    return gpus_held(everyone, {task.container_instance_arn for task in everyone})


def _events(events: Sequence[Event]) -> tuple[SeenEvent, ...]:
    told = [event for event in events if _STEADY not in event.message]
    return tuple(SeenEvent(at=event.created_at, message=event.message) for event in told[:_EVENTS])
