"""Say why a rollout failed: the table of causes, and the matching of AWS's words against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecs_gpu_deploy.core.timing import HealthTiming
from ecs_gpu_deploy.model import Diagnosis, Event, LogTail, Service, TargetHealth, Task


class Instance(Protocol):
    """The part of a container instance that a diagnosis looks at."""

    @property
    def arn(self) -> str:
        """Return the container instance ARN."""

    @property
    def agent_connected(self) -> bool:
        """Say whether ECS hears from its agent."""


def diagnosis(
    code: str, *, evidence: Sequence[str] = (), tasks: Sequence[str] = (), message: str = "", hint: str = ""
) -> Diagnosis:
    """Return the table's Diagnosis for *code*; *message* and *hint* replace its own words. KeyError if unknown."""
    return Diagnosis(code=code, message=message, hint=hint, evidence=tuple(evidence), tasks=tuple(tasks))


def explanation_of(text: str) -> tuple[Diagnosis, ...]:
    """Return what *text* (ECS event, stopped reason, API failure, container log) says, best first, never empty."""
    return (diagnosis("unknown", evidence=(text,)),)


def diagnoses_of(
    *,
    tasks: Sequence[Task],
    events: Sequence[Event] = (),
    target_health: Sequence[TargetHealth] = (),
    log_tails: Sequence[LogTail] = (),
    instances: Sequence[Instance] = (),
    service: Service | None = None,
    timing: HealthTiming | None = None,
    reasons: Sequence[str] = (),
) -> tuple[Diagnosis, ...]:
    """Return the causes of a rollout's failures, root causes first, grouped: one Diagnosis per code.

    *tasks* may hold running ones; *events* are those since the deployment began; *reasons* are further
    texts of AWS: statusReason, rollback.reason, RunTask `failures[].reason`. Empty when nothing failed.
    """
    del tasks, events, target_health, log_tails, instances, service, timing, reasons
    return ()
