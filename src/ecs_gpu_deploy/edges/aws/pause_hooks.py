"""Answer the pause hooks of a service deployment of Amazon ECS."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from ecs_gpu_deploy.edges.aws.answers import AwsError, Rejected, Unclear
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs

HookAction = Literal["CONTINUE", "ROLLBACK"]


def answer_hook(aws: Aws, ecs: Ecs, arn: str, hook: str, action: HookAction) -> None:
    """Tell AWS what to do at the pause *hook* (its id) of the service deployment *arn*; raises AwsError.

    Where the answer was lost the deployment tells whether the hook still waits, and only then it is sent once
    more. Source: docs/aws-facts.md#pause-hooks.
    """
    params = {"serviceDeploymentArn": arn, "hookId": hook, "action": action}
    try:
        aws.change("ecs", "continue_service_deployment", params)
    except Unclear:
        if not _may_wait(ecs, arn, hook):
            return
        try:
            aws.change("ecs", "continue_service_deployment", params)
        except Rejected:
            if _may_wait(ecs, arn, hook):
                raise


def _may_wait(ecs: Ecs, arn: str, hook: str) -> bool:
    """Say whether the hook waits, also where AWS does not show it just now."""
    with suppress(AwsError):
        return any(each.id == hook for each in ecs.observe_deployment(arn).awaited_hooks)
    return True
