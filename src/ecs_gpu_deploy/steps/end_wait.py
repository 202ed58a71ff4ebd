"""What on-timeout, on-failure and on-cancel do with a deployment that still goes on in AWS."""

from __future__ import annotations

import shlex
from contextlib import suppress

from ecs_gpu_deploy.core.judge.observed import is_ours
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError, one_line
from ecs_gpu_deploy.edges.machine.signals import CutShort, at_most
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs.requests import RolloutOptions
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, NextStep, Outcome, Severity
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.facts import NextCommand
from ecs_gpu_deploy.steps.watch_rollout import Watcher

CANCEL_SECONDS = 4.0
"""How long a rollback may take to be sent on cancel: SIGKILL comes 10 s after the first signal."""
_FIND_SECONDS = 1.5


def leave_or_roll_back(
    context: Context, options: RolloutOptions, verdict: Verdict, before: Service, watcher: Watcher
) -> None:
    """Do what the option for *verdict* says, and record how to roll back by hand, unless we did.

    *before* is the service as it was before the deployment.
    """
    option, wish = _asked(options, verdict.outcome)
    arn = watcher.arn
    if not arn:
        with suppress(CutShort), at_most(_FIND_SECONDS):
            arn = _found(context, before, watcher)
    if wish == "leave":
        context.record(still_running(context, before, watcher, arn=arn, why=f"{option}: leave"))
    elif _roll_back(context, before, arn, option):
        return
    context.record(NextCommand(command=_rollback_command(context, before, arn)))


def _asked(options: RolloutOptions, outcome: Outcome) -> tuple[str, str]:
    """Return the option that is meant for *outcome*, and its value."""
    match outcome:
        case Outcome.TIMED_OUT:
            return "on-timeout", options.on_timeout
        case Outcome.CANCELLED:
            return "on-cancel", options.on_cancel
        case _:
            return "on-failure", options.on_failure


def still_running(context: Context, before: Service, watcher: Watcher, *, why: str, arn: str = "") -> Finding:
    """Return what still runs in AWS, and the commands to go on watching it and to roll it back."""
    arn = arn or watcher.arn
    deployments = watcher.service.deployments
    ours = next((d for d in deployments if is_ours(watcher.watched, d)), None)
    old = sum(d.running_count for d in deployments if not is_ours(watcher.watched, d))
    running = (
        f"{ours.running_count} of {count(ours.desired_count, 'new task')} and {count(old, 'old task')} run"
        if ours
        else f"{count(old, 'task')} of the service run"
    )
    place = f"--cluster {shlex.quote(context.ecs.cluster)} --service {shlex.quote(before.name)}"
    if arn:
        watch = f"ecs-gpu-deploy watch {place} --service-deployment {arn}"
        describe = f"aws ecs describe-service-deployments --service-deployment-arns {arn}"
        steps = [
            NextStep(purpose="To go on watching", command=watch),
            NextStep(purpose="or", command=describe),
        ]
    else:
        describe = f"aws ecs describe-services {place.replace('--service', '--services')}"
        steps = [NextStep(purpose="To go on watching", command=describe)]
    steps.append(NextStep(purpose="To roll it back", command=_rollback_command(context, before, arn)))
    return Finding(
        code="still-running",
        severity=Severity.WARNING,
        message=f"The deployment goes on in AWS ({why}): phase {watcher.history.phase}, {running}.",
        hint="\n".join(f"{step.purpose}: {step.command}" for step in steps),
        next_steps=tuple(steps),
    )


def _rollback_command(context: Context, before: Service, arn: str) -> str:
    if arn:
        return f"aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {arn}"
    return (
        f"aws ecs update-service --cluster {shlex.quote(context.ecs.cluster)} "
        f"--service {shlex.quote(before.name)} --task-definition {short_id(before.task_definition)}"
    )


def _roll_back(context: Context, before: Service, arn: str, option: str) -> bool:
    """Send the rollback, record whether that went well, and return it."""
    previous = short_id(before.task_definition)
    why = ""
    try:
        if option == "on-cancel":
            with at_most(CANCEL_SECONDS):
                _send_rollback(context, before, arn)
        else:
            _send_rollback(context, before, arn)
    except CutShort:
        why = f"AWS did not answer within {CANCEL_SECONDS:g} s."
    except (AwsError, Refused, InvalidInput) as error:
        why = one_line(error)
    if why:
        context.record(
            Finding(
                code="rollback-not-started",
                severity=Severity.ERROR,
                message=f"The rollback that {option} asks for could not be started: {why}",
                hint=f"Roll back by hand to {previous}; the permission is ecs:StopServiceDeployment.",
            )
        )
        return False
    context.reporter.say(f"{option}: rollback to {previous} requested")
    context.record(
        Finding(
            code="rollback-requested",
            severity=Severity.WARNING,
            message=f"The rollback to {previous} was requested ({option}: rollback); AWS carries it out.",
        )
    )
    return True


def _send_rollback(context: Context, before: Service, arn: str) -> None:
    """Stop our service deployment with a rollback, or where it is unknown update to the revision before."""
    if arn:
        context.ecs.stop_deployment(arn)
    else:
        context.ecs.update_service(
            before.name, task_definition=before.task_definition, force_new_deployment=False
        )


def _found(context: Context, before: Service, watcher: Watcher) -> str:
    """Return the ARN of our service deployment, "" where AWS does not show it: we may be early, or denied."""
    number = short_id(watcher.watched.deployment_id)
    with suppress(AwsError):
        for brief in context.ecs.fetch_deployments(before.name):
            if short_id(brief.target_revision_arn) == number:
                return brief.arn
    return ""
