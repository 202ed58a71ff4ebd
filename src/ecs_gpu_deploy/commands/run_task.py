"""run-task: run a task definition as a batch, watch it to the end, and judge every container."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.definition.task_request import TaskRequest
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.batch_request import batch_mark
from ecs_gpu_deploy.core.judge.task_end import Stage, stage_of
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks, LaunchSettings
from ecs_gpu_deploy.edges.ci.provenance import run_of_environment
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen, RevisionChosen
from ecs_gpu_deploy.inputs.requests import RunTaskRequest
from ecs_gpu_deploy.model import Task, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.end_batch import StartedBy, watch_batch_to_end
from ecs_gpu_deploy.steps.request_batch import request_tasks
from ecs_gpu_deploy.steps.watch_batch import Batch, BatchWatcher


def run(context: Context, request: RunTaskRequest) -> Verdict:
    """Start the batch, and return the verdict over it. InvalidInput leaves AWS as it was."""
    edge = EcsTasks(context.aws, request.cluster)
    launch = _launch_settings(context, request, edge)
    definition = _definition(context, request.task_definition or (launch.task_definition if launch else ""))
    asked = request_tasks(request, launch, definition)
    _look_at_image(context, definition.body, request.overrides.container)

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


def _launch_settings(context: Context, request: RunTaskRequest, edge: EcsTasks) -> LaunchSettings | None:
    """Return how the service starts its tasks; InvalidInput where there is none of that name."""
    if not request.service:
        return None
    launch = edge.fetch_launch_settings(request.service)
    if launch is None:
        context.ecs.fetch_service(request.service)
    return launch


def _definition(context: Context, name: str) -> RawTaskDefinition:
    raw = context.ecs.fetch_task_definition(name)
    if raw.body.get("status") == "INACTIVE":
        raise InvalidInput(
            f"The revision {short_id(raw.arn)} is deregistered (INACTIVE).",
            hint="Give another one, or the family alone for its newest revision.",
        )
    context.record(RevisionChosen(arn=raw.arn))
    return raw


def _look_at_image(context: Context, definition: Mapping[str, Any], container: str) -> None:
    """Say which digest a tag means now: `latest` is what it was pushed to last."""
    named = images(definition)
    first = next((c["name"] for c in definition["containerDefinitions"] if c.get("essential", True)), "")
    main = container_named(definition, container) if container else first
    for name, image in named.items():
        seen, finding = fetch_image(context.aws, ImageReference.from_text(image))
        if finding:
            context.record(finding)
        if name == main:
            context.record(ImageSeen(image=image, digest=seen.digest))
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
