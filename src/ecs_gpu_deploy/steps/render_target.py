"""From the target of a rollback to the revision that is to run: look up what it needs, pin what moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.diff import difference
from ecs_gpu_deploy.core.definition.provenance import told_by
from ecs_gpu_deploy.core.definition.task_definition import images, registrable, without_tags
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.past.revisions import failed_before
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.prerequisites import fetch_prerequisites, roles_of
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.facts import ImageSeen, RevisionChosen
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.choose_target import Chosen, Past, runnable
from ecs_gpu_deploy.steps.register_revision import provenance_of_run, register_revision
from ecs_gpu_deploy.steps.render_revision import Rendering, digests_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Images:
    """The images of the target: what runs is `digests`; `pins` are references whose tag points elsewhere."""

    digests: Mapping[str, tuple[str, ...]]
    pins: Mapping[str, str]
    main: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedTarget:
    """The revision to roll back to as AWS has it, and as it is to run."""

    raw: RawTaskDefinition
    rendering: Rendering


def render_target(
    context: Context, service: Service, current: RawTaskDefinition, chosen: Chosen, past: Past
) -> RenderedTarget:
    """Return what is to run instead of *current*, after every named thing was seen to exist.

    Changes nothing in AWS.
    """
    raw = _target(context, chosen)
    found = _images(context, raw, chosen, past)
    _check_prerequisites(context, raw, current, service)
    _warn_of_failure(context, service, raw, chosen, past)
    context.record(ImageSeen(image=found.main, digest=found.digest))
    definition = _definition(raw, found.pins)
    again = bool(found.pins) or raw.body.get("status") == "INACTIVE"
    rendering = Rendering(
        definition=definition,
        existing_arn="" if again else raw.arn,
        compared_with=current.arn,
        changes=difference(registrable({"taskDefinition": current.body}), without_tags(definition)),
        image=found.main,
        image_digest=found.digest,
        digests=found.digests,
        running_images=images(current.body),
        looked_up=((found.main, found.digest),),
    )
    return RenderedTarget(raw=raw, rendering=rendering)


def register_target(context: Context, target: RenderedTarget, *, reason: str, left: str) -> str:
    """Return the ARN of the revision to run: the old one, or where that cannot run, registered once more.

    What is registered carries the commit that the old one was made from, and what is *left* (family:N).
    """
    raw, rendering = target.raw, target.rendering
    if rendering.existing_arn:
        context.record(RevisionChosen(arn=rendering.existing_arn))
        return rendering.existing_arn
    old = told_by(raw.tags)
    run = provenance_of_run(digest=rendering.image_digest)
    provenance = replace(
        run,
        commit=old.get("commit", ""),
        repository=old.get("repository", ""),
        reason=reason,
        rolled_back_from=left,
        rolled_back_by=run.actor if left else "",
    )
    arn = register_revision(context, rendering.definition, provenance, newest=raw.arn).arn
    context.reporter.say(f"{short_id(raw.arn)} registered again as {short_id(arn)}")
    return arn


def _target(context: Context, chosen: Chosen) -> RawTaskDefinition:
    try:
        raw = context.ecs.fetch_task_definition(chosen.name)
    except InvalidInput as error:
        raise InvalidInput(
            f"There is no revision {short_id(chosen.name)!r}.",
            hint="`ecs-gpu-deploy history` lists those that the service ran.",
        ) from error
    if raw.body.get("status") == "DELETE_IN_PROGRESS":
        raise InvalidInput(f"The revision {short_id(raw.arn)} is being deleted.")
    return raw


def _images(context: Context, raw: RawTaskDefinition, chosen: Chosen, past: Past) -> _Images:
    """Look every image up by the digest that it ran with; a tag may have been moved or expired since."""
    named = images(raw.body)
    tagged = told_by(raw.tags).get("digest", "")
    digests: dict[str, tuple[str, ...]] = {}
    pins: dict[str, str] = {}
    main, main_digest = "", ""
    for container, image in named.items():
        reference = ImageReference.from_text(image)
        ran = reference.digest or chosen.digests.get(container, "") or ("" if main else tagged)
        wanted = reference.with_digest(ran) if ran else reference
        try:
            seen, finding = fetch_image(context.aws, wanted)
        except InvalidInput as error:
            others = runnable(context, past, but=raw.arn)
            raise InvalidInput(
                f"{short_id(raw.arn)} cannot run any more: {error.message}",
                hint=f"Can still run: {others}." if others else error.hint,
            ) from error
        if finding:
            context.record(finding)
        digest = seen.digest or ran
        if told := digests_of(context, wanted, seen) or ((digest,) if digest and not seen.is_index else ()):
            digests[container] = told
        moved = ran and not reference.digest and reference.tag not in seen.tags
        if moved and (chosen.by_digest or not finding):
            pins[container] = str(wanted)
            context.record(
                Finding(
                    code="image-tag-moved",
                    severity=Severity.WARNING,
                    message=f"The tag of {image} {'may name' if finding else 'names'} another image by now, "
                    f"so {ran[:19]}… is deployed by its digest, in a new revision.",
                )
            )
        if not main:
            main, main_digest = pins.get(container, image), digest
    return _Images(digests=digests, pins=pins, main=main, digest=main_digest)


def _warn_of_failure(
    context: Context, service: Service, raw: RawTaskDefinition, chosen: Chosen, past: Past
) -> None:
    """Say that the target was rolled back from before, with AWS's reason: it may fail again."""
    failed = failed_before(past.known, raw.arn, chosen.digests)
    left = past.lineage.left
    if failed is not None and not told_by(raw.tags).get("succeeded", "").endswith(f" {service.name}"):
        what = f"never ran well here: its deployment ended {failed.status}"
        why = f" ({failed.status_reason})" if failed.status_reason else ""
    elif left is not None and left.task_definition == raw.arn:
        what, why = f"was rolled back from, to {short_id(service.task_definition)}", ""
    else:
        return
    context.record(
        Finding(
            code="rolled-back-from-before",
            severity=Severity.WARNING,
            message=f"{short_id(raw.arn)} {what}{why}.",
            hint="It is rolled out because it was asked for; what failed then may fail again.",
        )
    )


def _check_prerequisites(
    context: Context, raw: RawTaskDefinition, current: RawTaskDefinition, service: Service
) -> None:
    """Refuse a target whose roles or secrets are gone.

    A role that the running revision names too is proven by its running tasks.
    """
    runs = 0 < service.desired_count <= service.running_count
    seen = fetch_prerequisites(context.aws, raw.body, known=roles_of(current.body) if runs else ())
    if seen.gone:
        raise InvalidInput(
            f"{short_id(raw.arn)} cannot run any more: {', '.join(seen.gone)} "
            f"{'does' if len(seen.gone) == 1 else 'do'} not exist.",
            hint="Create it again, or roll back to a revision that does not need it.",
        )
    if seen.unseen:
        context.record(
            Finding(
                code="prerequisites-not-checked",
                severity=Severity.INFO,
                message=f"Not looked up: {'; '.join(seen.unseen)}",
                hint="Allow iam:GetRole, secretsmanager:DescribeSecret and ssm:DescribeParameters, or do "
                "without this check.",
            )
        )


def _definition(raw: RawTaskDefinition, pins: Mapping[str, str]) -> dict[str, Any]:
    definition = registrable({"taskDefinition": raw.body, "tags": list(raw.tags)})
    for container in definition["containerDefinitions"]:
        container["image"] = pins.get(container["name"], container["image"])
    return definition
