"""Run a batch of a registered revision: never twice, and watched to its end."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_request import TaskRequest
from ecs_gpu_deploy.core.judge.batch_request import batch_mark
from ecs_gpu_deploy.core.judge.task_end import Stage, stage_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks
from ecs_gpu_deploy.edges.ci.provenance import run_of_environment
from ecs_gpu_deploy.inputs.requests import RunTaskRequest
from ecs_gpu_deploy.model import Task, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.end_batch import StartedBy, watch_batch_to_end
from ecs_gpu_deploy.steps.watch_batch import Batch, BatchWatcher


def run_batch(
    context: Context, request: RunTaskRequest, asked: TaskRequest, definition: RawTaskDefinition
) -> Verdict:
    """Start the batch that is *asked* for, of *definition*, and return the verdict over it."""
    edge = EcsTasks(context.aws, context.ecs.cluster)
    names = _names(request)
    mark = batch_mark(names, asked.to_api())
    known = _left_by_earlier_attempt(context, request, edge, names, asked)
    started_by = StartedBy(text=request.started_by or _own_mark(mark), is_ours=not request.started_by)
    what = f"{count(request.count, 'task')} of {short_id(definition.arn)}"
    context.reporter.say(f"run {what} ({_where(asked)})")
    batch = Batch(
        request=replace(asked, started_by=started_by.text),
        definition=definition.body,
        wanted=request.count,
        mark=mark,
        named=request.overrides.container,
    )
    watcher = BatchWatcher(context, batch, request.batch.wait, known=known)
    return watch_batch_to_end(context, request.batch, watcher, started_by, waits=request.waits)


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
    asked: TaskRequest,
) -> tuple[Task, ...]:
    """Return the tasks of an earlier attempt of this run that still go on: they are watched, not doubled."""
    attempt = os.environ.get("GITHUB_RUN_ATTEMPT", "1") if os.environ.get("GITHUB_RUN_ID") else ""
    if request.client_token or request.started_by or not attempt.isdigit():
        return ()
    arns: list[str] = []
    with suppress(AwsError):
        for earlier in range(1, min(int(attempt), 20)):
            before = (*names[:-2], str(earlier), names[-1])
            arns += edge.started_by(_own_mark(batch_mark(before, asked.to_api())))
    found = edge.observe(arns)[: request.count] if arns else ()
    live = tuple(task for task in found if stage_of(task) != Stage.ENDED)
    if live:
        context.record(
            Finding(
                code="batch-goes-on",
                severity=Severity.WARNING,
                message=f"{count(len(live), 'task')} of an earlier attempt of this run still went on: they "
                "are watched instead of started again.",
            )
        )
    return live


def _own_mark(mark: str) -> str:
    return f"ecs-gpu-deploy/{mark[:24]}"


def _where(asked: TaskRequest) -> str:
    return ", ".join(asked.providers) or asked.launch_type or "the cluster's default"
