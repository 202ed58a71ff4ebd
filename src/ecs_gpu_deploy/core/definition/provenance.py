"""Provenance: the tags on a revision that say which commit, run and person it came from.

Tags hold to AWS's limits: 50 a resource, keys of 128 and values of 256 characters, made of letters, digits,
blanks and `+ - = . _ : / @` (Developer Guide, "Tag restrictions").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

PREFIX = "ecs-gpu-deploy:"
MOST_TAGS = 50
_LONGEST_VALUE = 256
_ALLOWED = frozenset(" +-=._:/@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a revision comes from; what is unknown is "". The names, with - for _, are the tags' keys.

    `reason` is why somebody rolled back, `rolled_back_from` what was left by it (family:N);
    `run` is the address of the workflow run.
    """

    commit: str = ""
    repository: str = ""
    run: str = ""
    actor: str = ""
    version: str = ""
    digest: str = ""
    reason: str = ""
    rolled_back_from: str = ""
    rolled_back_by: str = ""


def tag_value(text: str) -> str:
    """Return *text* as AWS takes it for a tag's value: other characters become `_`, the rest is cut off."""
    clean = "".join(letter if letter.isalnum() or letter in _ALLOWED else "_" for letter in text.strip())
    return clean[:_LONGEST_VALUE].strip()


def tags_of(provenance: Provenance) -> tuple[dict[str, str], ...]:
    """Return the tags, without those that have nothing to say."""
    named = ((field.name, tag_value(getattr(provenance, field.name))) for field in fields(provenance))
    return tuple(
        {"key": f"{PREFIX}{name.replace('_', '-')}", "value": value} for name, value in named if value
    )


def told_by(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what provenance tags tell: short key → value. Keys of this and of later versions."""
    return {
        tag["key"].removeprefix(PREFIX): tag.get("value", "")
        for tag in tags
        if str(tag.get("key", "")).startswith(PREFIX)
    }


def is_of(told: Mapping[str, str], provenance: Provenance) -> bool:
    """Say whether a revision whose tags tell *told* comes from where *provenance* says: commit and digest.

    A digest tells that an image's tag has been moved since.
    """
    same = all(
        told.get(name, "") == tag_value(getattr(provenance, name)) for name in ("commit", "digest", "reason")
    )
    return bool(told.get("version")) and same


def without_provenance(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a registrable definition without our tags: they say nothing about what would run."""
    result = dict(definition)
    if isinstance(result.get("tags"), list):
        kept = [tag for tag in result["tags"] if not _is_ours(tag)]
        if kept:
            result["tags"] = kept
        else:
            del result["tags"]
    return result


def with_provenance(definition: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """Return *definition* with the tags of *provenance* instead of older ones, as many as 50 tags allow."""
    result = without_provenance(definition)
    own = list(result.get("tags") or ())
    added = tags_of(provenance)[: max(MOST_TAGS - len(own), 0)]
    if own or added:
        result["tags"] = [*own, *added]
    return result


def _is_ours(tag: Any) -> bool:
    return isinstance(tag, Mapping) and str(tag.get("key", "")).startswith(PREFIX)
