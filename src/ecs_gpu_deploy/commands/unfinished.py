"""What on-timeout, on-failure and on-cancel do with a deployment that still goes on in AWS."""

from __future__ import annotations

import botocore.exceptions

from ecs_gpu_deploy.commands.context import Context
from ecs_gpu_deploy.core.rollout import Verdict
from ecs_gpu_deploy.edges.aws import error_text
from ecs_gpu_deploy.edges.ecs import CONNECTION_ERRORS, UpdateUnclear
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.model import Finding, Outcome, Service, Severity, short_id

_OPTIONS = {Outcome.TIMED_OUT: "on-timeout", Outcome.CANCELLED: "on-cancel"}


def leave_or_roll_back(context: Context, verdict: Verdict, service: Service, deployment_arn: str) -> str:
    """Do what the option for *verdict* says; return the command that rolls back by hand, "" where we did.

    *service* is the service as it was before the deployment, *deployment_arn* may be "".
    """
    option = _OPTIONS.get(verdict.outcome, "on-failure")
    if context.settings.values[option.replace("-", "_")] == "rollback":
        context.draft.findings.append(_rollback(context, service, deployment_arn, option))
        return ""
    command = (
        f"aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {deployment_arn}"
        if deployment_arn
        else f"aws ecs update-service --cluster {context.settings.cluster} --service {service.name} "
        f"--task-definition {short_id(service.task_definition)}"
    )
    context.draft.findings.append(
        Finding(
            code="still-running",
            severity=Severity.WARNING,
            message=f"The deployment goes on in AWS ({option}: leave).",
            hint=f"To roll it back: {command}",
        )
    )
    return command


def _rollback(context: Context, service: Service, deployment_arn: str, option: str) -> Finding:
    previous = short_id(service.task_definition)
    try:
        if deployment_arn:
            context.ecs.stop_deployment(deployment_arn)
        else:
            context.ecs.update_service(
                service.name, task_definition=service.task_definition, force_new_deployment=False
            )
    except (
        botocore.exceptions.ClientError,
        *CONNECTION_ERRORS,
        UpdateUnclear,
        Refused,
        InvalidInput,
    ) as error:
        return Finding(
            code="rollback-not-started",
            severity=Severity.ERROR,
            message=f"The rollback that {option} asks for could not be started: {error_text(error)}",
            hint=f"Roll back by hand to {previous}; the permission is ecs:StopServiceDeployment.",
        )
    context.reporter.say(f"{option}: rollback to {previous} requested")
    return Finding(
        code="rollback-requested",
        severity=Severity.WARNING,
        message=f"The rollback to {previous} was requested ({option}: rollback); AWS carries it out.",
    )
