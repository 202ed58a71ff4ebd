"""The things ECS keeps: services, deployments, tasks, container instances, capacity providers.

Mutable on purpose: this is the model's memory, changed only by the scheduler. Readers take what they need and
change nothing. Every time is epoch seconds (UTC), None where it has not happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Allocation, Requirement, Room
from ecs_gpu_deploy.ecs_model.scripts import ContainerScript
from ecs_gpu_deploy.ecs_model.statuses import (
    BreakerStatus,
    HealthStatus,
    StopCode,
    TargetState,
    TaskStatus,
    Topic,
)
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus

MAX_EVENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a service's `events`."""

    id: str
    created_at: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One entry of the `failures` of RunTask and StartTask."""

    arn: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a container printed."""

    task_arn: str
    container_name: str
    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """One entry of DescribeTargetHealth; reason and description are empty for a healthy target."""

    target_id: str
    port: int
    availability_zone: str
    state: TargetState
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkBinding:
    """One networkBinding of a container."""

    bind_ip: str
    container_port: int
    host_port: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInterface:
    """The elastic network interface of an awsvpc task."""

    attachment_id: str
    eni_id: str
    private_ipv4_address: str
    subnet_id: str


@dataclass(slots=True, kw_only=True)
class Container:
    """One container of a task; `definition` is its raw containerDefinition."""

    arn: str
    name: str
    image: str
    definition: Mapping[str, Any]
    script: ContainerScript
    essential: bool = True
    image_digest: str | None = None
    runtime_id: str | None = None
    last_status: str = "PENDING"
    health_status: HealthStatus = HealthStatus.UNKNOWN
    has_health_check: bool = False
    exit_code: int | None = None
    reason: str | None = None
    gpu_ids: tuple[str, ...] = ()
    network_bindings: tuple[NetworkBinding, ...] = ()
    started_at: float | None = None
    stopped_at: float | None = None


@dataclass(slots=True, kw_only=True)
class Target:
    """One registration of a task's port in a target group."""

    target_group_arn: str
    target_id: str
    port: int
    availability_zone: str
    container_name: str
    task_arn: str
    registered_at: float
    state: TargetState = TargetState.INITIAL
    reason: str = "Elb.RegistrationInProgress"
    description: str = "Target registration is in progress"
    drains_until: float | None = None


@dataclass(slots=True, kw_only=True)
class Task:
    """One task. `containers` is empty for a task that was never placed on an instance."""

    arn: str
    task_id: str
    task_definition_arn: str
    definition: Mapping[str, Any]
    requirement: Requirement
    group: str
    started_by: str
    created_at: float
    launch_type: str = "EC2"
    capacity_provider: str | None = None
    instance_arn: str | None = None
    availability_zone: str = ""
    service_name: str | None = None
    deployment_id: str | None = None
    last_status: TaskStatus = TaskStatus.PENDING
    desired_status: TaskStatus = TaskStatus.RUNNING
    health_status: HealthStatus = HealthStatus.UNKNOWN
    containers: tuple[Container, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[Mapping[str, str], ...] = ()
    network_interface: NetworkInterface | None = None
    connectivity: str = "DISCONNECTED"
    connectivity_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    left_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    stop_code: StopCode | None = None
    stopped_reason: str = ""
    version: int = 1
    protected_until: float | None = None
    enable_execute_command: bool = False
    # Below: the scheduler's own notes, not shown by any API.
    allocation: Allocation | None = None
    targets: tuple[Target, ...] = ()
    batch: int = 0
    healthy: bool = False
    on_draining_instance: bool = False
    unhealthy_reason: str = ""
    target_groups: tuple[tuple[str, str, int], ...] = ()
    constraints: tuple[Mapping[str, Any], ...] = ()
    strategy: tuple[Mapping[str, Any], ...] = ()
    subnets: tuple[str, ...] = ()
    attempt: int = 1

    @property
    def live(self) -> bool:
        """Tell whether the task is meant to run."""
        return self.desired_status is TaskStatus.RUNNING

    @property
    def running(self) -> bool:
        """Tell whether the task counts in runningCount."""
        return self.last_status is TaskStatus.RUNNING

    @property
    def pending(self) -> bool:
        """Tell whether the task counts in pendingCount."""
        return self.live and self.last_status is not TaskStatus.RUNNING

    @property
    def reported(self) -> bool:
        """Tell whether a real runtime runs the task: all of it does as soon as it runs one container."""
        return any(container.script.reported for container in self.containers)


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One entry of a service's `deployments`; `tasks` holds all of its tasks that are not yet STOPPED."""

    id: str
    status: str
    task_definition_arn: str
    created_at: float
    updated_at: float
    launch_type: str | None
    capacity_provider_strategy: tuple[Mapping[str, Any], ...]
    service_revision_arn: str
    service_deployment_arn: str
    config: Mapping[str, Any]
    desired_count: int = 0
    failed_tasks: int = 0
    rollout_state: RolloutState = RolloutState.IN_PROGRESS
    rollout_state_reason: str = ""
    tasks: dict[str, Task] = field(default_factory=dict)
    # Below: the scheduler's own notes.
    attempts: int = 0
    batch: int = 0
    failed_batches: int = 0
    last_failed_batch: int = 0
    launch_after: float = 0.0
    placement_blocked: bool = False
    placement_tries: int = 0
    stalled: bool = False
    completed_at: float | None = None

    @property
    def running_count(self) -> int:
        """Count the RUNNING tasks."""
        return sum(1 for task in self.tasks.values() if task.running)

    @property
    def pending_count(self) -> int:
        """Count the tasks on their way to RUNNING."""
        return sum(1 for task in self.tasks.values() if task.pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """One entry of a service revision's `containerImages`."""

    container_name: str
    image: str
    image_digest: str | None


@dataclass(slots=True, kw_only=True)
class ServiceRevision:
    """A service revision; `config` is the CreateService-shaped configuration at that time.

    The counts are a snapshot of its last deployment's once that left the service's `deployments`.
    """

    arn: str
    service_arn: str
    cluster_arn: str
    task_definition_arn: str
    config: Mapping[str, Any]
    created_at: float
    deployment_id: str
    container_images: tuple[ContainerImage, ...] = ()
    requested_task_count: int = 0
    running_task_count: int = 0
    pending_task_count: int = 0
    test_traffic_weight: float = 0.0
    production_traffic_weight: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The `rollback` member of a service deployment."""

    reason: str
    started_at: float
    service_revision_arn: str


@dataclass(slots=True, kw_only=True)
class LifecycleHook:
    """One entry of `lifecycleHookDetails`."""

    hook_id: str
    stage: str
    target_type: str
    target_arn: str | None
    status: str
    expires_at: float | None
    timeout_action: str


@dataclass(slots=True, kw_only=True)
class ServiceDeployment:
    """One service deployment, with AWS's status machine (docs/aws-facts.md#service-deployment-states)."""

    arn: str
    service_arn: str
    service_name: str
    cluster_arn: str
    deployment_id: str
    target_revision_arn: str
    source_revision_arns: tuple[str, ...]
    deployment_configuration: Mapping[str, Any]
    created_at: float
    updated_at: float
    started_at: float | None = None
    finished_at: float | None = None
    stopped_at: float | None = None
    status: ServiceDeploymentStatus = ServiceDeploymentStatus.PENDING
    status_reason: str | None = None
    lifecycle_stage: str | None = None
    stage_ends_at: float | None = None
    hooks: list[LifecycleHook] = field(default_factory=list)
    rollback: Rollback | None = None
    breaker_status: BreakerStatus = BreakerStatus.DISABLED
    failure_count: int = 0
    threshold: int = 0
    alarms: tuple[str, ...] = ()
    triggered_alarms: tuple[str, ...] = ()
    bake_ends_at: float | None = None


@dataclass(slots=True, kw_only=True)
class Service:
    """One service. `config` holds the merged CreateService-shaped settings under AWS's own keys."""

    name: str
    arn: str
    cluster_arn: str
    config: dict[str, Any]
    created_at: float
    desired_count: int
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    service_deployment_arns: list[str] = field(default_factory=list)
    current_service_deployment: str | None = None
    # Below: the scheduler's own notes.
    last_completed: Deployment | None = None
    reconcile_at: float | None = None
    steady: bool = False
    spoken: dict[tuple[Topic, str], float] = field(default_factory=dict)
    notices: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def task_definition_arn(self) -> str:
        """Give the task definition of the PRIMARY deployment."""
        return str(self.config["taskDefinition"])

    @property
    def primary(self) -> Deployment:
        """Give the PRIMARY deployment, which is always the first."""
        return self.deployments[0]

    @property
    def running_count(self) -> int:
        """Count the RUNNING tasks of all deployments."""
        return sum(deployment.running_count for deployment in self.deployments)

    @property
    def pending_count(self) -> int:
        """Count the tasks on their way to RUNNING of all deployments."""
        return sum(deployment.pending_count for deployment in self.deployments)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTemplate:
    """What an EC2 instance of some type brings: CPU units, MiB, GPUs, bytes per second for image pulls."""

    instance_type: str = "g5.xlarge"
    cpu: int = 4096
    memory: int = 15_000
    gpus: int = 1
    gpu_memory_mib: int = 24_576
    gpu_fraction: float = 1.0
    bandwidth: float = 125_000_000.0
    availability_zones: tuple[str, ...] = ("a", "b")
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    missing_attributes: frozenset[str] = frozenset()
    reserved_ports: tuple[int, ...] = (22, 2375, 2376, 51678, 51679)
    network_interfaces: int = 100


@dataclass(slots=True, kw_only=True)
class Instance:
    """One container instance; `cached_layers` says since when each image layer is on its disk (digest)."""

    arn: str
    instance_id: str
    ec2_instance_id: str
    template: InstanceTemplate
    availability_zone: str
    private_ip: str
    registered_at: float
    room: Room
    gpu_ids: tuple[str, ...] = ()
    capacity_provider: str | None = None
    status: str = "ACTIVE"
    agent_connected: bool = True
    cached_layers: dict[str, float] = field(default_factory=dict)
    cached_images: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    attributes: dict[str, str | None] = field(default_factory=dict)
    version: int = 1
    # Below: the scheduler's own notes.
    held: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    idle_since: float | None = None
    pulls_until: float = 0.0

    @property
    def running_count(self) -> int:
        """Count the RUNNING tasks."""
        return sum(1 for task in self.tasks.values() if task.running)

    @property
    def pending_count(self) -> int:
        """Count the tasks on their way to RUNNING."""
        return sum(1 for task in self.tasks.values() if task.pending)


@dataclass(slots=True, kw_only=True)
class CapacityProvider:
    """A capacity provider over an Auto Scaling group; `ec2_capacity` None means EC2 always has instances."""

    name: str
    arn: str = ""
    template: InstanceTemplate = field(default_factory=InstanceTemplate)
    managed_scaling: bool = True
    target_capacity: int = 100
    min_size: int = 0
    max_size: int = 10
    launch_seconds: float = 180.0
    warmup_seconds: float = 300.0
    maximum_step: int = 10_000
    scale_in_after: float = 900.0
    ec2_capacity: int | None = None
    auto_scaling_group_arn: str = ""
    # Below: the scheduler's own notes.
    launching: int = 0
    evaluates_at: float | None = None
    tags: tuple[Mapping[str, str], ...] = ()
