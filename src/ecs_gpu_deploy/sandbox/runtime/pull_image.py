"""Pull the image of a container, from the registry behind ECR where it is the account's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests

from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry

NOT_THERE = ("not found", "manifest unknown", "name unknown", "does not exist")
HINT = "The task can’t pull the image. Check whether the image exists. "


class CannotPull(Exception):
    """The image cannot be had; the text is the container's reason in AWS's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image on this machine: Docker's id of it, and the digest that the registry knows."""

    id: str
    digest: str


def pull_image(
    client: Any,
    image: str,
    *,
    own_registry: str,
    registry: ContainerRegistry | None,
    goes_on: Callable[[], bool],
) -> PulledImage | None:
    """Pull an image by its ECS reference; None where `goes_on` said no. Raise `CannotPull` in AWS's words."""
    own = image.startswith(f"{own_registry}/")
    if own and registry is None:
        raise CannotPull(_reason(f"the world names no registry behind {own_registry}: connection refused"))
    at = f"{registry.host}/" if own and registry else ""
    reference = at + image.removeprefix(f"{own_registry}/") if at else image
    login = registry.login if own and registry else None
    try:
        for line in client.api.pull(*_parts(reference), auth_config=login, stream=True, decode=True):
            if not goes_on():
                return None
            if "error" in line:
                raise CannotPull(_reason(_as_aws_names_it(line["error"], at, own_registry)))
        found = client.images.get(reference)
    except (docker.errors.APIError, requests.RequestException) as error:
        text = getattr(error, "explanation", None) or str(error)
        raise CannotPull(_reason(_as_aws_names_it(str(text), at, own_registry))) from error
    digests = [each.partition("@") for each in found.attrs.get("RepoDigests") or ()]
    name = _parts(reference)[0]
    return PulledImage(id=found.id, digest=next((digest for kept, _, digest in digests if kept == name), ""))


def _parts(reference: str) -> tuple[str, str]:
    """Split a reference into its name and its tag or digest."""
    name, at, digest = reference.partition("@")
    if at:
        return re.sub(r":[^/:]+$", "", name), digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


def _as_aws_names_it(text: str, at: str, own_registry: str) -> str:
    return text.replace(at, f"{own_registry}/").replace(at.rstrip("/"), own_registry) if at else text


def _reason(text: str) -> str:
    hint = HINT if any(words in text for words in NOT_THERE) else ""
    return f"CannotPullContainerError: {hint}Error response from daemon: {text}"
