"""Amazon ECR: which of many images are still there, with one listing a repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import botocore.exceptions

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.past.past_deployments import ImageState
from ecs_gpu_deploy.edges.aws.client import Aws, error_code
from ecs_gpu_deploy.edges.aws.ecr import HOST
from ecs_gpu_deploy.edges.aws.ecs import CONNECTION_ERRORS
from ecs_gpu_deploy.errors import InvalidInput

_MOST_PAGES = 5
_PAGE = 1000
_STATES = {"ACTIVE": "yes", "ARCHIVED": "archived", "ACTIVATING": "archived"}


def fetch_states(aws: Aws, images: Iterable[tuple[str, str]]) -> Mapping[str, ImageState]:
    """Return the state of images, each given as (reference as written, digest or "").

    The keys are the references and the digests. Images outside ECR, and what we may not see, are left out.
    """
    wanted: dict[tuple[str, str], list[tuple[str, ImageReference, str]]] = {}
    for image, digest in dict.fromkeys(images):
        try:
            reference = ImageReference.from_text(image)
        except InvalidInput:
            continue
        if HOST.fullmatch(reference.registry):
            key = (reference.registry, reference.repository)
            wanted.setdefault(key, []).append((image, reference, digest or reference.digest))
    states: dict[str, ImageState] = {}
    for (registry, repository), asked in wanted.items():
        listed = _listed(aws, registry, repository)
        if listed is None:
            continue
        for image, reference, digest in asked:
            state = listed.get(digest or reference.tag or "latest", ImageState(state="gone", digest=digest))
            states[digest or image] = state
    return states


def _listed(aws: Aws, registry: str, repository: str) -> Mapping[str, ImageState] | None:
    """Return digest → state and tag → state of a repository; None where we cannot see it, or not all."""
    host = HOST.fullmatch(registry)
    if host is None:
        return None
    params: dict[str, Any] = {
        "registryId": host["account"],
        "repositoryName": repository,
        "maxResults": _PAGE,
        "filter": {"imageStatus": "ANY"},
    }
    found: dict[str, ImageState] = {}
    for _ in range(_MOST_PAGES):
        try:
            answer = aws.call("ecr", "describe_images", params, region=host["region"])
        except (botocore.exceptions.ClientError, *CONNECTION_ERRORS) as error:
            return {} if error_code(error) == "RepositoryNotFoundException" else None
        for item in answer.get("imageDetails") or ():
            state = _STATES.get(item.get("imageStatus") or "ACTIVE", "yes")
            digest = str(item.get("imageDigest", ""))
            found |= {
                name: ImageState(state=state, digest=digest)
                for name in (digest, *(item.get("imageTags") or ()))
            }
        if not answer.get("nextToken"):
            return found
        params["nextToken"] = answer["nextToken"]
    return None
