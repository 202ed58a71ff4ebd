"""keep-revisions: deregister what no service, rollback, schedule or state machine needs any more.

It runs after a deployment that succeeded, and never fails it. Where it cannot be known who uses a
revision, nothing is deregistered.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.pace import DEREGISTRATION_SECONDS, DEREGISTRATIONS_AT_ONCE
from ecs_gpu_deploy.core.past.retention import superfluous
from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError, one_line
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.edges.aws.revisions import TooMany, deregister, fetch_family, fetch_rollouts, fetch_users
from ecs_gpu_deploy.edges.machine.signals import Cancelled
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.follow_rollout import Plan

_MOST = 1000


def _rollouts(context: Context, plan: Plan, cluster: str, service: str) -> tuple[Rollout, ...]:
    """Return the newest 100 rollouts of a service, of *plan*'s own from CodeDeploy where that deploys it."""
    if plan.blue_green is not None and service == plan.service.name:
        group = plan.blue_green.group
        return CodeDeploy(context.aws).fetch_rollouts(group.application, group.name, most=100) or ()
    return fetch_rollouts(context.aws, cluster, service, most=100) or ()


def clean_up_revisions(context: Context, plans: Sequence[Plan], *, keep: int | None) -> None:
    """Deregister superfluous revisions of the family that *plans* brought, and say which; None keeps all.

    They bring one revision to several services, each of which may be rolled back later.
    """
    if not keep:
        return
    plan = plans[0]
    done: list[str] = []
    problem = ""
    try:
        family = short_id(plan.arn).rpartition(":")[0]
        revisions = fetch_family(context.aws, family, most=_MOST) or ()
        users = fetch_users(context.aws, family)
        own = (plan.service.cluster_arn, plan.service.name)
        rollouts, *others = [
            _rollouts(context, plan, cluster, name) for cluster, name in dict.fromkeys((own, *users.services))
        ]
        doomed = superfluous(
            revisions,
            current=plan.arn,
            previous=plan.service.task_definition,
            rollouts=rollouts,
            in_use={*users.names, *(each.service.task_definition for each in plans)},
            keep=keep,
            others=others,
        )
        for number, arn in enumerate(doomed):
            if number >= DEREGISTRATIONS_AT_ONCE:
                context.clock.sleep(DEREGISTRATION_SECONDS)
            deregister(context.aws, arn)
            done.append(short_id(arn))
    except (AwsError, DeployError) as error:
        problem = one_line(error)
    except TooMany as error:
        problem = f"there are too many {error} to look at"
    except Cancelled:
        problem = "the job was cancelled; the deployment itself had succeeded"
    if done:
        shown = ", ".join(done[:20]) + (", …" if len(done) > 20 else "")
        message = f"{count(len(done), 'revision')} deregistered: {shown}."
        context.reporter.say(message)
        context.record(Finding(code="revisions-deregistered", severity=Severity.INFO, message=message))
    elif not problem:
        context.reporter.say("keep-revisions: nothing to deregister")
    if problem:
        context.record(
            Finding(
                code="revisions-kept",
                severity=Severity.WARNING,
                message=f"keep-revisions stopped after {count(len(done), 'revision')}: {problem}",
                hint="It needs ecs:ListTaskDefinitions, ecs:ListClusters, ecs:ListServices, "
                "ecs:DescribeServices, events:ListEventBuses, events:ListRuleNamesByTarget, "
                "events:ListTargetsByRule, scheduler:ListSchedules, scheduler:GetSchedule, "
                "states:ListStateMachines, states:DescribeStateMachine and ecs:DeregisterTaskDefinition.",
            )
        )
