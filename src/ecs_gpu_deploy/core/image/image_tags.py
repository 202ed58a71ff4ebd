"""Tags of an image that is built, and what a repository's tag mutability lets us do with them.

Source: Amazon ECR User Guide, "Preventing image tags from being overwritten".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from ecs_gpu_deploy.errors import InvalidInput

_MOST_FILTERS: Final = 5
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutability:
    """A repository's tag mutability. `setting` is AWS's, `filters` the tags that are the exception."""

    setting: str = "MUTABLE"
    filters: tuple[str, ...] = ()

    def may_move(self, tag: str) -> bool:
        """May the tag, once there, be moved to another image?

        Source: API Reference of Amazon ECR, PutImageTagMutability.
        """
        excepted = any(_matches(tag, pattern) for pattern in self.filters)
        match self.setting:
            case "IMMUTABLE":
                return False
            case "IMMUTABLE_WITH_EXCLUSION":
                return excepted
            case "MUTABLE_WITH_EXCLUSION":
                return not excepted
            case _:
                return True


def checked_tag(tag: str, *, option: str) -> str:
    """Return *tag*; raise InvalidInput where a registry does not take it."""
    if not _TAG.fullmatch(tag):
        shown = tag if len(tag) <= 60 else f"{tag[:57]}..."
        suggestion = re.sub(r"[^A-Za-z0-9_.-]+", "-", tag).lstrip(".-")[:128]
        meant = f" {suggestion!r} would do." if suggestion and suggestion != tag else ""
        raise InvalidInput(
            f"{option} is {shown!r}, which is no image tag.",
            hint="A tag has 1 to 128 letters, digits, _ . - and begins with none of the last two." + meant,
        )
    return tag


def all_tags(first: str, extra: Iterable[str], *, latest: bool) -> tuple[str, ...]:
    """Return every tag of the image, the first one first, none twice."""
    wanted = [first, *extra, *(["latest"] if latest else [])]
    return tuple(dict.fromkeys(wanted))


def check_movable(tags: Sequence[str], present: Iterable[str], mutability: Mutability, name: str) -> None:
    """Raise InvalidInput for the first of *tags* that is taken by another image and cannot be moved."""
    taken = set(present)
    for tag in tags:
        if tag in taken and not mutability.may_move(tag):
            raise InvalidInput(
                f"The tag {tag!r} of the ECR repository {name!r} is immutable, and another image has it.",
                hint=f"Leave {tag} out, or let it move: {_letting_move(tag, mutability, name)}",
            )


def _letting_move(tag: str, mutability: Mutability, name: str) -> str:
    """Return the command that lets *tag* move, and leaves every other tag as it is.

    It replaces a repository's filters, so it names those that stay. AWS takes five of them (API Reference of
    Amazon ECR, PutImageTagMutability).
    """
    setting = "IMMUTABLE_WITH_EXCLUSION"
    filters: tuple[str, ...] = (tag,)
    if mutability.setting == setting:
        filters = (*mutability.filters, tag)
    elif mutability.setting == "MUTABLE_WITH_EXCLUSION":
        filters = tuple(each for each in mutability.filters if not _matches(tag, each))
        setting = mutability.setting if filters else "MUTABLE"
    given = " ".join(shlex.quote(f"filterType=WILDCARD,filter={each}") for each in filters)
    command = f"aws ecr put-image-tag-mutability --repository-name {name} --image-tag-mutability {setting}"
    if not given:
        return command
    too_many = f" (AWS takes {_MOST_FILTERS} filters: join some)" if len(filters) > _MOST_FILTERS else ""
    return f"{command} --image-tag-mutability-exclusion-filters {given}{too_many}"


def _matches(tag: str, pattern: str) -> bool:
    return fnmatchcase(tag, pattern.replace("[", "[[]"))
