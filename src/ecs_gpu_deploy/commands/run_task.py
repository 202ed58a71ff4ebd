"""run-task: run a task definition as a batch, watch it to the end, and judge every container."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.batch_request import batch_mark
from ecs_gpu_deploy.core.judge.task_end import Stage, exited_non_zero, stage_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.edges.ci.provenance import run_of_environment
from ecs_gpu_deploy.edges.machine.signals import Cancelled
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import BatchOptions, LeaveOrStop, RunTaskRequest
from ecs_gpu_deploy.model import Task, short_id
from ecs_gpu_deploy.result import TASK_FAILED, Finding, Outcome, Severity
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.request_batch import run_task_parameters
from ecs_gpu_deploy.steps.watch_batch import Batch, BatchWatcher

_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedBy:
    """The mark `startedBy` of the tasks; `is_ours` where nobody chose it, so that no other tasks have it."""

    text: str
    is_ours: bool


def run(context: Context, request: RunTaskRequest) -> tuple[Verdict, Details]:
    """Start the batch, and return the verdict over it. InvalidInput leaves AWS as it was."""
    draft = context.draft
    edge = EcsTasks(context.aws, request.cluster)
    launch = edge.fetch_launch_settings(request.service) if request.service else None
    if request.service and launch is None:
        context.ecs.fetch_service(request.service)
    name = request.task_definition or (launch.task_definition if launch else "")
    raw = context.ecs.fetch_task_definition(name)
    if raw.body.get("status") == "INACTIVE":
        raise InvalidInput(
            f"The revision {short_id(raw.arn)} is deregistered (INACTIVE).",
            hint="Give another one, or the family alone for its newest revision.",
        )
    draft.task_definition_arn = raw.arn
    parameters = run_task_parameters(request, launch, raw.body)
    _look_at_image(context, raw.body, request.overrides.container)

    names = _names(request)
    mark = batch_mark(names, parameters)
    known = _left_by_earlier_attempt(context, request, edge, names, parameters)
    started_by = StartedBy(text=request.started_by or _own_mark(mark), is_ours=not request.started_by)
    parameters["startedBy"] = started_by.text
    context.reporter.say(f"run {count(request.count, 'task')} of {short_id(raw.arn)} ({_where(parameters)})")
    batch = Batch(
        request=parameters,
        definition=raw.body,
        wanted=request.count,
        mark=mark,
        named=request.overrides.container,
    )
    watcher = BatchWatcher(context, batch, request.batch.wait, known=known)
    if not request.waits:
        verdict = watcher.start_all() or Verdict(
            outcome=Outcome.SUCCEEDED, reason=f"{count(len(watcher.tasks), 'task')} started; nobody waited."
        )
        draft.tasks = watcher.ends
        return finished(context, watcher, verdict, started_by=started_by, goes_on=bool(watcher.live))
    return watch_batch_to_end(context, request.batch, watcher, started_by=started_by, edge=edge)


def watch_batch_to_end(
    context: Context, options: BatchOptions, watcher: BatchWatcher, *, started_by: StartedBy, edge: EcsTasks
) -> tuple[Verdict, Details]:
    """Wait for the end of a batch; do what on-timeout and on-cancel say where we end the wait."""
    option, wish = "on-timeout", options.on_timeout
    try:
        verdict = watcher.wait()
    except Cancelled:
        option, wish = "on-cancel", options.on_cancel
        verdict = Verdict(
            outcome=Outcome.CANCELLED, reason="The job was cancelled while the tasks ran.", ours=True
        )
    goes_on = bool(watcher.live)
    if verdict.ours:
        goes_on = _goes_on(context, watcher, verdict, edge, wish, option=option, started_by=started_by)
    return finished(context, watcher, verdict, started_by=started_by, goes_on=goes_on)


def finished(
    context: Context, watcher: BatchWatcher, verdict: Verdict, *, started_by: StartedBy, goes_on: bool
) -> tuple[Verdict, Details]:
    """Put what is known into the result; with *goes_on* the command to go on watching."""
    draft = context.draft
    draft.tasks, draft.phases = watcher.ends, watcher.phases
    cancelled = verdict.outcome == Outcome.CANCELLED
    draft.diagnoses = () if cancelled else watcher.diagnoses(verdict)
    if verdict.outcome == Outcome.FAILED and exited_non_zero(watcher.ends):
        draft.exit_code = TASK_FAILED
    draft.findings += [
        Finding(code="no-log-lines", severity=Severity.INFO, message=f"No log lines: {problem}.")
        for problem in watcher.problems
    ]
    command = _watch_command(context, watcher, started_by) if goes_on else ""
    tails = () if cancelled or verdict.outcome == Outcome.SUCCEEDED else watcher.log_tails
    return verdict, Details(next_command=command, log_tails=tails)


def _look_at_image(context: Context, definition: Mapping[str, Any], container: str) -> None:
    """Say which digest a tag means now: `latest` is what it was pushed to last."""
    draft = context.draft
    named = images(definition)
    first = next((c["name"] for c in definition["containerDefinitions"] if c.get("essential", True)), "")
    main = container_named(definition, container) if container else first
    for name, image in named.items():
        seen, finding = fetch_image(context.aws, ImageReference.from_text(image))
        if finding:
            draft.findings.append(finding)
        if name == main:
            draft.image, draft.image_digest = image, seen.digest
            if seen.digest and "@" not in image:
                context.reporter.say(f"image {image} is {seen.digest} now")


def _names(request: RunTaskRequest) -> tuple[str, ...]:
    """Return what makes this batch one of its kind: the client token given, or run, job, step and attempt."""
    if request.client_token:
        return (request.client_token, request.cluster)
    run = run_of_environment()
    return (*run, request.cluster) if run else (uuid.uuid4().hex,)


def _left_by_earlier_attempt(
    context: Context,
    request: RunTaskRequest,
    edge: EcsTasks,
    names: tuple[str, ...],
    parameters: Mapping[str, Any],
) -> tuple[Task, ...]:
    """Return the tasks of an earlier attempt of this run that still go on: they are watched, not doubled."""
    attempt = os.environ.get("GITHUB_RUN_ATTEMPT", "1") if os.environ.get("GITHUB_RUN_ID") else ""
    if request.client_token or request.started_by or not attempt.isdigit():
        return ()
    arns: list[str] = []
    with suppress(AwsError):
        for earlier in range(1, min(int(attempt), 20)):
            before = (*names[:-2], str(earlier), names[-1])
            arns += edge.started_by(_own_mark(batch_mark(before, parameters)))
    found = edge.observe(arns)[: request.count] if arns else ()
    live = tuple(task for task in found if stage_of(task) != Stage.ENDED)
    if live:
        context.draft.findings.append(
            Finding(
                code="batch-goes-on",
                severity=Severity.WARNING,
                message=f"{count(len(live), 'task')} of an earlier attempt of this run still went on: they "
                "are watched instead of started again.",
            )
        )
    return live


def _goes_on(
    context: Context,
    watcher: BatchWatcher,
    verdict: Verdict,
    edge: EcsTasks,
    wish: LeaveOrStop,
    *,
    option: str,
    started_by: StartedBy,
) -> bool:
    """Stop the tasks or leave them, as on-timeout or on-cancel says; return whether some go on."""
    arns = dict.fromkeys(watcher.live)
    stop = wish == "stop"
    if stop and started_by.is_ours:
        # A RunTask that was cut off may have started tasks that nobody has told us about.
        with suppress(AwsError):
            arns |= dict.fromkeys(edge.started_by(started_by.text))
    if not stop and verdict.outcome == Outcome.NO_CAPACITY:
        # What waits for room would begin some time after everybody was told that it did not run.
        arns = dict.fromkeys(t.arn for t in watcher.tasks if stage_of(t) == Stage.PLACEMENT)
        stop, option = bool(arns), "no place found"
    if stop and arns:
        left = edge.stop(arns, reason=f"ecs-gpu-deploy: {verdict.outcome} ({option})")
        done = len(arns) - len(left)
        context.reporter.say(f"{option}: {count(done, 'task')} stopped")
        context.draft.findings.append(
            Finding(
                code="tasks-stopped" if not left else "tasks-not-stopped",
                severity=Severity.WARNING if not left else Severity.ERROR,
                message=f"{count(done, 'task')} stopped ({option})"
                + (f"; {count(len(left), 'task')} could not be." if left else "."),
                hint="The permission is ecs:StopTask." if left else "",
            )
        )
        return bool(left)
    if watcher.live:
        context.draft.findings.append(
            Finding(
                code="still-running",
                severity=Severity.WARNING,
                message=f"{count(len(watcher.live), 'task')} go on in AWS ({option}: leave).",
                hint=f"To go on watching: {_watch_command(context, watcher, started_by)}",
            )
        )
    return bool(watcher.live)


def _watch_command(context: Context, watcher: BatchWatcher, started_by: StartedBy) -> str:
    cluster = f"ecs-gpu-deploy watch --cluster {shlex.quote(context.ecs.cluster)}"
    if len(watcher.live) > _NAMED:
        return f"{cluster} --started-by {shlex.quote(started_by.text)}"
    return " ".join([cluster, *(f"--task {short_id(arn)}" for arn in watcher.live)])


def _own_mark(mark: str) -> str:
    return f"ecs-gpu-deploy/{mark[:24]}"


def _where(parameters: Mapping[str, Any]) -> str:
    strategy = parameters.get("capacityProviderStrategy")
    if strategy:
        return ", ".join(item["capacityProvider"] for item in strategy)
    return str(parameters.get("launchType") or "the cluster's default")
