"""Names, times and small helpers that every part of the scripted AWS uses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ACCOUNT, REGION, CLUSTER, SERVICE, FAMILY = "123456789012", "eu-central-1", "gpu", "rag", "rag"

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"

LONG_AGO = -1_000_000.0

NEVER = float("inf")

OURS, OTHERS = "9000000000000000009", "9500000000000000005"

TARGET_GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/rag/6d0ecf831eec9f09"

ATTRIBUTES = (
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "ecs.capability.execution-role-awslogs",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "ecs.capability.task-eni",
)

BREAKER = "Service deployment rolled back because the circuit breaker threshold was exceeded."

NO_CANDIDATE = "No rollback candidate was found to run the rollback."

PHASES = {
    # name: (status of the service deployment, layout of deployments[], circuit breaker)
    "pending": ("PENDING", "rolling", "MONITORING"),
    "rolling": ("IN_PROGRESS", "rolling", "MONITORING"),
    "done": ("SUCCESSFUL", "done", "MONITORING_COMPLETE"),
    "early": ("SUCCESSFUL", "rolling", "MONITORING_COMPLETE"),
    "rollback_requested": ("ROLLBACK_REQUESTED", "rolling", "MONITORING"),
    "rolling_back": ("ROLLBACK_IN_PROGRESS", "rolling_back", "TRIGGERED"),
    "rolled_back": ("ROLLBACK_SUCCESSFUL", "rolled_back", "TRIGGERED"),
    "rollback_failed": ("ROLLBACK_FAILED", "failed", "TRIGGERED"),
    "stop_requested": ("STOP_REQUESTED", "rolling", "MONITORING"),
    "failed": ("STOPPED", "failed", "TRIGGERED"),
    "superseding": ("STOP_REQUESTED", "superseded", "MONITORING"),
    "superseded": ("STOPPED", "superseded", "MONITORING"),
    "superseded_done": ("STOPPED", "superseded_done", "MONITORING"),
}

FINISHED = {"SUCCESSFUL", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"}

ENDED_BADLY = ("exit", "oom", "fails", "no_room", "elb", "check", "stopped")


class Refusal(Exception):
    """An error that AWS answers with."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def hexed(name: str, length: int = 32) -> str:
    """Return the id that AWS would have made, always the same for a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:length]


def digest_of(name: str) -> str:
    """Return the digest of the image that a world calls *name*."""
    return name if name.startswith("sha256:") else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def arn(kind: str, rest: str) -> str:
    """Return an ARN of ECS."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{rest}"


def merged(base: Any, more: Any) -> Any:
    """Return *base* with the members of *more* laid over it."""
    if isinstance(base, Mapping) and isinstance(more, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}
    return more


def at_time(written: Any, t: float) -> Any:
    """Return what holds at *t* of a value, or of a list of [second, value]."""
    if not isinstance(written, list) or not all(
        isinstance(item, list) and len(item) == 2 for item in written
    ):
        return written
    holding = [value for second, value in written if second <= t]
    return holding[-1] if holding else written[0][1]


@dataclass(slots=True)
class Shown:
    """A task with every time of its life as seconds since zero."""

    id: str
    written: Mapping[str, Any]
    definition: str
    deployment: str
    created: float
    placed: float
    pull_from: float
    pull_to: float
    start: float
    healthy: float
    leave: float
    stopping: float
    stopped: float
    gone: float
    how: str
    instance: str
    started_by: str = ""
    overrides: Any = None

    def status(self, t: float) -> str:
        """Return lastStatus."""
        for second, name in (
            (self.stopped, "STOPPED"),
            (self.stopping, "STOPPING"),
            (self.leave, "DEACTIVATING"),
            (self.start, "RUNNING"),
            (self.placed, "PENDING"),
        ):
            if second <= t:
                return name
        return "PROVISIONING"

    def is_shown(self, t: float) -> bool:
        """Is the task there at all?"""
        return self.written.get("seen_from", self.created) <= t < self.gone


def second_of(item: Mapping[str, Any], key: str, otherwise: float) -> float:
    """Return a written second; null means never."""
    if key not in item:
        return otherwise
    return NEVER if item[key] is None else float(item[key])


def tags_of(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in pairs.items()]


def listed(ids: Iterable[str]) -> str:
    """Return task ids as events list them."""
    return " ".join(f"(task {one})" for one in ids)
