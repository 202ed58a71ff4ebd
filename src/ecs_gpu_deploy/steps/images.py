"""The image of a deployment in ECR: built where asked, weighed against the one that runs, kept or not."""

from __future__ import annotations

from collections.abc import Mapping

import botocore.exceptions

from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.layers import LayerDelta, layer_delta
from ecs_gpu_deploy.core.image.lifecycle_policy import StoredImage, rules_of, taken_away
from ecs_gpu_deploy.edges.aws.ecr import HOST
from ecs_gpu_deploy.edges.aws.ecr_repository import (
    Repository,
    fetch_all_images,
    fetch_lifecycle_policy,
    fetch_manifests,
)
from ecs_gpu_deploy.errors import DeployError, InvalidInput
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.model import Finding, Service, Severity, short_id
from ecs_gpu_deploy.steps.build_image import BuiltImage, image_built, wants_build, with_image
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.render_revision import Rendering

ROLLBACK_TARGETS = 4


def with_built_image(context: Context, service: Service) -> Settings:
    """Return the settings with the image that was built for them; as they are where nothing is to build."""
    settings = context.settings
    if not wants_build(settings):
        return settings
    running = context.ecs.fetch_task_definition(service.task_definition)
    given = images(running.body)
    reference = ImageReference.from_text(given[container_named(running.body, settings.container or "")])
    if not settings.repository and not HOST.fullmatch(reference.registry):
        raise InvalidInput(
            f"The service runs {reference}, which is not in ECR, so where to push is not known.",
            hint="Set the input repository.",
        )
    built = image_built(context, default_repository=reference.name, running=reference)
    context.draft.findings += _lifecycle_findings(context, built, service)
    return with_image(settings, built)


def _lifecycle_findings(context: Context, built: BuiltImage, service: Service) -> tuple[Finding, ...]:
    """Warn of images that the lifecycle policy takes away although a rollback or a restart needs them."""
    rules = rules_of(fetch_lifecycle_policy(context.aws, built.repository))
    if not rules:
        return ()
    stored = fetch_all_images(context.aws, built.repository)
    taken = taken_away(rules, stored, now=context.clock.now())
    if not taken:
        return ()
    findings = []
    for revision, reference in _referenced(context, service).items():
        image = _image_of(reference, built.repository, stored)
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


def _referenced(context: Context, service: Service) -> Mapping[str, ImageReference]:
    """Return revision → image for the running revision and those before it, as far as they can be read."""
    family = short_id(service.task_definition).partition(":")[0]
    arns = [service.task_definition]
    try:
        answer = context.aws.call(
            "ecs",
            "list_task_definitions",
            {"familyPrefix": family, "sort": "DESC", "maxResults": ROLLBACK_TARGETS},
        )
        arns += [arn for arn in answer.get("taskDefinitionArns") or () if arn not in arns]
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        pass
    references: dict[str, ImageReference] = {}
    for arn in arns[:ROLLBACK_TARGETS]:
        try:
            definition = context.ecs.fetch_task_definition(arn).body
            name = container_named(definition, context.settings.container or "")
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


def layers_to_pull(context: Context, rendering: Rendering) -> LayerDelta | None:
    """Return what hosts have to pull, and tell it; None where the images cannot be compared.

    One or two calls; an image that stays the same needs none.
    """
    if not rendering.image_digest:
        return None
    new = ImageReference.from_text(rendering.image)
    host = HOST.fullmatch(new.registry)
    old = _running_image(rendering, new)
    if host is None or old is None or str(old) == str(new):
        return None
    repository = Repository.of(new.name, account=host["account"], region=host["region"])
    found = fetch_manifests(
        context.aws,
        repository,
        [rendering.image_digest, old.digest or old.tag or "latest"],
        platform=context.settings.platforms.split(",")[0].strip(),
    )
    manifest = found.get(rendering.image_digest)
    if manifest is None or not manifest.layers:
        return None
    delta = layer_delta(found.get(old.digest or old.tag or "latest"), manifest)
    text = str(delta)
    context.reporter.say(text)
    context.draft.findings.append(
        Finding(code="image-layers", severity=Severity.INFO, message=f"{text[:1].upper()}{text[1:]}.")
    )
    return delta


def _running_image(rendering: Rendering, new: ImageReference) -> ImageReference | None:
    """Return the image of the same repository that runs now."""
    for text in rendering.running_images.values():
        try:
            reference = ImageReference.from_text(text)
        except InvalidInput:
            continue
        if reference.name == new.name:
            return reference
    return None
