"""Whether ECR's lifecycle policy takes away images that a rollback or a restart needs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.lifecycle_policy import rules_of, taken_away
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.image.stored_image import StoredImage
from ecs_gpu_deploy.edges.aws.ecr import fetch_all_images
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_lifecycle_policy
from ecs_gpu_deploy.edges.aws.revisions import fetch_family
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Severity

ROLLBACK_TARGETS = 4


def lifecycle_findings(
    context: Context, repository: Repository, service: Service, container: str
) -> tuple[Finding, ...]:
    """Warn of images that the lifecycle policy takes away although a rollback or a restart needs them."""
    rules = rules_of(fetch_lifecycle_policy(context.aws, repository))
    if not rules:
        return ()
    stored = fetch_all_images(context.aws, repository)
    taken = taken_away(rules, stored, now=context.clock.now())
    if not taken:
        return ()
    findings = []
    for revision, reference in _referenced(context, service, container).items():
        image = _image_of(reference, repository, stored)
        if image is None or image.digest not in taken:
            continue
        use = "runs" if revision == service.task_definition else "may be rolled back to"
        findings.append(
            Finding(
                code="lifecycle-policy",
                severity=Severity.WARNING,
                message=f"ECR's lifecycle policy takes away {reference} by its {taken[image.digest].name}, "
                f"and {short_id(revision)}, which {use}, needs it: a new task then cannot pull it.",
                hint="Raise the rule's count, or protect tags in use with a rule of higher priority.",
            )
        )
    return tuple(findings)


def _referenced(context: Context, service: Service, container: str) -> Mapping[str, ImageReference]:
    """Return revision → image for the running revision and those before it, as far as they can be read."""
    family = short_id(service.task_definition).partition(":")[0]
    arns = [service.task_definition]
    with suppress(DeployError):
        newest = fetch_family(context.aws, family, most=ROLLBACK_TARGETS) or ()
        arns += [arn for arn in newest if arn not in arns]
    references: dict[str, ImageReference] = {}
    for arn in arns[:ROLLBACK_TARGETS]:
        try:
            definition = context.ecs.fetch_task_definition(arn).body
            name = container_named(definition, container)
            references[arn] = ImageReference.from_text(images(definition)[name])
        except DeployError:
            continue
    return references


def _image_of(
    reference: ImageReference, repository: Repository, stored: tuple[StoredImage, ...]
) -> StoredImage | None:
    if reference.name != repository.uri:
        return None
    tag = reference.tag or "latest"
    return next(
        (
            image
            for image in stored
            if (image.digest == reference.digest if reference.digest else tag in image.tags)
        ),
        None,
    )
