"""The model of one ECS cluster as a discrete-event simulation: the scheduler's face to its callers."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.ecs_model import (
    alarms,
    health,
    instances,
    launch,
    reports,
    rollout,
    scaling,
    services,
    task_requests,
)
from ecs_gpu_deploy.ecs_model.identifiers import Identifiers
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.scripts import Surroundings
from ecs_gpu_deploy.ecs_model.state import (
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
        self._model = Model(
            cluster_name=cluster_name,
            cluster_arn=cluster_arn,
            identifiers=Identifiers(
                cluster_name=cluster_name,
                cluster_arn=cluster_arn,
                region=region,
                account_id=account_id,
                seed=seed,
            ),
            surroundings=surroundings,
            reconcile=rollout.reconcile,
            offer_room=launch.offer_room,
            now=now,
        )
        self.services: dict[str, Service] = self._model.services
        self.inactive_services: dict[str, Service] = self._model.inactive_services
        self.tasks: dict[str, Task] = self._model.tasks
        self.instances: dict[str, Instance] = self._model.instances
        self.capacity_providers: dict[str, CapacityProvider] = self._model.capacity_providers
        self.service_deployments: dict[str, ServiceDeployment] = self._model.service_deployments
        self.service_revisions: dict[str, ServiceRevision] = self._model.service_revisions

    @property
    def now(self) -> float:
        """Give the model's time."""
        return self._model.now

    @property
    def default_strategy(self) -> tuple[Mapping[str, Any], ...]:
        """Give the cluster's default capacity provider strategy."""
        return self._model.default_strategy

    @property
    def breaker_counts_placement(self) -> bool:
        """Tell whether a placement without room counts as a failed task; off by default (not confirmed)."""
        return self._model.breaker_counts_placement

    @breaker_counts_placement.setter
    def breaker_counts_placement(self, counts: bool) -> None:
        self._model.breaker_counts_placement = counts

    def advance(self, now: float) -> None:
        """Let everything happen that is due up to `now`; an earlier `now` changes nothing."""
        self._model.advance(now)

    def next_due(self) -> float | None:
        """Give the time of the next thing due, or None when nothing will ever happen by itself."""
        return self._model.next_due()

    def create_service(self, config: Mapping[str, Any], now: float) -> Service:
        """Create a service from CreateService's members (AWS keys, task definition as an ARN)."""
        self._model.advance(now)
        return services.create(self._model, config)

    def update_service(self, name: str, changes: Mapping[str, Any], now: float) -> Service:
        """Change a service by UpdateService's members; some of them start a deployment."""
        self._model.advance(now)
        return services.update(self._model, name, changes)

    def adopt_task(self, service: str, instance: str, now: float) -> Task:
        """Begin a task of a service on an instance (ARN, "" for Fargate), as if it had run there before.

        It counts as any other; where the instance lacks its GPUs, ValueError.
        """
        self._model.advance(now)
        return rollout.adopt(self._model, self.services[service], self.instances.get(instance))

    def delete_service(self, name: str, now: float, *, force: bool = False) -> Service:
        """Drain a service, then make it INACTIVE."""
        self._model.advance(now)
        return services.delete(self._model, name, force=force)

    def stop_service_deployment(self, arn: str, stop_type: str, now: float) -> ServiceDeployment:
        """Stop a service deployment: ROLLBACK (AWS's default) or ABORT."""
        self._model.advance(now)
        return services.stop_deployment(self._model, arn, stop_type)

    def continue_service_deployment(
        self, arn: str, hook_id: str, action: str, now: float
    ) -> ServiceDeployment:
        """Answer a PAUSE hook: CONTINUE or ROLLBACK."""
        self._model.advance(now)
        return services.continue_deployment(self._model, arn, hook_id, action)

    def run_task(
        self, request: Mapping[str, Any], now: float
    ) -> tuple[tuple[Task, ...], tuple[Failure, ...]]:
        """Start tasks as RunTask does; the task definition is an ARN."""
        self._model.advance(now)
        return task_requests.run_task(self._model, request)

    def start_task(
        self, request: Mapping[str, Any], now: float
    ) -> tuple[tuple[Task, ...], tuple[Failure, ...]]:
        """Start one task on each of the named container instances."""
        self._model.advance(now)
        return task_requests.start_task(self._model, request)

    def stop_task(self, task_arn: str, reason: str, now: float) -> Task:
        """Stop a task for a user."""
        self._model.advance(now)
        return task_requests.stop_task(self._model, task_arn, reason)

    def protect_task(self, task_arn: str, until: float | None, now: float) -> Task:
        """Keep a task from being stopped by scale-in or a deployment until then; None ends it."""
        self._model.advance(now)
        return task_requests.protect(self._model, task_arn, until)

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
        """Register a container instance; zones are filled in turn where none is given."""
        self._model.advance(now)
        return scaling.register(
            self._model,
            template,
            availability_zone=availability_zone,
            capacity_provider=capacity_provider,
            cached_layers=tuple(cached_layers),
            ec2_instance_id=ec2_instance_id,
        )

    def terminate_instance(self, instance: str, now: float, *, reason: str = "terminated") -> Instance:
        """Lose an instance (ARN or EC2 id) at once: reason "terminated", "stopped" or "spot"."""
        self._model.advance(now)
        found = instances.instance_named(self._model, instance)
        instances.terminate(self._model, found, reason)
        return found

    def set_agent_connected(self, instance: str, connected: bool, now: float) -> Instance:
        """Connect or disconnect an instance's agent."""
        self._model.advance(now)
        found = instances.instance_named(self._model, instance)
        instances.set_agent_connected(self._model, found, connected=connected)
        return found

    def set_instance_status(self, instance: str, status: str, now: float) -> Instance:
        """Set an instance ACTIVE or DRAINING."""
        self._model.advance(now)
        found = instances.instance_named(self._model, instance)
        instances.set_status(self._model, found, status)
        return found

    def set_alarm(self, name: str, now: float, *, on: bool) -> None:
        """Put a CloudWatch alarm into the state ALARM, or back to OK."""
        self._model.advance(now)
        alarms.set_alarm(self._model, name, on=on)

    def orders(self, now: float) -> tuple[tuple[Task, reports.Orders], ...]:
        """Give what a real runtime is to do with each task that it runs, stopped ones included."""
        self._model.advance(now)
        return tuple((task, reports.orders(task)) for task in self.tasks.values() if task.reported)

    def images_to_pull(self, task: Task) -> dict[str, tuple[str, str]]:
        """Give for each container of a reported task its image, and the digest that its instance has."""
        return reports.images_to_pull(self._model, task)

    def report(self, what: Callable[..., None], *arguments: Any, now: float) -> None:
        """Take what a real runtime reports: a function of module `reports`, and its arguments."""
        self._model.advance(now)
        what(self._model, *arguments)

    def put_capacity_provider(self, provider: CapacityProvider, now: float) -> CapacityProvider:
        """Add or replace a capacity provider; its minimum of instances begins to launch."""
        self._model.advance(now)
        return scaling.put(self._model, provider)

    def set_default_strategy(self, strategy: Sequence[Mapping[str, Any]]) -> None:
        """Set the cluster's default capacity provider strategy."""
        self._model.default_strategy = tuple(strategy)

    def take_log_lines(self, now: float) -> tuple[LogLine, ...]:
        """Give the log lines that came due since the last call, in order of time."""
        self._model.advance(now)
        lines: list[LogLine] = []
        while self._model.logs and self._model.logs[0][0] <= now:
            _, _, line, container = heapq.heappop(self._model.logs)
            if container.stopped_at is None or line.at <= container.stopped_at:
                lines.append(line)
        return tuple(lines)

    def target_health(self, target_group_arn: str) -> tuple[TargetHealth, ...]:
        """Give the health of the targets registered in a target group."""
        return health.target_health(self._model, target_group_arn)

    def revision_counts(self, revision_arn: str) -> tuple[int, int, int]:
        """Give how many tasks of a revision are requested, running and pending; zeros for an unknown one.

        Source: API Reference, ServiceRevisionSummary.
        """
        revision = self.service_revisions.get(revision_arn)
        if revision is None:
            return 0, 0, 0
        deployment = self._model.deployments[revision.deployment_id]
        if deployment.status == "INACTIVE":
            return (
                revision.requested_task_count,
                revision.running_task_count,
                revision.pending_task_count,
            )
        return deployment.desired_count, deployment.running_count, deployment.pending_count
