"""Register a revision with its provenance, and say where AWS does not let us tag it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import identical
from ecs_gpu_deploy.core.definition.provenance import (
    Provenance,
    is_of,
    tag_value,
    told_by,
    with_provenance,
    without_provenance,
)
from ecs_gpu_deploy.core.definition.task_definition import registrable
from ecs_gpu_deploy.core.judge.update_sent import LOOK_PAUSES
from ecs_gpu_deploy.core.past.records import Kind, record_at, record_tag
from ecs_gpu_deploy.edges.aws.answers import AwsError, Unclear
from ecs_gpu_deploy.edges.aws.revisions import TAG_SECONDS, fetch_family
from ecs_gpu_deploy.edges.ci.provenance import provenance_from_environment
from ecs_gpu_deploy.edges.machine.signals import heed_held, heeded_signals, held_signals
from ecs_gpu_deploy.errors import DeployError, Refused, TaggingDenied
from ecs_gpu_deploy.facts import Changed, RevisionChosen
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering

_ATTEMPTS = 3
_HINT = "Run the job again: a revision that is there by then is taken."
_LOOKED_AT = 3
"""Revisions of the family that may be what a run before us registered."""


def provenance_of_run(*, commit: str = "", digest: str = "") -> Provenance:
    """Return where this run comes from; a *commit* that is given wins over the CI system's word."""
    known = provenance_from_environment()
    return replace(known, commit=commit or known.commit, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The revision to run; `is_new` where this run registered it."""

    arn: str
    is_new: bool


def register_rendering(context: Context, rendering: Rendering, *, commit: str) -> Registered:
    """Return the revision to run: registered now, unless it is there already."""
    if rendering.existing_arn:
        context.record(RevisionChosen(arn=rendering.existing_arn))
        return Registered(arn=rendering.existing_arn, is_new=False)
    provenance = provenance_of_run(commit=commit, digest=rendering.image_digest)
    return register_revision(context, rendering.definition, provenance, newest=rendering.compared_with)


def register_revision(
    context: Context, definition: Mapping[str, Any], provenance: Provenance, *, newest: str
) -> Registered:
    """Return the revision of *definition*, registered with tags that say where it comes from; record it.

    A run that ended after it had registered left one that says the same: that is taken. Looked at are those
    newer than *newest* (an ARN), so that a family without such costs one call.
    """
    heed_held()
    there = _registered_already(context, definition, provenance, newest=newest)
    if there:
        context.record(RevisionChosen(arn=there))
        context.reporter.say(f"{short_id(there)} is registered already, and says the same")
        return Registered(arn=there, is_new=False)
    with held_signals():
        arn = _registered(context, definition, provenance, newest=newest)
    heed_held()
    return Registered(arn=arn, is_new=True)


def _registered(
    context: Context, definition: Mapping[str, Any], provenance: Provenance, *, newest: str
) -> str:
    """Register, with signals held, and record the revision, or that there may be one.

    Where the answer was lost the family is looked at before it is sent again.
    """
    lost: Unclear
    for _ in range(_ATTEMPTS):
        try:
            try:
                arn = context.ecs.register_task_definition(with_provenance(definition, provenance))
            except TaggingDenied:
                arn = _register_untagged(context, definition)
        except Unclear as error:
            lost = error
            unknown = "whether a revision was registered is not known"
            context.record(Changed(subject="revision", what=unknown))
            context.reporter.say(f"AWS did not say whether it registers the revision ({lost.text}); looking")
            seen = _look_for(context, definition, provenance, newest=newest)
            if seen is None:
                raise Refused(
                    f"Whether AWS registered a revision of {definition['family']} is not known "
                    f"({lost.text}).",
                    hint=_HINT,
                ) from error
            arn = seen
        if arn:
            context.record(RevisionChosen(arn=arn, registered=True))
            return arn
    raise Refused(
        f"AWS did not register the revision of {definition['family']} ({lost.text}).",
        hint=_HINT,
    )


def _look_for(
    context: Context, definition: Mapping[str, Any], provenance: Provenance, *, newest: str
) -> str | None:
    """Return the ARN of the revision that a lost RegisterTaskDefinition made.

    "" where none shows, None where AWS does not show the family at the end either: then nobody knows.
    """
    found: str | None = None
    for pause in LOOK_PAUSES:
        with heeded_signals():
            context.clock.sleep(pause)
            found = _registered_already(context, definition, provenance, newest=newest)
        if found or (found is None and context.aws.is_late):
            break
    return found


def _registered_already(
    context: Context, definition: Mapping[str, Any], provenance: Provenance, *, newest: str
) -> str | None:
    """Return the ARN of the newest revision that says the same and comes from the same.

    "" where there is none, or the list is denied; None where AWS does not answer.
    """
    family, number = definition["family"], _number_of(newest)
    try:
        arns = fetch_family(context.aws, family, most=_LOOKED_AT, once=True) or ()
        for arn in arns:
            if short_id(newest).rpartition(":")[0] == family and _number_of(arn) <= number:
                continue
            raw = context.ecs.fetch_task_definition(arn)
            same = identical(registrable({"taskDefinition": raw.body, "tags": list(raw.tags)}), definition)
            if same and is_of(told_by(raw.tags), provenance):
                return arn
    except (AwsError, DeployError):
        return None
    return ""


def _number_of(arn: str) -> int:
    number = arn.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


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


def succeeded_tag(context: Context, *, service: str) -> dict[str, str]:
    """Return the tag of a revision that ran well: what rollback goes by where AWS's own history ends.

    AWS keeps service deployments for 90 days. Where the tag is denied, nothing is lost but this.
    """
    at = datetime.fromtimestamp(context.clock.now(), UTC)
    return {"succeeded": tag_value(f"{at:%Y-%m-%dT%H:%M:%SZ} {service}")}


def recorded(context: Context, arn: str, number: str, kind: Kind, *, reason: str = "") -> dict[str, str]:
    """Return the tag that says who did the deployment *number* of a revision, and why; {} for one unseen."""
    known = provenance_of_run()
    record = record_at(number, kind, now=context.clock.now(), actor=known.actor, run=known.run, reason=reason)
    with suppress(AwsError, DeployError), context.aws.bounded(TAG_SECONDS):
        return record_tag(record, told_by(context.ecs.fetch_task_definition(arn).tags))
    return {}
