"""render: a task definition with its image and other changes, written into a file."""

from __future__ import annotations

import json

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.provenance import without_provenance
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.machine.files import temporary_file, write_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import DefinitionWritten
from ecs_gpu_deploy.inputs.requests import RenderRequest
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.render_alone import render_alone, tell_unused_cluster
from ecs_gpu_deploy.steps.render_revision import render_file


def run(context: Context, request: RenderRequest) -> Verdict:
    """Write the file, and return the verdict. Changes nothing in AWS, and asks it only where it must."""
    if request.asks_aws:
        definition = render_alone(context, request)[0].definition
    else:
        tell_unused_cluster(context, request)
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
