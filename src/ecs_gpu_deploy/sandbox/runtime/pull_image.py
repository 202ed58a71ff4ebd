"""Pull the image of a container, from the registry behind ECR where it is the account's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests

from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry
from ecs_gpu_deploy.sandbox.neighbours.images import Reference

NOT_THERE = ("not found", "manifest unknown", "name unknown", "does not exist")
HINT = "The task can’t pull the image. Check whether the image exists. "


class CannotPull(Exception):
    """The image cannot be had; the text is the container's reason in AWS's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image on this machine: Docker's id of it, and the digest that the registry knows."""

    id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Docker, and the registry that stands behind the account's own."""

    client: Any
    own_registry: str
    registry: ContainerRegistry | None

    def pull(self, image: str, goes_on: Callable[[], bool]) -> PulledImage | None:
        """Pull an image by its ECS reference; None where `goes_on` said no. Raise `CannotPull`."""
        if self._is_own(image) and self.registry is None:
            raise CannotPull(_reason(f"the world names no registry behind {self.own_registry}"))
        name, tag = _parts(self._here(image))
        login = self.registry.login if self.registry and self._is_own(image) else None
        try:
            for line in self.client.api.pull(name, tag, auth_config=login, stream=True, decode=True):
                if not goes_on():
                    return None
                if "error" in line:
                    raise CannotPull(_reason(self._as_aws_names_it(line["error"])))
            return self._found(name, f"{name}@{tag}" if ":" in tag else f"{name}:{tag}")
        except (docker.errors.APIError, requests.RequestException) as error:
            text = getattr(error, "explanation", None) or str(error)
            raise CannotPull(_reason(self._as_aws_names_it(str(text)))) from error

    def kept(self, image: str, digest: str) -> PulledImage | None:
        """Find what this machine has of an image from before; None where it is gone."""
        name, _ = _parts(self._here(image))
        try:
            return self._found(name, f"{name}@{digest}")
        except docker.errors.APIError:
            return None

    def _found(self, name: str, reference: str) -> PulledImage:
        found = self.client.images.get(reference)
        digests = [each.partition("@") for each in found.attrs.get("RepoDigests") or ()]
        digest = next((digest for kept, _, digest in digests if kept == name), "")
        return PulledImage(id=found.id, digest=digest)

    def _is_own(self, image: str) -> bool:
        return image.startswith(f"{self.own_registry}/")

    def _here(self, image: str) -> str:
        """Name an image as Docker finds it: at the address of the registry behind ECR."""
        if self.registry is None or not self._is_own(image):
            return image
        return f"{self.registry.host}{image.removeprefix(self.own_registry)}"

    def _as_aws_names_it(self, text: str) -> str:
        return text.replace(self.registry.host, self.own_registry) if self.registry else text


def _parts(image: str) -> tuple[str, str]:
    """Split a reference into its name and its digest or tag."""
    reference = Reference.from_text(image)
    return reference.name, reference.digest or reference.tag or "latest"


def _reason(text: str) -> str:
    hint = HINT if any(words in text for words in NOT_THERE) else ""
    return f"CannotPullContainerError: {hint}Error response from daemon: {text}"
