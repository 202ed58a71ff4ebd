"""What an ECR lifecycle policy does to a repository, and what the repository costs.

Rules: Amazon ECR User Guide, "Automate the cleanup of images by using lifecycle policies": images are
ordered by the time they were pushed; all patterns of a list must match; an image that matches the tags of a
rule cannot be expired by a rule of lower priority; tagging an image again does not make it newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of a repository; `pushed_at` in days, layers as (digest, GB)."""

    digest: str
    pushed_at: float
    tags: frozenset[str]
    layers: tuple[tuple[str, float], ...] = ()


def kept(images: Iterable[Image], policy: Mapping[str, Any], *, today: float) -> tuple[Image, ...]:
    """Return the images that are left after the policy has run."""
    left = tuple(images)
    settled: set[str] = set()
    expired: set[str] = set()
    for rule in sorted(policy["rules"], key=lambda one: one["rulePriority"]):
        selection = rule["selection"]
        chosen = [image for image in left if _matches(image, selection)]
        for image in _beyond(chosen, selection, today=today):
            if image.digest not in settled:
                expired.add(image.digest)
        settled |= {image.digest for image in chosen}
    return tuple(image for image in left if image.digest not in expired)


def _matches(image: Image, selection: Mapping[str, Any]) -> bool:
    match selection["tagStatus"]:
        case "untagged":
            return not image.tags
        case "any":
            return True
        case _:
            patterns = selection.get("tagPatternList") or [f"{one}*" for one in selection["tagPrefixList"]]
            return bool(image.tags) and all(
                any(fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns
            )


def _beyond(chosen: Sequence[Image], selection: Mapping[str, Any], *, today: float) -> Sequence[Image]:
    number = selection["countNumber"]
    if selection["countType"] == "imageCountMoreThan":
        return sorted(chosen, key=lambda image: image.pushed_at, reverse=True)[number:]
    return [image for image in chosen if today - image.pushed_at > number]


def stored_gb(images: Iterable[Image]) -> float:
    """Return what the images take: a repository stores each layer once."""
    return sum({digest: size for image in images for digest, size in image.layers}.values())
