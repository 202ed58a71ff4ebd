"""Who did one deployment, as a tag on the revision that it brought: a revision may be deployed many times.

AWS keeps neither person nor reason of a deployment, and a service deployment takes no tags (API Reference,
TagResource); a service's own tags are often Terraform's. So the revision has a few tags for that, the oldest
of which is written over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from ecs_gpu_deploy.core.definition.provenance import tag_value

Kind = Literal["deploy", "redeploy", "rollback", "stopped"]
_SLOTS: Final = 10
"""How many records a revision has; it takes 50 tags."""
_NAME: Final = re.compile(r"deployment-\d")
_RECORD: Final = re.compile(
    rf"(?P<number>\d+|d-[A-Z0-9]+) (?P<kind>{'|'.join(get_args(Kind))}) (?P<at>\S+)"
    r"(?: by (?P<actor>\S+))?(?: in (?P<run>\S+))?(?: because (?P<reason>.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """Who did the deployment `number` (of its id ecs-svc/NUMBER), or `stopped` it; `at` is in ISO 8601.

    Of CodeDeploy's it is the id, d-….
    """

    number: str
    kind: Kind
    at: str
    actor: str = ""
    run: str = ""
    reason: str = ""

    @property
    def who(self) -> str:
        """Return the person, "not recorded" where the run had none."""
        return self.actor or NOT_RECORDED


NOT_RECORDED: Final = "not recorded"


def record_at(
    number: str, kind: Kind, *, now: float, actor: str = "", run: str = "", reason: str = ""
) -> DeploymentRecord:
    """Return the record of a deployment at *now* (epoch seconds)."""
    at = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return DeploymentRecord(number=number, kind=kind, at=at, actor=actor, run=run, reason=reason)


def record_tag(record: DeploymentRecord, about: Mapping[str, str]) -> dict[str, str]:
    """Return the tag (short key → value) for *record*, on a revision whose tags tell *about*."""
    names = [f"deployment-{number}" for number in range(_SLOTS)]

    def age(name: str) -> str:
        found = _RECORD.fullmatch(about.get(name, ""))
        return found["at"] if found else ""

    parts = [record.number, record.kind, record.at]
    for word, text in (("by", record.actor), ("in", record.run)):
        if text:
            parts += [word, "_".join(tag_value(text).split())]
    if record.reason:
        parts += ["because", record.reason]
    return {min(names, key=age): tag_value(" ".join(parts))}


def records_of(about: Mapping[str, str]) -> tuple[DeploymentRecord, ...]:
    """Read the records in what a revision's tags tell (short key → value)."""
    found = (_RECORD.fullmatch(value) for name, value in about.items() if _NAME.fullmatch(name))
    return tuple(
        DeploymentRecord(**{name: text or "" for name, text in match.groupdict().items()})  # type: ignore[arg-type]
        for match in found
        if match
    )
