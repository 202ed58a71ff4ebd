"""The model of one ECS cluster as a discrete-event simulation: the scheduler's face to its callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.scheduler.scripts import Surroundings
from ecs_gpu_deploy.core.scheduler.state import (
    CapacityProvider,
    Failure,
    Instance,
    InstanceTemplate,
    LogLine,
    Service,
    ServiceDeployment,
    ServiceRevision,
    TargetHealth,
    Task,
)


class Scheduler:
    """Model one cluster. It never looks at a clock: each call is given `now`, and time never goes back.

    Same seed and same calls give the same history, ids included. Raises `refusals.SchedulerError` subclasses
    with AWS's messages where ECS refuses.
    """

    def __init__(
        self,
        *,
        cluster_name: str,
        cluster_arn: str,
        region: str,
        account_id: str,
        surroundings: Surroundings,
        seed: int = 0,
        now: float,
    ) -> None:
        self.services: dict[str, Service] = {}
        self.inactive_services: dict[str, Service] = {}
        self.tasks: dict[str, Task] = {}
        self.instances: dict[str, Instance] = {}
        self.capacity_providers: dict[str, CapacityProvider] = {}
        self.default_strategy: tuple[Mapping[str, Any], ...] = ()
        self.service_deployments: dict[str, ServiceDeployment] = {}
        self.service_revisions: dict[str, ServiceRevision] = {}
        raise NotImplementedError

    @property
    def now(self) -> float:
        """Give the model's time."""
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Let everything happen that is due up to `now`."""

    def next_due(self) -> float | None:
        """Give the time of the next thing due, or None when nothing will ever happen by itself."""

    def create_service(self, config: Mapping[str, Any], now: float) -> Service:
        """Create a service from CreateService's members (AWS keys, task definition as an ARN)."""
        raise NotImplementedError

    def update_service(self, name: str, changes: Mapping[str, Any], now: float) -> Service:
        """Change a service by UpdateService's members; some of them start a deployment (aws-facts A1)."""
        raise NotImplementedError

    def delete_service(self, name: str, now: float, *, force: bool = False) -> Service:
        """Drain a service, then make it INACTIVE."""
        raise NotImplementedError

    def stop_service_deployment(self, arn: str, stop_type: str, now: float) -> ServiceDeployment:
        """Stop a service deployment: ROLLBACK (the default of AWS) or ABORT."""
        raise NotImplementedError

    def continue_service_deployment(
        self, arn: str, hook_id: str, action: str, now: float
    ) -> ServiceDeployment:
        """Answer a PAUSE hook: CONTINUE or ROLLBACK."""
        raise NotImplementedError

    def run_task(
        self, request: Mapping[str, Any], now: float
    ) -> tuple[tuple[Task, ...], tuple[Failure, ...]]:
        """Start tasks as RunTask does; the task definition is an ARN."""
        raise NotImplementedError

    def start_task(
        self, request: Mapping[str, Any], now: float
    ) -> tuple[tuple[Task, ...], tuple[Failure, ...]]:
        """Start one task on each of the named container instances."""
        raise NotImplementedError

    def stop_task(self, task_arn: str, reason: str, now: float) -> Task:
        """Stop a task for a user."""
        raise NotImplementedError

    def add_instance(
        self,
        template: InstanceTemplate,
        *,
        now: float,
        availability_zone: str | None = None,
        capacity_provider: str | None = None,
        cached_layers: Iterable[str] = (),
        ec2_instance_id: str | None = None,
    ) -> Instance:
        """Register a container instance."""
        raise NotImplementedError

    def terminate_instance(self, instance: str, now: float, *, reason: str = "terminated") -> Instance:
        """Lose an instance (ARN or EC2 id) at once: reason "terminated", "stopped" or "spot"."""
        raise NotImplementedError

    def set_agent_connected(self, instance: str, connected: bool, now: float) -> Instance:
        """Connect or disconnect an instance's agent."""
        raise NotImplementedError

    def set_instance_status(self, instance: str, status: str, now: float) -> Instance:
        """Set an instance ACTIVE or DRAINING."""
        raise NotImplementedError

    def put_capacity_provider(self, provider: CapacityProvider, now: float) -> CapacityProvider:
        """Add or replace a capacity provider; its minimum of instances starts at once."""
        raise NotImplementedError

    def set_default_strategy(self, strategy: Sequence[Mapping[str, Any]]) -> None:
        """Set the cluster's default capacity provider strategy."""

    def take_log_lines(self, now: float) -> tuple[LogLine, ...]:
        """Give the log lines that came due since the last call, in order of time."""
        raise NotImplementedError

    def target_health(self, target_group_arn: str) -> tuple[TargetHealth, ...]:
        """Give the health of the targets registered in a target group."""
        raise NotImplementedError

    def revision_counts(self, revision_arn: str) -> tuple[int, int, int]:
        """Give requested, running and pending task counts of a service revision."""
        raise NotImplementedError
