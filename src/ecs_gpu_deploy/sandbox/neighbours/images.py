"""Images of the sandbox: references, manifests with layers, and how a container of each behaves.

An image of the account's own registry is found in ECR; any other reference can be pulled as it is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

MANIFEST_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MB = 1_000_000
DEFAULT_LAYERS = ({"name": "default", "mb": 100},)
NOT_BEHAVIOUR = frozenset({"image", "layers", "tags", "in_registry", "runtime", "config"})
MODEL, DOCKER = "model", "docker"


def sha256(text: str) -> str:
    """Return a digest in the form of a registry."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image reference taken apart; `registry` is empty for Docker Hub's short names."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def from_text(cls, text: str) -> Reference:
        """Read `[registry/]repository[:tag][@digest]`."""
        name, _, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        is_registry = bool(slash) and ("." in head or ":" in head or head == "localhost")
        registry, path = (head, rest) if is_registry else ("", name)
        repository, _, tag = path.partition(":")
        return cls(registry=registry, repository=repository, tag=tag or None, digest=digest or None)

    @property
    def name(self) -> str:
        """Give registry and repository without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the world: its manifest, its tags and the behaviour of its containers.

    `layers` are (digest, compressed bytes); `ecr` tells whether it lies in the account's own registry,
    `runtime` what runs its containers: MODEL, DOCKER, or None for what the sandbox was started with. `config`
    is its configuration as JSON, "" where the world tells none.
    """

    registry: str
    repository: str
    tags: tuple[str, ...]
    ecr: bool
    layers: tuple[tuple[str, int], ...]
    manifest: str
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    runtime: str | None = None
    config: str = ""

    @property
    def digest(self) -> str:
        """The digest of the manifest, as a registry computes it."""
        return sha256(self.manifest)

    @property
    def uri(self) -> str:
        """The first tag's full reference."""
        return f"{self.registry}/{self.repository}:{self.tags[0]}"


def image_from(entry: Mapping[str, Any], *, own_registry: str) -> Image:
    """Read an image of a world file; a name without a registry lies in the account's ECR."""
    reference = Reference.from_text(str(entry["image"]))
    registry = reference.registry or own_registry
    tag = reference.tag or "latest"
    layer_entries: Sequence[Mapping[str, Any]] = entry.get("layers") or DEFAULT_LAYERS
    layers = tuple(
        (_layer_digest(layer, reference, number), round(float(layer["mb"]) * MB))
        for number, layer in enumerate(layer_entries)
    )
    behaviour = {key: value for key, value in entry.items() if key not in NOT_BEHAVIOUR}
    runtime = entry.get("runtime")
    config = json.dumps(entry["config"]) if "config" in entry else ""
    return Image(
        registry=registry,
        repository=reference.repository,
        tags=(tag, *entry.get("tags", ())),
        # What really runs lies in the real registry, and shows in ECR from there.
        ecr=registry == own_registry and entry.get("in_registry", runtime != DOCKER) and "*" not in tag,
        runtime=runtime,
        layers=layers,
        manifest=_manifest(f"{reference.repository}:{tag}", layers, behaviour, config),
        behaviour=behaviour,
        config=config,
    )


def _layer_digest(layer: Mapping[str, Any], reference: Reference, number: int) -> str:
    if "digest" in layer:
        return str(layer["digest"])
    return sha256(str(layer.get("name") or f"{reference.repository}:{reference.tag}#{number}"))


def _manifest(
    name: str, layers: Sequence[tuple[str, int]], behaviour: Mapping[str, Any], configuration: str
) -> str:
    config = sha256(configuration or json.dumps([name, behaviour], sort_keys=True, default=str))
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_MEDIA_TYPE,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 7023,
                "digest": config,
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": size,
                    "digest": digest,
                }
                for digest, size in layers
            ],
        },
        indent=3,
    )


class Images:
    """The images that the world knows, the newest description of a tag first.

    `runtime` runs the containers of those that name none; `has_docker` false has the model run them all.
    """

    def __init__(self, own_registry: str) -> None:
        self.own_registry = own_registry
        self.runtime = MODEL
        self.has_docker = False
        self._images: list[Image] = []
        self._pushes: dict[tuple[str, str], Image] = {}
        self._by_digest: dict[str, Image] = {}

    def add(self, image: Image) -> None:
        """Know an image from now on; its tags move to it."""
        self._images.insert(0, image)
        self._by_digest[image.digest] = image
        if image.ecr:
            for tag in image.tags:
                self._pushes[image.repository, tag] = image

    def in_ecr(self) -> Iterator[tuple[Image, tuple[str, ...]]]:
        """Yield what the world pushed to ECR, each image once, with the tags that are still its own."""
        for image in reversed(self._images):
            if image.ecr:
                tags = tuple(tag for tag in image.tags if self._pushes.get((image.repository, tag)) is image)
                yield image, tags

    def pushed(self, reference: Reference) -> Image | None:
        """Find an image that the world pushed to ECR, by digest or tag."""
        if reference.digest:
            image = self._by_digest.get(reference.digest)
            return image if image and image.ecr and image.repository == reference.repository else None
        return self._pushes.get((reference.repository, reference.tag or "latest"))

    def config(self, digest: str) -> dict[str, Any] | None:
        """Find the configuration of an image by its own digest; None where no image has it."""
        found = (image.config for image in self._images if image.config and sha256(image.config) == digest)
        text = next(found, "")
        return json.loads(text) if text else None

    def run_by_docker(self, reference: Reference, digest: str | None = None) -> bool:
        """Are containers of the image real ones?"""
        described = self.described(reference, digest)
        named = described.runtime if described else None
        return self.has_docker and (named or self.runtime) == DOCKER

    def described(self, reference: Reference, digest: str | None) -> Image | None:
        """Find the description of a container's behaviour: by digest, then by name, then by pattern."""
        if digest and digest in self._by_digest:
            return self._by_digest[digest]
        registry = reference.registry or self.own_registry
        tag = reference.tag or "latest"
        for image in self._images:
            same_place = image.repository == reference.repository and image.registry == registry
            if same_place and any(fnmatchcase(tag, pattern) for pattern in image.tags):
                return image
        return None
