"""Register a revision with its provenance, and say where AWS does not let us tag it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ecs_gpu_deploy.core.definition.provenance import (
    Provenance,
    tag_value,
    with_provenance,
    without_provenance,
)
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.ci.provenance import provenance_from_environment
from ecs_gpu_deploy.errors import TaggingDenied
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.facts import RevisionChosen
from ecs_gpu_deploy.steps.render_revision import Rendering


def provenance_of_run(*, commit: str = "", digest: str = "") -> Provenance:
    """Return where this run comes from; a *commit* that is given wins over the CI system's word."""
    known = provenance_from_environment()
    return replace(known, commit=commit or known.commit, digest=digest)


def register_rendering(context: Context, rendering: Rendering, *, commit: str) -> str:
    """Return the ARN of the revision to run: registered now, unless it is there already."""
    if rendering.existing_arn:
        context.record(RevisionChosen(arn=rendering.existing_arn))
        return rendering.existing_arn
    provenance = provenance_of_run(commit=commit, digest=rendering.image_digest)
    return register_revision(context, rendering.definition, provenance)


def register_revision(context: Context, definition: Mapping[str, Any], provenance: Provenance) -> str:
    """Register *definition* with tags that say where it comes from; record and return its ARN.

    Where ecs:TagResource is denied it is registered without them: a deployment must not fail for its label.
    """
    try:
        arn = context.ecs.register_task_definition(with_provenance(definition, provenance))
    except TaggingDenied:
        arn = _register_untagged(context, definition)
    context.record(RevisionChosen(arn=arn, registered=True))
    return arn


def _register_untagged(context: Context, definition: Mapping[str, Any]) -> str:
    arn = context.ecs.register_task_definition(without_provenance(definition))
    context.record(
        Finding(
            code="no-provenance",
            severity=Severity.INFO,
            message="The revision has no tags that tell its commit and run: ecs:TagResource is denied.",
            hint="Allow ecs:TagResource with the condition ecs:CreateAction RegisterTaskDefinition, so that "
            "history and rollback can read them.",
        )
    )
    return arn


def mark_succeeded(context: Context, arn: str, *, service: str) -> None:
    """Tag the revision as one that ran well: what rollback goes by where AWS's own history ends.

    AWS keeps service deployments for 90 days. Where the tag is denied, nothing is lost but this.
    """
    at = datetime.fromtimestamp(context.clock.now(), UTC)
    tag_revision(context.aws, arn, {"succeeded": tag_value(f"{at:%Y-%m-%dT%H:%M:%SZ} {service}")})
