"""render: a task definition with its image and other changes, written into a file."""

from __future__ import annotations

import json

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.provenance import without_provenance
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.machine.files import temporary_file, write_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import DefinitionWritten, RolloutShown, ServiceSeen
from ecs_gpu_deploy.inputs.requests import RenderRequest
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering, render_file, render_revision, show_changes
from ecs_gpu_deploy.steps.start_deployment import check_fit


def run(context: Context, request: RenderRequest) -> Verdict:
    """Write the file, and return the verdict. Changes nothing in AWS, and asks it only where it must."""
    if request.asks_aws:
        definition = _seen(context, request).definition
    else:
        definition = render_file(context, request.revision)
        context.record(
            Finding(
                code="not-checked",
                severity=Severity.INFO,
                message="AWS was not asked: whether image, roles, secrets and log group exist is unchecked.",
                hint="With service, a registered task definition or pin: digest it is asked.",
            )
        )
    path = _written(request.file, json.dumps(without_provenance(definition), indent=2, ensure_ascii=False))
    context.record(DefinitionWritten(file=path))
    reason = f"The task definition {definition['family']} is in {path}; nothing was changed in AWS."
    return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)


def _seen(context: Context, request: RenderRequest) -> Rendering:
    """Return what is to run, after every named thing was seen to exist; show how it differs."""
    service = context.ecs.fetch_service(request.service) if request.service else None
    if service is not None:
        context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    rendering = render_revision(
        context,
        request.revision,
        request.revision.overrides,
        runs=service.task_definition if service else "",
    )
    if service is not None:
        check_fit(rendering.definition, service)
    show_changes(context.reporter, rendering)
    context.record(RolloutShown(changes=rendering.changes, links={}))
    return rendering


def _written(file: str, text: str) -> str:
    path = file or temporary_file(prefix="task-definition-", suffix=".json")
    try:
        write_text(path, text + "\n")
    except OSError as error:
        raise InvalidInput(
            f"The task definition cannot be written into {path[:200]!r}: {error.strerror}.",
            hint="Check rendered-file: its folder has to be there.",
        ) from error
    return path
