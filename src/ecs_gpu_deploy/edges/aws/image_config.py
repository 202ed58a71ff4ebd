"""The configuration of an image in ECR: a blob that ECR hands out by an address of its own."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.image.image_config import image_config_of
from ecs_gpu_deploy.core.image.layers import manifest_of
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.edges.aws.answers import HalfAnswer, Missing, OddAnswer, Unreachable, reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import named
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_manifest_texts
from ecs_gpu_deploy.model import text_in

_REQUEST: Final = "ecr.GetDownloadUrlForLayer"
_SECONDS: Final = 10.0
_LONGEST: Final = 4_000_000
"""Bytes of a configuration: most are ten thousand."""


def fetch_platforms(
    aws: Aws, repository: Repository, wanted: str, *, platform: str
) -> tuple[tuple[str, ...], str]:
    """Return (platforms, digest of the configuration) of the image that a tag or digest *wanted* names.

    The manifest of a single platform does not name that. The configuration is that for *platform* where
    there are several. Raises AwsError.
    """
    manifest = manifest_of(fetch_manifest_texts(aws, repository, [wanted]).get(wanted, ""))
    if manifest is None:
        raise Missing("ECR does not show the image's manifest", request="ecr.BatchGetImage")
    platforms = tuple(manifest.children)
    if platforms:
        child = manifest.child(platform) or next(iter(manifest.children.values()))
        manifest = manifest_of(fetch_manifest_texts(aws, repository, [child]).get(child, ""))
    return platforms, manifest.config if manifest else ""


def fetch_image_config(aws: Aws, repository: Repository, digest: str) -> Mapping[str, Any]:
    """Return the configuration of that digest, as `core.image.image_config` reads it; raises AwsError."""
    if not digest:
        raise Missing("the image's manifest names no configuration", request="ecr.BatchGetImage")
    params = {**named(repository), "layerDigest": digest}
    answer = aws.call("ecr", "get_download_url_for_layer", params, region=repository.region)
    with reading(_REQUEST):
        return image_config_of(_blob(text_in(answer, "downloadUrl"), digest))


def _blob(address: str, digest: str) -> str:
    """Fetch a blob from an address that ECR gave; HalfAnswer where it is not that of *digest*."""
    if urllib.parse.urlsplit(address).scheme not in {"https", "http"}:
        raise OddAnswer("the address of the image's configuration is no web address", request=_REQUEST)
    try:
        # urlopen would keep the proxies of its first call.
        opener = urllib.request.build_opener()
        with opener.open(address, timeout=_SECONDS) as response:
            data: bytes = response.read(_LONGEST)
    except (OSError, urllib.error.URLError) as error:
        why = f"the image's configuration could not be fetched ({type(error).__name__})"
        raise Unreachable(why, request=_REQUEST) from error
    if digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise HalfAnswer("the image's configuration is another than its manifest names", request=_REQUEST)
    return data.decode()
