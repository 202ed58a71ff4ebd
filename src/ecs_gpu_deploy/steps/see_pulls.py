"""See what instances have to pull of the images of a definition: the manifests, beside what runs and ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.past.pulls import Layers, Pulls, pulls_of
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_manifests
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Task

_MOST_REPOSITORIES: Final = 2
_MOST_IMAGES: Final = 20


def see_pulls(
    context: Context, definition: Mapping[str, Any], tasks: Sequence[Task], *, platform: str
) -> Pulls | None:
    """Return what instances have to pull of the raw *definition*; None where no manifest may be read.

    *tasks* are those of the service that run or lately stopped. One or two calls a repository; of images
    elsewhere than in Amazon ECR nothing is known.
    """
    new = {text: found for text in images(definition).values() if (found := _in_ecr(text)) is not None}
    read: dict[str, Layers] = {}
    layers: dict[str, Layers] = {}
    ran = sorted(tasks, key=lambda each: each.created_at or 0.0, reverse=True)
    wanted: dict[str, dict[str, Repository]] = defaultdict(dict)
    for repository, name in new.values():
        wanted[repository.uri][name] = repository
    named: dict[str, str] = {}
    for container in (each for task in ran for each in task.containers):
        found = _in_ecr(container.image)
        if found is None or found[0].uri not in wanted or len(wanted[found[0].uri]) >= _MOST_IMAGES:
            continue
        name = container.image_digest or found[1]
        wanted[found[0].uri][name] = found[0]
        named[container.image_digest or container.image] = name
    for names in list(wanted.values())[:_MOST_REPOSITORIES]:
        repository = next(iter(names.values()))
        manifests = fetch_manifests(context.aws, repository, list(names), platform=platform)
        read |= {name: manifest.layers for name, manifest in manifests.items() if manifest.layers}
    for text, (_, name) in new.items():
        if name in read:
            layers[text] = read[name]
    return pulls_of(layers, ran, {about: read[name] for about, name in named.items() if name in read})


def _in_ecr(text: str) -> tuple[Repository, str] | None:
    """Return the repository and the digest or tag of an image; None for one elsewhere."""
    try:
        reference = ImageReference.from_text(text)
    except InvalidInput:
        return None
    repository = Repository.of_image(reference)
    return None if repository is None else (repository, reference.digest or reference.tag or "latest")
