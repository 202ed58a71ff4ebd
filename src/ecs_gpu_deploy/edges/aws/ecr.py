"""Amazon ECR: is the image there, and which digest does it have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.past.past_deployments import ImageState
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, Denied
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Finding, Severity

HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)

_INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSeen:
    """What is known of an image: its digest where the registry told it, or why it could not be checked.

    `is_index` says that the digest is that of an image index, so a task may report another one: that of
    the manifest for its platform.
    """

    digest: str = ""
    is_index: bool = False
    tags: tuple[str, ...] = ()
    finding: Finding | None = None


def fetch_image(aws: Aws, reference: ImageReference) -> ImageSeen:
    """Look *reference* up in ECR; InvalidInput where it is not there or archived.

    An image elsewhere than in ECR, or a permission that is missing, is a finding, no error: ECS may well
    be allowed to pull what we cannot see.
    """
    host = HOST.fullmatch(reference.registry)
    if host is None:
        return ImageSeen(
            digest=reference.digest,
            finding=Finding(
                code="image-not-checked",
                severity=Severity.INFO,
                message=f"{reference} is not in Amazon ECR, so whether it exists was not checked.",
            ),
        )
    wanted = (
        {"imageDigest": reference.digest} if reference.digest else {"imageTag": reference.tag or "latest"}
    )
    try:
        answer = aws.call(
            "ecr",
            "describe_images",
            {
                "registryId": host["account"],
                "repositoryName": reference.repository,
                "imageIds": [wanted],
            },
            region=host["region"],
        )
    except AwsError as error:
        return _unseen(reference, host["region"], error)
    details = answer.get("imageDetails") or []
    if not details:
        raise _missing(reference, host["region"])
    if details[0].get("imageStatus") in {"ARCHIVED", "ACTIVATING"}:
        raise InvalidInput(
            f"The image {reference} is archived in ECR, and an archived image cannot be pulled.",
            hint="Restore it: aws ecr update-image-storage-class --target-storage-class STANDARD "
            f"--repository-name {reference.repository} --image-id "
            f"{'imageDigest=' + reference.digest if reference.digest else 'imageTag=' + reference.tag}",
        )
    return ImageSeen(
        digest=str(details[0].get("imageDigest", "")),
        is_index=details[0].get("imageManifestMediaType") in _INDEXES,
        tags=tuple(details[0].get("imageTags") or ()),
    )


def _missing(reference: ImageReference, region: str) -> InvalidInput:
    return InvalidInput(
        f"The image {reference} is not in ECR ({region}).",
        hint="Push it first, and check the tag: a tag is case-sensitive, and a lifecycle policy may have "
        "expired it.",
    )


def _unseen(reference: ImageReference, region: str, error: AwsError) -> ImageSeen:
    match error.code:
        case "ImageNotFoundException":
            raise _missing(reference, region) from error
        case "RepositoryNotFoundException":
            raise InvalidInput(
                f"There is no ECR repository {reference.repository!r} in the registry {reference.registry}.",
                hint="Check the image's URI, its account and its Region.",
            ) from error
        case "InvalidParameterException":
            raise InvalidInput(f"ECR refuses {reference}: {error.text}") from error
    needed = " (the permission ecr:DescribeImages is missing)" if isinstance(error, Denied) else ""
    return ImageSeen(
        digest=reference.digest,
        finding=Finding(
            code="image-not-checked",
            severity=Severity.WARNING,
            message=f"Whether {reference} exists could not be checked: {error.text}",
            hint=f"Allow ecr:DescribeImages on the repository{needed}." if isinstance(error, Closed) else "",
        ),
    )


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
        except AwsError as error:
            return {} if error.code == "RepositoryNotFoundException" else None
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
