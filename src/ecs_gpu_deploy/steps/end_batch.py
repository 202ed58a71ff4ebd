"""Wait for the end of a batch, and do what on-timeout and on-cancel say with tasks that still go on."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.pace import CANCEL_LOOK_SECONDS, CANCEL_SECONDS
from ecs_gpu_deploy.core.judge.task_end import Stage, exited_non_zero, stage_of
from ecs_gpu_deploy.core.judge.update_sent import CANCELLED_PAUSES
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.console import TaskPages, task_pages
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError, Unclear
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.edges.machine.signals import is_cancelled
from ecs_gpu_deploy.errors import DeployError, Refused
from ecs_gpu_deploy.facts import BatchEnded, NextCommand
from ecs_gpu_deploy.inputs.requests import BatchOptions, LeaveOrStop
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import TASK_FAILED, Finding, NextStep, Outcome, Severity
from ecs_gpu_deploy.steps.watch_batch import BatchSeen, BatchWatcher

_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedBy:
    """The mark `startedBy` of the tasks; `is_ours` where nobody chose it, so that no other tasks have it."""

    text: str
    is_ours: bool


def watch_batch_to_end(
    context: Context,
    options: BatchOptions,
    watcher: BatchWatcher,
    started_by: StartedBy,
    *,
    waits: bool = True,
) -> Verdict:
    """Start what is missing and, where the command *waits*, wait for the end of the batch.

    Do what on-timeout and on-cancel say where we end the wait.
    """
    option, wish = "on-timeout", options.on_timeout
    limit: AbstractContextManager[None] = nullcontext()
    wait = watcher.wait() if waits else watcher.start_all()
    seen, verdict = wait.seen, wait.verdict
    if verdict is None:
        if wait.lost is not None:
            seen = _with_lost(context, seen, started_by, wait.lost)
        option, wish, limit = "on-cancel", options.on_cancel, context.aws.bounded(CANCEL_SECONDS)
        verdict = _cancelled(seen, is_known=wait.lost is None)
    goes_on = bool(seen.live)
    if verdict.ours and (waits or verdict.outcome == Outcome.CANCELLED):
        with limit:
            goes_on = _leave_or_stop(context, seen, verdict, wish, option=option, started_by=started_by)
    _record(context, seen, verdict, started_by, goes_on=goes_on)
    return verdict


def _cancelled(seen: BatchSeen, *, is_known: bool) -> Verdict:
    if seen.tasks:
        reason = "The job was cancelled while the tasks ran."
    elif is_known:
        reason = "The job was cancelled before a task was started."
    else:
        reason = "The job was cancelled while RunTask was under way; whether it started tasks is not known."
    return Verdict(outcome=Outcome.CANCELLED, reason=reason, ours=True)


def _with_lost(context: Context, seen: BatchSeen, started_by: StartedBy, lost: Unclear) -> BatchSeen:
    """Return the batch with the tasks of a RunTask whose answer was lost, or say how to look for them.

    Refused unless the job was cancelled.
    """
    mark = shlex.quote(started_by.text)
    look = f"aws ecs list-tasks --cluster {shlex.quote(context.ecs.cluster)} --started-by {mark}"
    step = NextStep(purpose="To look for its tasks", command=look)
    finding = Finding(
        code="run-task-unclear",
        severity=Severity.WARNING,
        message=f"Whether AWS carried out RunTask is not known: {lost.text.rstrip('.')}.",
        hint=f"{step.purpose}: {step.command}",
        next_steps=(step,),
    )
    if not is_cancelled():
        raise Refused(finding.message, hint=finding.hint) from lost
    edge = EcsTasks(context.aws, context.ecs.cluster)
    with suppress(AwsError, DeployError), context.aws.bounded(CANCEL_LOOK_SECONDS):
        for pause in CANCELLED_PAUSES if started_by.is_ours else ():
            context.clock.sleep(pause)
            if arns := edge.started_by(started_by.text):
                return seen.with_tasks(edge.observe(arns), at=context.clock.now())
    context.record(finding)
    return seen


def _record(
    context: Context, seen: BatchSeen, verdict: Verdict, started_by: StartedBy, *, goes_on: bool
) -> None:
    """Record how the batch ended; with *goes_on* the command to go on watching."""
    failed = verdict.outcome == Outcome.FAILED and exited_non_zero(seen.ends)
    needs_no_cause = verdict.outcome in {Outcome.SUCCEEDED, Outcome.STARTED, Outcome.CANCELLED}
    context.record(
        BatchEnded(
            verdict=verdict,
            tasks=seen.ends,
            phases=seen.phases,
            diagnoses=() if needs_no_cause else seen.diagnoses(verdict),
            log_tails=() if needs_no_cause else seen.log_tails,
            exit_code=TASK_FAILED if failed else None,
            pages=_pages(context, seen),
        )
    )
    for problem in seen.problems:
        context.record(
            Finding(code="no-log-lines", severity=Severity.INFO, message=f"No log lines: {problem}.")
        )
    if goes_on:
        context.record(NextCommand(command=_watch_command(context, seen, started_by)))


def _pages(context: Context, seen: BatchSeen) -> dict[str, TaskPages]:
    """Return the pages of the console that show the tasks, by their ARNs."""
    containers = seen.watched.definition.get("containerDefinitions") or ()
    region, cluster = context.aws.region, context.ecs.cluster
    return {task.arn: task_pages(region, cluster, task.arn, containers) for task in seen.tasks}


def _leave_or_stop(
    context: Context,
    seen: BatchSeen,
    verdict: Verdict,
    wish: LeaveOrStop,
    *,
    option: str,
    started_by: StartedBy,
) -> bool:
    """Stop the tasks or leave them; return whether some go on."""
    edge = EcsTasks(context.aws, context.ecs.cluster)
    arns = dict.fromkeys(seen.live)
    stop = wish == "stop"
    if stop and started_by.is_ours:
        # A RunTask that was cut off may have started tasks that nobody has told us about.
        with suppress(AwsError):
            arns |= dict.fromkeys(edge.started_by(started_by.text))
    if not stop and verdict.outcome == Outcome.NO_CAPACITY:
        # What waits for room would begin some time after everybody was told that it did not run.
        arns = dict.fromkeys(t.arn for t in seen.tasks if stage_of(t) == Stage.PLACEMENT)
        stop, option = bool(arns), "no place found"
    if stop and arns:
        left = edge.stop(arns, reason=f"ecs-gpu-deploy: {verdict.outcome} ({option})")
        done = len(arns) - len(left)
        context.reporter.say(f"{option}: {count(done, 'task')} stopped")
        context.record(
            Finding(
                code="tasks-stopped" if not left else "tasks-not-stopped",
                severity=Severity.WARNING if not left else Severity.ERROR,
                message=f"{count(done, 'task')} stopped ({option})"
                + (f"; {count(len(left), 'task')} could not be." if left else "."),
                hint="The permission is ecs:StopTask." if left else "",
            )
        )
        return bool(left)
    if seen.live:
        step = NextStep(purpose="To go on watching", command=_watch_command(context, seen, started_by))
        goes = "goes" if len(seen.live) == 1 else "go"
        context.record(
            Finding(
                code="still-running",
                severity=Severity.WARNING,
                message=f"{count(len(seen.live), 'task')} {goes} on in AWS ({option}: leave).",
                hint=f"{step.purpose}: {step.command}",
                next_steps=(step,),
            )
        )
    return bool(seen.live)


def _watch_command(context: Context, seen: BatchSeen, started_by: StartedBy) -> str:
    cluster = f"ecs-gpu-deploy watch --cluster {shlex.quote(context.ecs.cluster)}"
    if len(seen.live) > _NAMED:
        return f"{cluster} --started-by {shlex.quote(started_by.text)}"
    return " ".join([cluster, *(f"--task {short_id(arn)}" for arn in seen.live)])
