"""Which images an ECR lifecycle policy takes away: the rules of "Lifecycle policies in Amazon ECR".

An image that matches a rule's tags is out of reach of every rule with a lower priority; a count rule counts
images, not tags, newest push first. Nothing in ECR knows what ECS runs: that is why we look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from ecs_gpu_deploy.core.image.stored_image import StoredImage

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `patterns` must all match; without any, `tag_status` alone decides."""

    priority: int
    description: str
    tag_status: str
    patterns: tuple[str, ...]
    count_type: str
    count: int

    def selects(self, image: StoredImage) -> bool:
        """Do the image's tags meet the rule?"""
        match self.tag_status:
            case "untagged":
                return not image.tags
            case "tagged":
                return bool(image.tags) and all(
                    any(fnmatchcase(tag, pattern) for tag in image.tags) for pattern in self.patterns
                )
            case _:
                return True

    @property
    def name(self) -> str:
        """Name the rule as its author knows it."""
        return f"rule {self.priority}" + (f" ({self.description})" if self.description else "")


def rules_of(text: str) -> tuple[Rule, ...]:
    """Read a policy's text, rules by priority; an empty tuple where it cannot be read."""
    try:
        document = json.loads(text)
    except ValueError:
        return ()
    entries = document.get("rules", ()) if isinstance(document, dict) else ()
    return tuple(sorted((_rule(entry) for entry in entries), key=lambda rule: rule.priority))


def _rule(entry: Mapping[str, Any]) -> Rule:
    selection: Mapping[str, Any] = entry.get("selection") or {}
    prefixes = tuple(f"{_literal(prefix)}*" for prefix in selection.get("tagPrefixList") or ())
    patterns = tuple(str(pattern).replace("[", "[[]") for pattern in selection.get("tagPatternList") or ())
    return Rule(
        priority=int(entry.get("rulePriority", 0)),
        description=str(entry.get("description", "")),
        tag_status=str(selection.get("tagStatus", "any")),
        patterns=prefixes + patterns,
        count_type=str(selection.get("countType", "")),
        count=int(selection.get("countNumber", 0)),
    )


def _literal(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def taken_away(rules: Sequence[Rule], images: Sequence[StoredImage], *, now: float) -> Mapping[str, Rule]:
    """Return digest → rule for the images that the policy expires or archives at *now*."""
    taken: dict[str, Rule] = {}
    reached: set[str] = set()
    newest_first = sorted(images, key=lambda image: image.pushed_at, reverse=True)
    for rule in rules:
        selected = [image for image in newest_first if rule.selects(image)]
        for image in _due(rule, selected, now=now):
            if image.digest not in reached:
                taken.setdefault(image.digest, rule)
        reached |= {image.digest for image in selected}
    return taken


def _due(rule: Rule, selected: Sequence[StoredImage], *, now: float) -> Sequence[StoredImage]:
    match rule.count_type:
        case "imageCountMoreThan":
            return selected[rule.count :]
        case "sinceImagePushed":
            return [image for image in selected if now - image.pushed_at > rule.count * DAY]
        case "sinceImagePulled":
            return [
                image for image in selected if now - max(image.pulled_at, image.pushed_at) > rule.count * DAY
            ]
        case _:
            return ()


def new_repository_policy() -> str:
    """Return the policy of a repository we create: the article's, with `latest` and room for rollbacks kept.

    Untagged images go after 7 days; of the others the newest 30 stay, so that batch images and branches do
    not push out what a rollback needs (docs/aws-facts.md#image-lifecycle). `latest` is out of reach of both.
    """
    rules = [
        _entry(1, "Keep latest", "tagged", "imageCountMoreThan", 1, tagPatternList=["latest"]),
        _entry(2, "Untagged images go after 7 days", "untagged", "sinceImagePushed", 7, countUnit="days"),
        _entry(3, "Keep 30 images", "tagged", "imageCountMoreThan", 30, tagPatternList=["*"]),
    ]
    return json.dumps({"rules": rules}, separators=(",", ":"))


def _entry(
    priority: int, description: str, tag_status: str, count_type: str, count: int, **rest: Any
) -> dict[str, Any]:
    selection = {"tagStatus": tag_status, "countType": count_type, "countNumber": count, **rest}
    return {
        "rulePriority": priority,
        "description": description,
        "selection": selection,
        "action": {"type": "expire"},
    }
