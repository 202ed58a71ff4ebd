"""What a host has to pull: the layers of one image that another does not have.

Sizes are compressed bytes as manifests give them. Source: OCI image specification, "Image Manifest" and
"Image Index".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MANIFEST_TYPES: Final = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ATTESTATION: Final = "unknown/unknown"
"""Platform of what is no image in an index."""
SLOWEST_PULL_BYTES_PER_SECOND: Final = 10_000_000
"""What a GPU host pulls and unpacks at the very least; the time allowed for a pull follows from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: its digest and compressed size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image's layers, or of an index its children (platform `os/architecture` → digest).

    `images` are the digests of those children that are images: a task runs one of them. An attestation is
    none (BuildKit, "Image attestation storage"). `config` is the digest of the image's configuration, "" of
    an index.
    """

    layers: tuple[Layer, ...] = ()
    children: Mapping[str, str]
    images: tuple[str, ...] = ()
    config: str = ""

    @property
    def size(self) -> int:
        """Compressed bytes of all layers; one that stands twice is pulled once."""
        return sum({layer.digest: layer.size for layer in self.layers}.values())

    def child(self, platform: str) -> str:
        """Return the digest of an index's manifest for *platform*, "" where there is none."""
        return self.children.get(platform, "")


def manifest_of(text: str) -> Manifest | None:
    """Read a manifest or an index; None where it is neither."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("manifests"), list):
        children = [_child(entry) for entry in document["manifests"]]
        images = tuple(digest for name, digest in children if name != _ATTESTATION and digest)
        return Manifest(children=dict(children), images=images)
    if isinstance(document.get("layers"), list):
        layers = tuple(
            Layer(digest=str(entry.get("digest", "")), size=int(entry.get("size", 0)))
            for entry in document["layers"]
        )
        config = document.get("config")
        digest = str(config.get("digest", "")) if isinstance(config, dict) else ""
        return Manifest(layers=layers, children={}, config=digest)
    return None


def media_type_of(text: str) -> str:
    """Return the media type that a manifest gives itself, "" where it gives none."""
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    return str(document.get("mediaType") or "") if isinstance(document, dict) else ""


def _child(entry: Mapping[str, Any]) -> tuple[str, str]:
    platform = entry.get("platform") or {}
    name = f"{platform.get('os', 'unknown')}/{platform.get('architecture', 'unknown')}"
    return name, str(entry.get("digest", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDelta:
    """Bytes that are new to a host that runs the old image, and bytes of the whole new image."""

    new_bytes: int
    total_bytes: int

    def __str__(self) -> str:
        """Say it as a person would."""
        new, total = size_text(self.new_bytes), size_text(self.total_bytes)
        return f"new layers {new} of {total}: a warm GPU host pulls {new}, a fresh one {total}"

    @property
    def pull_seconds(self) -> float:
        """Longest time, in seconds, in which a fresh host must have pulled the image."""
        return self.total_bytes / SLOWEST_PULL_BYTES_PER_SECOND


def layer_delta(old: Manifest | None, new: Manifest) -> LayerDelta:
    """Compare two images; without the old one every layer is new."""
    known = {layer.digest for layer in old.layers} if old else set()
    sizes = {layer.digest: layer.size for layer in new.layers}
    fresh = {digest: size for digest, size in sizes.items() if digest not in known}
    return LayerDelta(
        new_bytes=sum(fresh.values()),
        total_bytes=sum(sizes.values()),
    )


def size_text(size: int) -> str:
    """Return bytes as people write them, in powers of ten as registries do: 38 MB, 4.9 GB."""
    if size < 1_000:
        return f"{size} B"
    if size < 999_500:
        return f"{_short(size / 1e3)} kB"
    if size < 999_500_000:
        return f"{_short(size / 1e6)} MB"
    return f"{_short(size / 1e9)} GB"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:.0f}"
