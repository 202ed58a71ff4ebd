"""The task before a deployment: it runs the new revision, as the service would, and has to end well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_request import TaskOverrides, TaskRequest
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.facts import Fact
from ecs_gpu_deploy.inputs.requests import BatchOptions, DeployRequest, RunTaskRequest
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.request_batch import request_tasks
from ecs_gpu_deploy.steps.run_batch import run_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The task that is to run before the deployment: the request of run-task, and RunTask's."""

    request: RunTaskRequest
    asked: TaskRequest


def plan_before(
    context: Context, request: DeployRequest, service: Service, definition: Mapping[str, Any]
) -> Before | None:
    """Return the task that runs before, None for none; InvalidInput where the raw *definition* has no place
    for what it replaces. Changes nothing in AWS.
    """
    if not request.before_task:
        return None
    wish = RunTaskRequest(
        cluster=context.ecs.cluster,
        service=service.name,
        task_definition="",
        revision=None,
        count=1,
        waits=True,
        overrides=_overrides(request),
        subnets=(),
        security_groups=(),
        assign_public_ip=False,
        launch_type="",
        strategy=(),
        tags={},
        volume=request.service_settings.volume,
        propagate_tags="",
        managed_tags=request.service_settings.managed_tags,
        started_by="",
        client_token="",
        batch=BatchOptions(wait=request.rollout.wait, on_timeout="stop", on_cancel="stop"),
    )
    launch = EcsTasks(context.aws, context.ecs.cluster).fetch_launch_settings(service.name)
    return Before(request=wish, asked=request_tasks(wish, launch, RawTaskDefinition(body=definition)))


def run_before(context: Context, before: Before, definition: Mapping[str, Any], arn: str) -> Verdict | None:
    """Run the task of the revision *arn*; return the verdict where the deployment must not begin after it.

    Of one that ended well only what was noticed is recorded: the result is about the deployment.
    """
    kept: list[Fact] = []
    began = context.clock.now()
    own = replace(context, record=kept.append, reporter=context.reporter.of("before-task"))
    raw = RawTaskDefinition(body={**definition, "taskDefinitionArn": arn})
    try:
        verdict = run_batch(own, before.request, replace(before.asked, task_definition=arn), raw)
    except BaseException:
        for fact in kept:
            context.record(fact)
        raise
    if verdict.outcome != Outcome.SUCCEEDED:
        for fact in kept:
            context.record(fact)
        said = verdict.reason.rstrip(".")
        return replace(
            verdict, reason=f"The task before the deployment: {said}. The service was not updated."
        )
    for fact in kept:
        if isinstance(fact, Finding):
            context.record(fact)
    took = span(context.clock.now() - began)
    context.record(
        Finding(
            code="before-task",
            severity=Severity.INFO,
            message=f"The task before the deployment ended well after {took}.",
        )
    )
    return None


def _overrides(request: DeployRequest) -> TaskOverrides:
    return TaskOverrides(
        container="",
        command=None,
        environment={},
        container_cpu=None,
        container_memory=None,
        container_memory_reservation=None,
        gpu=None,
        cpu="",
        memory="",
        task_role_arn="",
        execution_role_arn="",
        containers=request.before_task,
    )
