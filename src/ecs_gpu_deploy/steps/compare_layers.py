"""How much of an image is new to the hosts that have to pull it."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.layers import LayerDelta, layer_delta
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_manifests
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering


def compare_layers(context: Context, rendering: Rendering, *, platform: str) -> LayerDelta | None:
    """Return what hosts have to pull, and tell it; None where the images cannot be compared.

    One or two calls; an image that stays the same needs none.
    """
    if not rendering.image_digest:
        return None
    new = ImageReference.from_text(rendering.image)
    repository = Repository.of_image(new)
    old = _running_image(rendering, new)
    if repository is None or old is None or str(old) == str(new):
        return None
    found = fetch_manifests(
        context.aws,
        repository,
        [rendering.image_digest, old.digest or old.tag or "latest"],
        platform=platform,
    )
    manifest = found.get(rendering.image_digest)
    if manifest is None or not manifest.layers:
        return None
    delta = layer_delta(found.get(old.digest or old.tag or "latest"), manifest)
    text = str(delta)
    context.reporter.say(text)
    context.record(
        Finding(
            code="image-layers",
            severity=Severity.INFO,
            message=f"{text[:1].upper()}{text[1:]}.",
            is_told=True,
        )
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
