"""What a wait is told before it begins: what is watched, how far things may go, how often to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement
from ecs_gpu_deploy.core.judge.observed import Watched
from ecs_gpu_deploy.core.judge.phases import PhaseFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the wait needs besides AWS.

    `definition` is the raw task definition that is deployed, `requirement` what a task of it asks of an
    instance (None where that cannot be read). `deployment_arn` is the service deployment where it is known
    from the start. `poll_interval` is in seconds; `keeps_interval` says that
    somebody chose it, so that it is not stretched.
    """

    watched: Watched
    facts: PhaseFacts
    definition: Mapping[str, Any]
    requirement: Requirement | None = None
    poll_interval: float
    keeps_interval: bool = False
    deployment_arn: str = ""

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """Return the raw container definitions."""
        return tuple(self.definition.get("containerDefinitions") or ())
