"""What the model is told about the world around ECS: images, target groups, task definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecs_gpu_deploy.model import TargetGroup

UNREADY_TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerScript:
    """Say how one container of one task behaves. All times are seconds.

    `layers` are (digest, compressed bytes). `load_seconds` counts from the container's start to its first
    healthy answer; None means never. `unhealthy_status` is what the health endpoint says meanwhile: an HTTP
    status, or "timeout" for no answer. `container_check_works` False models a check command that the image
    lacks (`curl`). `unhealthy_windows` and `logs` count from the container's start. A `stop_seconds` above
    the container's stopTimeout ends in exit code 137. `reported`: a real runtime runs the container, and the
    model waits for what it reports (module `reports`) instead of for these times.
    """

    reported: bool = False
    image_digest: str = ""
    layers: tuple[tuple[str, int], ...] = ()
    pull_error: str | None = None
    pull_error_after: float = 5.0
    init_error: str | None = None
    start_seconds: float = 3.0
    load_seconds: float | None = 0.0
    unhealthy_status: int | str = 503
    container_check_works: bool = True
    exit_code: int | None = None
    exit_after: float = 0.0
    exit_reason: str | None = None
    unhealthy_windows: tuple[tuple[float, float], ...] = ()
    logs: tuple[tuple[float, str], ...] = ()
    stop_seconds: float = 1.0
    stop_exit_code: int = 143

    @property
    def settled_after(self) -> float:
        """Give the age from which the health endpoint's answer stays the same."""
        return max([self.load_seconds or 0.0, *(end for _, end in self.unhealthy_windows)])

    def answers(self, since_start: float) -> bool:
        """Tell whether the container's health endpoint says 200 at that age."""
        if self.load_seconds is None or since_start < self.load_seconds:
            return False
        return not any(begin <= since_start < end for begin, end in self.unhealthy_windows)


class Surroundings(Protocol):
    """Answer the model's questions about what lies outside ECS; each answer is taken at the time of use."""

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """Give the raw task definition (DescribeTaskDefinition's `taskDefinition`) of an ARN."""
        ...

    def target_group(self, arn: str) -> TargetGroup | None:
        """Give a target group's settings, or None where it does not exist."""
        ...

    def script(
        self, task_definition: Mapping[str, Any], container_name: str, image: str, attempt: int
    ) -> ContainerScript:
        """Give the behaviour of one container; `attempt` counts that deployment's tasks from 1."""
        ...
