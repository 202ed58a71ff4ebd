"""An ECR repository: what is in it, its rules, and the few things that we change in it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.core.image.image_tags import Mutability
from ecs_gpu_deploy.core.image.layers import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Manifest,
    manifest_of,
    media_type_of,
)
from ecs_gpu_deploy.core.image.lifecycle_policy import new_repository_policy
from ecs_gpu_deploy.core.image.registry import PUBLIC, RegistryWish
from ecs_gpu_deploy.core.image.repository import Repository, is_ecr
from ecs_gpu_deploy.core.image.stored_image import findings_in
from ecs_gpu_deploy.edges.aws.answers import (
    AwsError,
    Denied,
    Unclear,
    Unsupported,
    needed_to,
    reading,
    refused,
)
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import named
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.model import epoch, text_in

MOVABLE_TAG = "latest"
_PUBLIC_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What `docker login` needs; the password is good until `expires_at` (epoch seconds): twelve hours."""

    endpoint: str
    username: str
    password: str = field(repr=False)
    expires_at: float = math.inf

    @property
    def registry(self) -> str:
        """The endpoint's host and port, with which pushed images are named."""
        return self.endpoint.partition("://")[2].rstrip("/") or self.endpoint


def fetch_repository(aws: Aws, wanted: str) -> Repository | None:
    """Look a repository up by name or URI; None where it does not exist."""
    asked = Repository.of_input(wanted, region=aws.region)
    registry = {"registryId": asked.account} if asked.account else {}
    params = {**registry, "repositoryNames": [asked.name]}
    with needed_to(f"look up the ECR repository {asked.name!r}"):
        try:
            answer = aws.call("ecr", "describe_repositories", params, region=asked.region)
            with reading("ecr.DescribeRepositories"):
                return _repository(answer["repositories"][0], asked.region)
        except AwsError as error:
            if error.code == "RepositoryNotFoundException":
                return None
            raise


def _repository(answer: Mapping[str, Any], region: str) -> Repository:
    filters = answer.get("imageTagMutabilityExclusionFilters") or ()
    return Repository(
        name=text_in(answer, "repositoryName"),
        uri=text_in(answer, "repositoryUri"),
        account=text_in(answer, "registryId"),
        region=region,
        mutability=Mutability(
            setting=text_in(answer, "imageTagMutability", "MUTABLE"),
            filters=tuple(text_in(one, "filter") for one in filters),
        ),
    )


def missing_repository(aws: Aws, wanted: str) -> InvalidInput:
    """Return the error for a repository that is not there, with what creates it."""
    asked = Repository.of_input(wanted, region=aws.region)
    name, where = asked.name, asked.region
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
    asked = Repository.of_input(wanted, region=aws.region)
    with needed_to(f"create the ECR repository {asked.name!r}"):
        answer = aws.change(
            "ecr",
            "create_repository",
            {
                **named(asked),
                "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": MOVABLE_TAG}],
                "imageScanningConfiguration": {"scanOnPush": True},
                "encryptionConfiguration": {"encryptionType": "AES256"},
            },
            region=asked.region,
        )
        _change(aws, asked, "put_lifecycle_policy", lifecyclePolicyText=new_repository_policy())
        with reading("ecr.CreateRepository"):
            return _repository(answer["repository"], asked.region)


def _call(aws: Aws, repository: Repository, method: str, **params: Any) -> Mapping[str, Any]:
    return aws.call("ecr", method, {**named(repository), **params}, region=repository.region)


def _change(aws: Aws, repository: Repository, method: str, **params: Any) -> Mapping[str, Any]:
    """Change something that AWS does once however often it is asked."""
    wanted = {**named(repository), **params}
    return aws.change("ecr", method, wanted, repeatable=True, region=repository.region)


def fetch_scan(aws: Aws, repository: Repository, digest: str) -> tuple[str, Mapping[str, int]]:
    """Return (status, findings by severity) of ECR's scan of an image; status "" where there is none."""
    wanted = {"imageId": {"imageDigest": digest}, "maxResults": 1}
    with needed_to("read the findings of ECR's scan"):
        try:
            answer = _call(aws, repository, "describe_image_scan_findings", **wanted)
        except AwsError as error:
            if error.code == "ScanNotFoundException":
                return "", {}
            raise
        with reading("ecr.DescribeImageScanFindings"):
            status = text_in(answer.get("imageScanStatus") or {}, "status")
            return status, findings_in(answer.get("imageScanFindings") or {})


def fetch_manifest_texts(aws: Aws, repository: Repository, wanted: Sequence[str]) -> dict[str, str]:
    """Return digest or tag → manifest for those of *wanted* that ECR has and we may see; one call."""
    accepted = [*MANIFEST_TYPES, *INDEX_TYPES]
    ids = [{"imageDigest" if ":" in name else "imageTag": name} for name in dict.fromkeys(wanted)]
    try:
        answer = _call(aws, repository, "batch_get_image", imageIds=ids, acceptedMediaTypes=accepted)
        with reading("ecr.BatchGetImage"):
            images = [(_names(each), text_in(each, "imageManifest")) for each in answer.get("images") or ()]
    except AwsError:
        return {}
    texts = {name: text for names, text in images for name in names}
    by_tag = [text for names, text in images if not names & set(wanted)]
    # An image with several tags may come back under another one than was asked for.
    missing = [name for name in wanted if name not in texts]
    return texts | (dict(zip(missing, by_tag, strict=True)) if len(missing) == len(by_tag) == 1 else {})


def _names(image: Mapping[str, Any]) -> set[str]:
    return {str(name) for name in (image.get("imageId") or {}).values()}


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


def fetch_platforms(aws: Aws, repository: Repository, digest: str) -> tuple[str, ...]:
    """Return the digests of the images in the index *digest*; none where it cannot be read."""
    manifest = manifest_of(fetch_manifest_texts(aws, repository, [digest]).get(digest, ""))
    return manifest.images if manifest is not None else ()


def fetch_taggable(aws: Aws, repository: Repository, digest: str) -> str:
    """Return the manifest with which `put_tag` gives an image further tags; raise Refused."""
    text = fetch_manifest_texts(aws, repository, [digest]).get(digest)
    if not text:
        raise Refused(
            f"The manifest of {repository.name}@{digest} could not be read, so it gets no further tag.",
            hint="Allow ecr:BatchGetImage on the repository.",
        )
    return text


def put_tag(aws: Aws, repository: Repository, digest: str, tag: str, *, manifest: str) -> None:
    """Give an image that is there a further tag, without pulling or pushing a layer."""
    kind = media_type_of(manifest)
    media_type = {"imageManifestMediaType": kind} if kind else {}
    wanted = {"imageManifest": manifest, "imageTag": tag, "imageDigest": digest, **media_type}
    doing = f"tag the image {repository.name}@{digest} as {tag}"
    with needed_to(doing):
        try:
            _change(aws, repository, "put_image", **wanted)
        except Unclear as error:  # a tag that the image has already stays, so there is nothing to look at
            hint = "Run the job again: a tag that is there stays."
            raise Refused(refused(error, doing).message, hint=hint) from error
        except AwsError as error:
            if error.code != "ImageAlreadyExistsException":
                raise


def restore_image(aws: Aws, repository: Repository, digest: str) -> None:
    """Have ECR bring an archived image back; that takes minutes (ECR User Guide)."""
    wanted = {"imageId": {"imageDigest": digest}, "targetStorageClass": "STANDARD"}
    with needed_to(f"restore the archived image {repository.name}@{digest}"):
        _change(aws, repository, "update_image_storage_class", **wanted)


def fetch_lifecycle_policy(aws: Aws, repository: Repository) -> str:
    """Return the text of the repository's lifecycle policy; "" where there is none or we may not see it."""
    try:
        answer = _call(aws, repository, "get_lifecycle_policy")
    except AwsError:
        return ""
    return str(answer.get("lifecyclePolicyText", ""))


def fetch_login(aws: Aws, repository: Repository) -> Login:
    """Fetch the registry's password; Refused where GetAuthorizationToken is not allowed."""
    own = repository.uri.partition("/")[0]
    return _login(aws, repository.region, lambda handed: own if is_ecr(handed) and is_ecr(own) else handed)


def fetch_registry_login(aws: Aws, wish: RegistryWish) -> Login:
    """Fetch the password of a registry; Refused where GetAuthorizationToken is not allowed.

    The public registry hands its tokens out in us-east-1 (Amazon ECR Public User Guide, "Registry
    authentication").
    """
    if wish.is_public:
        return _login(aws, _PUBLIC_REGION, lambda _: PUBLIC, api="ecr-public")
    region = wish.region or aws.region
    return _login(aws, region, lambda handed: wish.host_beside(handed) if is_ecr(handed) else handed)


def _login(aws: Aws, region: str, host: Callable[[str], str], *, api: str = "ecr") -> Login:
    """Fetch a login of *region* to the host that *host* makes of the one that ECR hands out.

    The token is good for every registry that the caller may use; the host is that of the caller's own.
    """
    try:
        answer = aws.call(api, "get_authorization_token", {}, region=region)
    except AwsError as error:
        if isinstance(error, Denied):
            also = " and sts:GetServiceBearerToken" if api == "ecr-public" else ""
            raise Refused(
                f"AWS refused to log in to ECR: {error.text}",
                hint=f"Allow {api}:GetAuthorizationToken{also} on the resource *: it knows no repository.",
            ) from error
        if isinstance(error, Unsupported):
            raise Refused("This endpoint has no ECR.", hint="Check AWS_ENDPOINT_URL.") from error
        raise refused(error, "log in to ECR") from error
    with needed_to("log in to ECR"), reading(f"{api}.GetAuthorizationToken"):
        data = answer["authorizationData"]
        data = data if api == "ecr-public" else data[0]
        username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        endpoint = text_in(data, "proxyEndpoint")
        expires_at = epoch(data.get("expiresAt")) or math.inf
    scheme = endpoint.partition("://")[0] if "://" in endpoint else "https"
    handed = endpoint.partition("://")[2].rstrip("/") or endpoint
    return Login(
        endpoint=f"{scheme}://{host(handed)}", username=username, password=password, expires_at=expires_at
    )
