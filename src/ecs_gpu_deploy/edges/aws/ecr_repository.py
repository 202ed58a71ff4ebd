"""An ECR repository: what is in it, its rules, and the few things that we change in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.image_tags import Mutability
from ecs_gpu_deploy.core.image.layers import INDEX_TYPES, MANIFEST_TYPES, Manifest, manifest_of
from ecs_gpu_deploy.core.image.lifecycle_policy import StoredImage, new_repository_policy
from ecs_gpu_deploy.edges.aws.answers import AwsError, Denied, Unsupported, refused
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import HOST
from ecs_gpu_deploy.errors import InvalidInput, Refused

MOVABLE_TAG = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository: `uri` is registry and name, as tasks name it."""

    name: str
    uri: str
    account: str
    region: str
    mutability: Mutability = field(default_factory=Mutability)

    @classmethod
    def of(cls, uri: str, *, account: str, region: str) -> Repository:
        """Name a repository that was not looked up."""
        return cls(name=uri.partition("/")[2], uri=uri, account=account, region=region)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedImage:
    """An image as DescribeImages tells it; `counts` are scan findings by severity, in lower case."""

    digest: str
    tags: tuple[str, ...]
    size: int
    status: str
    is_index: bool
    scan_status: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_archived(self) -> bool:
        """Can the image not be pulled because ECR archived it?"""
        return self.status in {"ARCHIVED", "ACTIVATING"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What `docker login` needs; the password is good for twelve hours."""

    endpoint: str
    username: str
    password: str = field(repr=False)

    @property
    def registry(self) -> str:
        """The endpoint's host and port, with which pushed images are named."""
        return self.endpoint.partition("://")[2].rstrip("/") or self.endpoint


def name_of(repository: str) -> tuple[str, str, str]:
    """Return (account, Region, name) of a repository given by name or URI; the first two "" for a name.

    Raise InvalidInput where it is a URI of another registry than ECR, or has a tag.
    """
    reference = ImageReference.from_text(repository)
    if reference.tag or reference.digest:
        raise InvalidInput(
            f"repository is {repository!r}, which names an image.",
            hint="Leave tag and digest out of repository; the tag belongs into image-tag.",
        )
    if not reference.registry:
        return "", "", reference.repository
    host = HOST.fullmatch(reference.registry)
    if host is None:
        raise InvalidInput(
            f"repository is {repository!r}, which is not in Amazon ECR.",
            hint="Give the name of an ECR repository, or ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME.",
        )
    return host["account"], host["region"], reference.repository


def fetch_repository(aws: Aws, wanted: str) -> Repository | None:
    """Look a repository up by name or URI; None where it does not exist."""
    account, region, name = name_of(wanted)
    params: dict[str, Any] = {"repositoryNames": [name]}
    if account:
        params["registryId"] = account
    try:
        answer = aws.call("ecr", "describe_repositories", params, region=region or None)
    except AwsError as error:
        if error.code == "RepositoryNotFoundException":
            return None
        raise refused(error, f"look up the ECR repository {name!r}") from error
    return _repository(answer["repositories"][0], region or aws.region)


def _repository(answer: Mapping[str, Any], region: str) -> Repository:
    filters = answer.get("imageTagMutabilityExclusionFilters") or ()
    return Repository(
        name=str(answer["repositoryName"]),
        uri=str(answer["repositoryUri"]),
        account=str(answer.get("registryId", "")),
        region=region,
        mutability=Mutability(
            setting=str(answer.get("imageTagMutability", "MUTABLE")),
            filters=tuple(str(one.get("filter", "")) for one in filters),
        ),
    )


def missing_repository(aws: Aws, wanted: str) -> InvalidInput:
    """Return the error for a repository that is not there, with what creates it."""
    _, region, name = name_of(wanted)
    where = region or aws.region
    return InvalidInput(
        f"There is no ECR repository {name!r} in {where}.",
        hint="Set create-repository to true, or create it:\n"
        f"  aws ecr create-repository --region {where} --repository-name {name} "
        "--image-scanning-configuration scanOnPush=true --image-tag-mutability IMMUTABLE_WITH_EXCLUSION "
        f"--image-tag-mutability-exclusion-filters filterType=WILDCARD,filter={MOVABLE_TAG}\n"
        f'  resource "aws_ecr_repository" "this" {{ name = "{name}" }}   # Terraform\n'
        "If it should be there: check the region and the account.",
    )


def create_repository(aws: Aws, wanted: str) -> Repository:
    """Create a repository: scanned on push, tags immutable save `latest`, with a lifecycle policy."""
    account, region, name = name_of(wanted)
    registry = {"registryId": account} if account else {}
    try:
        answer = aws.call(
            "ecr",
            "create_repository",
            {
                **registry,
                "repositoryName": name,
                "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": MOVABLE_TAG}],
                "imageScanningConfiguration": {"scanOnPush": True},
                "encryptionConfiguration": {"encryptionType": "AES256"},
            },
            region=region or None,
        )
        aws.call(
            "ecr",
            "put_lifecycle_policy",
            {**registry, "repositoryName": name, "lifecyclePolicyText": new_repository_policy()},
            region=region or None,
        )
    except AwsError as error:
        raise refused(error, f"create the ECR repository {name!r}") from error
    return _repository(answer["repository"], region or aws.region)


def _image_call(aws: Aws, repository: Repository, method: str, **params: Any) -> Mapping[str, Any]:
    known = {"registryId": repository.account} if repository.account else {}
    return aws.call(
        "ecr", method, {**known, "repositoryName": repository.name, **params}, region=repository.region
    )


def fetch_tagged(aws: Aws, repository: Repository, tag: str) -> TaggedImage | None:
    """Look the image of a tag up; None where no image has it."""
    try:
        answer = _image_call(aws, repository, "describe_images", imageIds=[{"imageTag": tag}])
    except AwsError as error:
        if error.code == "ImageNotFoundException":
            return None
        raise refused(error, f"look up {repository.name}:{tag} in ECR") from error
    details = answer.get("imageDetails") or ()
    return _tagged(details[0]) if details else None


def _tagged(detail: Mapping[str, Any]) -> TaggedImage:
    summary = detail.get("imageScanFindingsSummary") or {}
    return TaggedImage(
        digest=str(detail.get("imageDigest", "")),
        tags=tuple(detail.get("imageTags") or ()),
        size=int(detail.get("imageSizeInBytes") or 0),
        status=str(detail.get("imageStatus", "ACTIVE")),
        is_index=detail.get("imageManifestMediaType") in INDEX_TYPES,
        scan_status=str((detail.get("imageScanStatus") or {}).get("status", "")),
        counts=_counts(summary),
    )


def _counts(findings: Mapping[str, Any]) -> dict[str, int]:
    return {name.lower(): int(count) for name, count in (findings.get("findingSeverityCounts") or {}).items()}


def fetch_scan(aws: Aws, repository: Repository, digest: str) -> tuple[str, Mapping[str, int]]:
    """Return (status, findings by severity) of ECR's scan of an image; status "" where there is none."""
    try:
        answer = _image_call(
            aws, repository, "describe_image_scan_findings", imageId={"imageDigest": digest}, maxResults=1
        )
    except AwsError as error:
        if error.code == "ScanNotFoundException":
            return "", {}
        raise refused(error, "read the findings of ECR's scan") from error
    status = str((answer.get("imageScanStatus") or {}).get("status", ""))
    return status, _counts(answer.get("imageScanFindings") or {})


def fetch_manifest_texts(aws: Aws, repository: Repository, wanted: Sequence[str]) -> dict[str, str]:
    """Return digest or tag → manifest for those of *wanted* that ECR has and we may see; one call."""
    accepted = [*MANIFEST_TYPES, *INDEX_TYPES]
    ids = [{"imageDigest" if ":" in name else "imageTag": name} for name in dict.fromkeys(wanted)]
    try:
        answer = _image_call(aws, repository, "batch_get_image", imageIds=ids, acceptedMediaTypes=accepted)
    except AwsError:
        return {}
    texts: dict[str, str] = {}
    by_tag: list[str] = []
    for image in answer.get("images") or ():
        names = {str(name) for name in (image.get("imageId") or {}).values()}
        texts |= dict.fromkeys(names, str(image.get("imageManifest", "")))
        if not names & set(wanted):
            by_tag.append(str(image.get("imageManifest", "")))
    # An image with several tags may come back under another one than was asked for.
    missing = [name for name in wanted if name not in texts]
    return texts | (dict(zip(missing, by_tag, strict=True)) if len(missing) == len(by_tag) == 1 else {})


def fetch_manifests(
    aws: Aws, repository: Repository, wanted: Sequence[str], *, platform: str
) -> dict[str, Manifest]:
    """Return digest or tag → manifest; an index is replaced by its manifest for *platform*."""
    found = {
        name: manifest
        for name, text in fetch_manifest_texts(aws, repository, wanted).items()
        if (manifest := manifest_of(text)) is not None
    }
    children = {name: child for name, m in found.items() if (child := m.child(platform))}
    if children:
        texts = fetch_manifest_texts(aws, repository, list(children.values()))
        found |= {
            name: manifest
            for name, child in children.items()
            if (manifest := manifest_of(texts.get(child, ""))) is not None
        }
    return found


def put_tags(aws: Aws, repository: Repository, digest: str, tags: Sequence[str]) -> None:
    """Give an image that is there further tags, without pulling or pushing a layer."""
    if not tags:
        return
    text = fetch_manifest_texts(aws, repository, [digest]).get(digest)
    if not text:
        raise Refused(
            f"The manifest of {repository.name}@{digest} could not be read, so it gets no further tag.",
            hint="Allow ecr:BatchGetImage on the repository.",
        )
    for tag in tags:
        try:
            _image_call(aws, repository, "put_image", imageManifest=text, imageTag=tag, imageDigest=digest)
        except AwsError as error:
            if error.code == "ImageAlreadyExistsException":
                continue
            raise refused(error, f"tag the image {repository.name}@{digest} as {tag}") from error


def restore_image(aws: Aws, repository: Repository, digest: str) -> None:
    """Have ECR bring an archived image back; that takes minutes (ECR User Guide)."""
    try:
        _image_call(
            aws,
            repository,
            "update_image_storage_class",
            imageId={"imageDigest": digest},
            targetStorageClass="STANDARD",
        )
    except AwsError as error:
        raise refused(error, f"restore the archived image {repository.name}@{digest}") from error


def fetch_lifecycle_policy(aws: Aws, repository: Repository) -> str:
    """Return the text of the repository's lifecycle policy; "" where there is none or we may not see it."""
    try:
        answer = _image_call(aws, repository, "get_lifecycle_policy")
    except AwsError:
        return ""
    return str(answer.get("lifecyclePolicyText", ""))


def fetch_all_images(aws: Aws, repository: Repository) -> tuple[StoredImage, ...]:
    """Return every image of the repository; an empty tuple where we may not see them."""
    images: list[StoredImage] = []
    page: dict[str, Any] = {"maxResults": 1000}
    while True:
        try:
            answer = _image_call(aws, repository, "describe_images", **page)
        except AwsError:
            return ()
        images += [_stored(detail) for detail in answer.get("imageDetails") or ()]
        if not answer.get("nextToken"):
            return tuple(images)
        page["nextToken"] = answer["nextToken"]


def _stored(detail: Mapping[str, Any]) -> StoredImage:
    pushed, pulled = detail.get("imagePushedAt"), detail.get("lastRecordedPullTime")
    return StoredImage(
        digest=str(detail.get("imageDigest", "")),
        tags=tuple(detail.get("imageTags") or ()),
        pushed_at=pushed.timestamp() if pushed else 0.0,
        pulled_at=pulled.timestamp() if pulled else 0.0,
    )


def fetch_login(aws: Aws, repository: Repository) -> Login:
    """Fetch the registry's password; Refused where GetAuthorizationToken is not allowed."""
    try:
        answer = aws.call("ecr", "get_authorization_token", {}, region=repository.region)
    except AwsError as error:
        if isinstance(error, Denied):
            raise Refused(
                f"AWS refused to log in to ECR: {error.text}",
                hint="Allow ecr:GetAuthorizationToken on the resource *: it knows no repository.",
            ) from error
        if isinstance(error, Unsupported):
            raise Refused("This endpoint has no ECR.", hint="Check AWS_ENDPOINT_URL.") from error
        raise refused(error, "log in to ECR") from error
    data = answer["authorizationData"][0]
    username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    endpoint = str(data["proxyEndpoint"])
    own = repository.uri.partition("/")[0]
    handed = endpoint.partition("://")[2]
    # The token is good for every registry that the caller may use; the endpoint is that of the caller's own.
    if HOST.fullmatch(handed) and HOST.fullmatch(own):
        endpoint = f"https://{own}"
    return Login(endpoint=endpoint, username=username, password=password)
