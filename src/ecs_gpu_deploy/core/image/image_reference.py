"""An image reference: `[registry[:port]/]repository[:tag][@digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Self

from ecs_gpu_deploy.errors import InvalidInput

_HOST_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY: Final = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_REPOSITORY_PART: Final = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST: Final = 255
_HINT: Final = "An image is written [registry[:port]/]repository[:tag][@sha256:digest]."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Name an image; parts that are not written are empty.

    `registry` is empty for Docker Hub's short names. `digest` holds `sha256:` and 64 hexadecimal digits.
    Source of the grammar: github.com/distribution/reference.
    """

    registry: str = ""
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse a reference; raise `InvalidInput` that names the part that is wrong."""
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _invalid(text, f"{digest!r} is no digest (sha256: and 64 hexadecimal digits)")
        slash, colon = name.rfind("/"), name.rfind(":")
        tag = ""
        if colon > slash:
            name, tag = name[:colon], name[colon + 1 :]
            if not _TAG.fullmatch(tag):
                raise _invalid(text, f"{tag!r} is no tag")
        first, _, rest = name.partition("/")
        registry, repository = (first, rest) if rest and _names_a_host(first) else ("", name)
        if registry and not _REGISTRY.fullmatch(registry):
            raise _invalid(text, f"{registry!r} is no registry host")
        if not repository:
            raise _invalid(text, "the repository is missing")
        for part in repository.split("/"):
            if not _REPOSITORY_PART.fullmatch(part):
                lower = " (repositories are lower-case)" if part != part.lower() else ""
                raise _invalid(text, f"{part!r} is no repository name{lower}")
        if len(name) > _LONGEST:
            raise _invalid(text, f"its name is longer than {_LONGEST} characters")
        return cls(registry=registry, repository=repository, tag=tag, digest=digest)

    @property
    def name(self) -> str:
        """Give registry and repository without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    def with_digest(self, digest: str) -> Self:
        """Pin to a digest and drop the tag, which nothing would look at any more."""
        return type(self).from_text(str(replace(self, tag="", digest=digest)))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def with_registry_of(image: str, running: str) -> str:
    """Return *image* with the registry of what runs, where that is its repository in ECR, else ""."""
    try:
        new, old = ImageReference.from_text(image), ImageReference.from_text(running)
    except InvalidInput:
        return ""
    same = new.repository == old.repository and not new.registry and ".dkr.ecr" in old.registry
    return str(replace(new, registry=old.registry)) if same else ""


def _names_a_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _invalid(text: str, why: str) -> InvalidInput:
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    what = "The image is empty" if not text else f"The image {shown!r} cannot be read: {why}"
    return InvalidInput(f"{what}.", hint=_HINT)
