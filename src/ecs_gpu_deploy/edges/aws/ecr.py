"""Amazon ECR, the images: is it there, can it be pulled, which digest does it have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.pull_through_cache import caching_prefix
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.image.stored_image import StoredImage, archived_sentence
from ecs_gpu_deploy.edges.aws.answers import (
    AwsError,
    Closed,
    Denied,
    HalfAnswer,
    Unsupported,
    needed_to,
    reading,
)
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Finding, Severity

_PAGE = 1000
_MOST = 5 * _PAGE
_NO_REPOSITORY = "RepositoryNotFoundException"
_NOT_THERE = frozenset({_NO_REPOSITORY, "ImageNotFoundException"})
_ALLOW_RULES = (
    "For an image that comes through a pull-through cache rule allow ecr:DescribePullThroughCacheRules."
)


def _images(aws: Aws, repository: Repository, **params: Any) -> Iterator[StoredImage]:
    """Yield images of *repository* as DescribeImages tells them; raises AwsError."""
    known = {**named(repository), **params}
    listed = aws.pages("ecr", "describe_images", known, "imageDetails", region=repository.region)
    with reading("ecr.DescribeImages"):
        yield from map(StoredImage.from_api, listed)


def _image(aws: Aws, repository: Repository, wanted: Mapping[str, str]) -> StoredImage:
    """Return the image that *wanted* names; Missing where ECR has none, and no list without it says that."""
    params = {**named(repository), "imageIds": [wanted]}

    def read(answer: Mapping[str, Any]) -> StoredImage:
        for item in answer.get("imageDetails") or ():
            image = StoredImage.from_api(item)
            if image.digest:
                return image
        raise HalfAnswer("DescribeImages answered without the image", request="ecr.DescribeImages")

    return aws.read("ecr", "describe_images", params, read, region=repository.region)


def named(repository: Repository) -> Mapping[str, str]:
    """Return the members that name *repository* in a request."""
    known = {"registryId": repository.account} if repository.account else {}
    return {**known, "repositoryName": repository.name}


def fetch_image(aws: Aws, reference: ImageReference) -> tuple[StoredImage, Finding | None]:
    """Look *reference* up in ECR; InvalidInput where it is not there or archived.

    An image elsewhere than in ECR, one that ECR fetches on its first pull, or a permission that is missing,
    is a finding, no error: ECS may well be allowed to pull what we cannot see.
    """
    repository = Repository.of_image(reference)
    if repository is None:
        return StoredImage(digest=reference.digest), Finding(
            code="image-not-checked",
            severity=Severity.INFO,
            message=f"{reference} is not in Amazon ECR, so whether it exists was not checked.",
        )
    wanted = (
        {"imageDigest": reference.digest} if reference.digest else {"imageTag": reference.tag or "latest"}
    )
    try:
        image = _image(aws, repository, wanted)
    except AwsError as error:
        if error.code in _NOT_THERE:
            return StoredImage(digest=reference.digest), _before_first_pull(aws, reference, repository, error)
        return StoredImage(digest=reference.digest), _not_checked(reference, error)
    if image.is_archived:
        raise InvalidInput(
            archived_sentence(str(reference)),
            hint="Restore it: aws ecr update-image-storage-class --target-storage-class STANDARD "
            f"--repository-name {reference.repository} --image-id "
            f"{'imageDigest=' + reference.digest if reference.digest else 'imageTag=' + reference.tag}",
        )
    return image, None


def _before_first_pull(
    aws: Aws, reference: ImageReference, repository: Repository, error: AwsError
) -> Finding:
    """Return why an image that is not there may run all the same; InvalidInput where it cannot.

    Where the rules are closed to us, a repository that does not exist may be one that a rule makes (its name
    then has a prefix); an image that a repository lacks is held to be missing.
    """
    no_repository = error.code == _NO_REPOSITORY
    prefixes = _cache_prefixes(aws, repository)
    prefix = caching_prefix(prefixes or (), repository.name)
    if prefix:
        return Finding(
            code="image-not-checked",
            severity=Severity.INFO,
            message=f"{reference} comes through the pull-through cache rule {prefix!r} and is not in ECR "
            "before its first pull, so whether it exists was not checked.",
            hint="The first pull needs ecr:BatchImportUpstreamImage, and ecr:CreateRepository where there is "
            "no repository yet.",
        )
    if prefixes is None and no_repository and "/" in repository.name:
        return Finding(
            code="image-not-checked",
            severity=Severity.WARNING,
            message=f"Whether {reference} exists could not be checked: there is no ECR repository "
            f"{repository.name!r}, and whether a pull-through cache rule makes it on the first pull was not "
            "shown.",
            hint=f"Check the image's URI, its account and its Region. {_ALLOW_RULES}",
        )
    unseen = f" {_ALLOW_RULES}" if prefixes is None else ""
    if no_repository:
        raise InvalidInput(
            f"There is no ECR repository {reference.repository!r} in the registry {reference.registry}.",
            hint=f"Check the image's URI, its account and its Region.{unseen}",
        ) from error
    untagged = "" if reference.tag or reference.digest else ", which without a tag means latest,"
    raise InvalidInput(
        f"The image {reference}{untagged} is not in ECR ({repository.region}).",
        hint="Push it first, and check the tag: a tag is case-sensitive, and a lifecycle policy may have "
        f"expired it.{unseen}",
    ) from error


def _cache_prefixes(aws: Aws, repository: Repository) -> tuple[str, ...] | None:
    """Return the prefixes of the registry's pull-through cache rules, None where they are not shown."""
    params = {"registryId": repository.account} if repository.account else {}
    try:
        rules = aws.pages(
            "ecr",
            "describe_pull_through_cache_rules",
            params,
            "pullThroughCacheRules",
            region=repository.region,
        )
        with reading("ecr.DescribePullThroughCacheRules"):
            return tuple(str(rule.get("ecrRepositoryPrefix", "")) for rule in rules)
    except Unsupported:
        return ()
    except AwsError:
        return None


def _not_checked(reference: ImageReference, error: AwsError) -> Finding:
    if error.code == "InvalidParameterException":
        raise InvalidInput(f"ECR refuses {reference}: {error.text}") from error
    needed = " (the permission ecr:DescribeImages is missing)" if isinstance(error, Denied) else ""
    return Finding(
        code="image-not-checked",
        severity=Severity.WARNING,
        message=f"Whether {reference} exists could not be checked: {error.text}",
        hint=f"Allow ecr:DescribeImages on the repository{needed}." if isinstance(error, Closed) else "",
    )


def fetch_tagged(aws: Aws, repository: Repository, tag: str) -> StoredImage | None:
    """Look the image of a tag up; None where no image has it."""
    with needed_to(f"look up {repository.name}:{tag} in ECR"):
        try:
            return _image(aws, repository, {"imageTag": tag})
        except AwsError as error:
            if error.code == "ImageNotFoundException":
                return None
            raise


def tag_names_now(aws: Aws, reference: ImageReference) -> str:
    """Return the digest that the reference's tag names in ECR by now, "" where ECR does not show it."""
    repository = Repository.of_image(reference)
    if repository is None:
        return ""
    try:
        return _image(aws, repository, {"imageTag": reference.tag or "latest"}).digest
    except AwsError:
        return ""


def find_digests(aws: Aws, images: Iterable[str], tag: str) -> frozenset[str]:
    """Return the digests that *tag* names in the ECR repositories of *images*, as far as ECR shows them."""
    names = set()
    for image in images:
        with contextlib.suppress(InvalidInput):
            names.add(ImageReference.from_text(image).name)
    tagged = (tag_names_now(aws, ImageReference.from_text(f"{name}:{tag}")) for name in sorted(names))
    return frozenset(digest for digest in tagged if digest)


def fetch_all_images(aws: Aws, repository: Repository) -> tuple[StoredImage, ...]:
    """Return every image of the repository; an empty tuple where we may not see them."""
    try:
        return tuple(_images(aws, repository, maxResults=_PAGE))
    except AwsError:
        return ()


def find_images(aws: Aws, images: Iterable[tuple[str, str]]) -> Mapping[str, StoredImage | None]:
    """Look images up, each given as (reference as written, digest or ""); None is one that ECR does not have.

    The keys are the digests, or the references where no digest is given. Images outside ECR, and what we may
    not see, are left out. One call a repository and thousand images.
    """
    wanted: dict[Repository, list[tuple[str, str]]] = {}
    for image, digest in dict.fromkeys(images):
        try:
            reference = ImageReference.from_text(image)
        except InvalidInput:
            continue
        repository = Repository.of_image(reference)
        if repository is not None:
            known = digest or reference.digest
            asked = (known or image, known or reference.tag or "latest")
            wanted.setdefault(repository, []).append(asked)
    found: dict[str, StoredImage | None] = {}
    for repository, asked_of_it in wanted.items():
        listed = _by_name(aws, repository)
        if listed is not None:
            found |= {key: listed.get(name) for key, name in asked_of_it}
    return found


def _by_name(aws: Aws, repository: Repository) -> Mapping[str, StoredImage] | None:
    """Return digest or tag → image of a repository; None where we cannot see it, or not all."""
    try:
        listed = _images(aws, repository, maxResults=_PAGE, filter={"imageStatus": "ANY"})
        images = list(islice(listed, _MOST))
    except AwsError as error:
        return {} if error.code == _NO_REPOSITORY else None
    if len(images) == _MOST:
        return None
    return {name: image for image in images for name in (image.digest, *image.tags)}
