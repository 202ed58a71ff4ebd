"""Placement constraint expressions: the cluster query language, as a predicate over an instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySubject:
    """What an expression may ask about an instance."""

    attributes: Mapping[str, str | None] = field(default_factory=dict)
    ec2_instance_id: str = ""
    agent_connected: bool = True


def predicate_of(expression: str) -> Callable[[QuerySubject], bool]:
    """Compile an expression. Raises ValueError with one sentence for one that cannot be read."""
    raise NotImplementedError
