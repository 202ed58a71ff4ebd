"""What AWS told us, as frozen values. `from_api` is the only place where AWS's keys appear.

Times are float epoch seconds (UTC), sizes are bytes, ARNs are strings. A status that this version
does not know is kept as it came, never an error (docs/aws-facts.md#service-deployment-states).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

Api = Mapping[str, Any]

TARGET_INTERVAL = 30
TARGET_TIMEOUT = 5
TARGET_HEALTHY_THRESHOLD = 5
TARGET_UNHEALTHY_THRESHOLD = 2
DEREGISTRATION_DELAY = 300
"""What a target group of an Application Load Balancer has by itself, seconds and numbers of answers."""

PAUSE_MINUTES = 1440
LINEAR_STEP_PERCENT, LINEAR_BAKE_MINUTES = 10.0, 6
CANARY_PERCENT, CANARY_BAKE_MINUTES = 5.0, 10
"""What pause hooks and traffic shifts take by themselves.

Sources: docs/aws-facts.md#pause-hooks and #deployment-strategies.
"""

_OpenEnumT = TypeVar("_OpenEnumT", bound="OpenEnum")


class OpenEnum(StrEnum):
    """A StrEnum that keeps values it does not know."""

    @classmethod
    def _missing_(cls: type[_OpenEnumT], value: object) -> _OpenEnumT:
        member = str.__new__(cls, str(value))
        member._name_ = str(value)
        member._value_ = str(value)
        return member


def epoch(value: object) -> float | None:
    """Return *value* (datetime, ISO text or number of seconds) as epoch seconds; None stays None."""
    match value:
        case None:
            return None
        case datetime():
            return value.timestamp()
        case int() | float():
            return float(value)
        case _:
            return datetime.fromisoformat(str(value)).timestamp()


def text_in(api: Api, member: str, default: str = "") -> str:
    """Return the text that AWS sent as *member*; TypeError where it is none."""
    value = api.get(member, default)
    if not isinstance(value, str):
        raise TypeError(f"{member} is {type(value).__name__}, not a text")
    return value


def number_in(api: Api, member: str, default: int = 0) -> int:
    """Return the whole number that AWS sent as *member*; TypeError where it is none."""
    value = api.get(member)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise TypeError(f"{member} is {type(value).__name__}, not a number")
    return int(value)


def short_id(arn: str) -> str:
    """Return the last path segment of *arn*: the id a person recognises."""
    return arn.rsplit("/", 1)[-1]


def cluster_of(service: str) -> str:
    """Return the cluster that the ARN of a service names; "" for a name, and for an ARN of the old format."""
    parts = service.rpartition(":service/")[2].split("/") if ":service/" in service else []
    return parts[0] if len(parts) == 2 else ""


class ServiceDeploymentStatus(OpenEnum):
    """Status of a service deployment (ServiceDeployment.status)."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    STOP_REQUESTED = "STOP_REQUESTED"
    ROLLBACK_REQUESTED = "ROLLBACK_REQUESTED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    STOPPED = "STOPPED"
    ROLLBACK_SUCCESSFUL = "ROLLBACK_SUCCESSFUL"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"

    @property
    def is_terminal(self) -> bool:
        """Say whether AWS will not change this status any more."""
        return self in _TERMINAL

    @property
    def is_going_back(self) -> bool:
        """Say whether the deployment is being rolled back now."""
        return self in {
            ServiceDeploymentStatus.ROLLBACK_REQUESTED,
            ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS,
        }


_TERMINAL = frozenset(
    {
        ServiceDeploymentStatus.SUCCESSFUL,
        ServiceDeploymentStatus.STOPPED,
        ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL,
        ServiceDeploymentStatus.ROLLBACK_FAILED,
    }
)


class RolloutState(OpenEnum):
    """State of a classic deployment (Deployment.rolloutState)."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    IN_PROGRESS = "IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A service event: what the ECS scheduler says about itself."""

    id: str
    created_at: float
    message: str

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read ServiceEvent."""
        return cls(
            id=text_in(api, "id"),
            created_at=epoch(api.get("createdAt")) or 0.0,
            message=text_in(api, "message"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A classic deployment of a service, `deployments[]` of DescribeServices.

    Of a service that CodeDeploy deploys it is a task set, `taskSets[]`: `external_id` is then the deployment
    of CodeDeploy that created it, "" for none (API Reference, TaskSet).
    """

    id: str
    status: str
    task_definition: str
    desired_count: int = 0
    pending_count: int = 0
    running_count: int = 0
    failed_tasks: int = 0
    rollout_state: RolloutState | None = None
    rollout_state_reason: str = ""
    created_at: float = 0.0
    external_id: str = ""

    @classmethod
    def from_task_set(cls, api: Api) -> Self:
        """Read TaskSet. It has no rollout state: that is CodeDeploy's."""
        return cls(
            id=text_in(api, "id"),
            status=text_in(api, "status"),
            task_definition=text_in(api, "taskDefinition"),
            desired_count=number_in(api, "computedDesiredCount"),
            pending_count=number_in(api, "pendingCount"),
            running_count=number_in(api, "runningCount"),
            created_at=epoch(api.get("createdAt")) or 0.0,
            external_id=text_in(api, "externalId"),
        )

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Deployment."""
        state = api.get("rolloutState")
        return cls(
            id=text_in(api, "id"),
            status=text_in(api, "status"),
            task_definition=text_in(api, "taskDefinition"),
            desired_count=number_in(api, "desiredCount"),
            pending_count=number_in(api, "pendingCount"),
            running_count=number_in(api, "runningCount"),
            failed_tasks=number_in(api, "failedTasks"),
            rollout_state=RolloutState(state) if state else None,
            rollout_state_reason=text_in(api, "rolloutStateReason"),
            created_at=epoch(api.get("createdAt")) or 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """Configuration of the deployment circuit breaker (docs/aws-facts.md#circuit-breaker)."""

    enable: bool = False
    rollback: bool = False
    threshold_type: str = "BOUNDED_PERCENT"
    threshold_value: int = 50
    reset_on_healthy_task: bool = True

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read DeploymentCircuitBreaker."""
        threshold = api.get("thresholdConfiguration") or {}
        return cls(
            enable=bool(api.get("enable", False)),
            rollback=bool(api.get("rollback", False)),
            threshold_type=threshold.get("type") or "BOUNDED_PERCENT",
            threshold_value=number_in(threshold, "value", 50),
            reset_on_healthy_task=api.get("resetOnHealthyTask") is not False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as DescribeServices shows it. `events` come newest first, as AWS sends them.

    Where CodeDeploy deploys it, its task sets are its `deployments`. `balanced` are the containers and ports
    behind its load balancers. `is_express`: ECS manages what belongs to it (Express Mode).
    `shifts_traffic`: each load balancer has a second target group.
    """

    arn: str
    name: str
    cluster_arn: str
    status: str
    task_definition: str
    desired_count: int
    running_count: int
    pending_count: int
    deployments: tuple[Deployment, ...]
    events: tuple[Event, ...]
    target_group_arns: tuple[str, ...] = ()
    launch_type: str = ""
    capacity_providers: tuple[str, ...] = ()
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    strategy: str = "ROLLING"
    bake_time_minutes: int = 0
    health_check_grace_period: int = 0
    early_success_percent: int | None = None
    deployment_controller: str = "ECS"
    traffic_shift_seconds: float = 0.0
    pause_seconds: float = 0.0
    alarms: tuple[str, ...] = ()
    placement_constraints: tuple[Api, ...] = ()
    has_network: bool | None = False
    scheduling_strategy: str = "REPLICA"
    balanced: tuple[tuple[str, int], ...] = ()
    is_express: bool = False
    deployment_configuration: Api = field(default_factory=dict)
    placement_strategy: tuple[Api, ...] = ()
    capacity_provider_strategy: tuple[Api, ...] = ()
    shifts_traffic: bool = True
    has_volumes: bool = False

    def with_configuration(self, configuration: Api) -> Self:
        """Return the service with another deployment configuration (raw)."""
        return replace(self, deployment_configuration=configuration, **_configured(configuration))

    def with_desired_count(self, number: int | None) -> Self:
        """Return the service as it is with another desired count; as it is where *number* is None."""
        return self if number is None else replace(self, desired_count=number)

    @property
    def primary(self) -> Deployment | None:
        """Return the PRIMARY deployment."""
        return next((d for d in self.deployments if d.status == "PRIMARY"), None)

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Service."""
        configuration = api.get("deploymentConfiguration") or {}
        controller = (api.get("deploymentController") or {}).get("type", "ECS")
        task_sets = () if controller == "ECS" else tuple(api.get("taskSets") or ())
        primary = next((each for each in task_sets if each.get("status") == "PRIMARY"), api)
        balancers = [
            each
            for place in (api, *task_sets)
            for each in place.get("loadBalancers") or ()
            if each.get("targetGroupArn")
        ]
        return cls(
            arn=text_in(api, "serviceArn"),
            name=text_in(api, "serviceName"),
            cluster_arn=text_in(api, "clusterArn"),
            status=text_in(api, "status"),
            task_definition=text_in(primary, "taskDefinition") or text_in(api, "taskDefinition"),
            desired_count=number_in(api, "desiredCount"),
            running_count=number_in(api, "runningCount"),
            pending_count=number_in(api, "pendingCount"),
            deployments=tuple(map(Deployment.from_task_set, task_sets))
            or tuple(Deployment.from_api(d) for d in api.get("deployments") or ()),
            events=tuple(Event.from_api(e) for e in api.get("events") or ()),
            target_group_arns=tuple(dict.fromkeys(each["targetGroupArn"] for each in balancers)),
            launch_type=text_in(api, "launchType"),
            capacity_providers=tuple(
                item["capacityProvider"] for item in api.get("capacityProviderStrategy") or ()
            ),
            health_check_grace_period=number_in(api, "healthCheckGracePeriodSeconds"),
            deployment_controller=controller,
            placement_constraints=tuple(api.get("placementConstraints") or ()),
            has_network=_has_network(api, task_sets),
            balanced=tuple(
                dict.fromkeys(
                    (text_in(each, "containerName"), number_in(each, "containerPort")) for each in balancers
                )
            ),
            is_express=api.get("resourceManagementType") == "ECS",
            deployment_configuration=configuration,
            placement_strategy=tuple(api.get("placementStrategy") or ()),
            capacity_provider_strategy=tuple(api.get("capacityProviderStrategy") or ()),
            has_volumes=any(
                each.get("volumeConfigurations")
                for each in api.get("deployments") or ()
                if each.get("status") == "PRIMARY"
            ),
            scheduling_strategy=text_in(api, "schedulingStrategy", "REPLICA"),
            shifts_traffic=all(each.get("advancedConfiguration") for each in balancers),
            **_configured(configuration),
        )


def _configured(configuration: Api) -> dict[str, Any]:
    """Return the fields of Service that its raw deployment configuration says."""
    early = configuration.get("earlySuccessCriteria") or {}
    return {
        "minimum_healthy_percent": number_in(configuration, "minimumHealthyPercent", 100),
        "maximum_percent": number_in(configuration, "maximumPercent", 200),
        "circuit_breaker": CircuitBreaker.from_api(configuration.get("deploymentCircuitBreaker") or {}),
        "strategy": text_in(configuration, "strategy", "ROLLING"),
        "bake_time_minutes": number_in(configuration, "bakeTimeInMinutes"),
        "early_success_percent": number_in(early, "healthyPercent", 100) if early.get("enable") else None,
        "traffic_shift_seconds": _traffic_shift_seconds(configuration),
        "pause_seconds": _pause_seconds(configuration),
        "alarms": _alarms(configuration.get("alarms") or {}),
    }


def _has_network(api: Api, task_sets: Sequence[Api]) -> bool | None:
    """Say whether a service has a network configuration, None where AWS shows nothing of how it is set up.

    A service with task sets may show it on those alone (ECS Developer Guide, "Creating a service using a
    blue/green deployment").
    """
    places = (api, *task_sets)
    if any((place.get("networkConfiguration") or {}).get("awsvpcConfiguration") for place in places):
        return True
    is_ecs = (api.get("deploymentController") or {}).get("type", "ECS") == "ECS"
    return False if api.get("deploymentConfiguration") and (is_ecs or task_sets) else None


def _traffic_shift_seconds(configuration: Api) -> float:
    """Return how many seconds LINEAR and CANARY shift traffic (docs/aws-facts.md#deployment-strategies)."""
    match configuration.get("strategy"):
        case "LINEAR":
            linear = configuration.get("linearConfiguration") or {}
            bakes = _traffic_steps(configuration) - 1
            return bakes * number_in(linear, "stepBakeTimeInMinutes", LINEAR_BAKE_MINUTES) * 60.0
        case "CANARY":
            canary = configuration.get("canaryConfiguration") or {}
            return number_in(canary, "canaryBakeTimeInMinutes", CANARY_BAKE_MINUTES) * 60.0
    return 0.0


def _traffic_steps(configuration: Api) -> int:
    """Return in how many steps production traffic is shifted (docs/aws-facts.md#deployment-strategies)."""
    match configuration.get("strategy"):
        case "LINEAR":
            linear = configuration.get("linearConfiguration") or {}
            return math.ceil(100 / max(linear.get("stepPercent") or LINEAR_STEP_PERCENT, 0.1))
        case "CANARY":
            canary = configuration.get("canaryConfiguration") or {}
            return 1 if canary.get("canaryPercent") == 100 else 2
    return 1


def _pause_seconds(configuration: Api) -> float:
    """Return how many seconds PAUSE hooks may wait: each at each stage, before the traffic at each step.

    Source: docs/aws-facts.md#pause-hooks.
    """
    times = {"PRE_PRODUCTION_TRAFFIC_SHIFT": _traffic_steps(configuration)}
    return sum(
        number_in(hook.get("timeoutConfiguration") or {}, "timeoutInMinutes", PAUSE_MINUTES)
        * 60.0
        * times.get(stage, 1)
        for hook in configuration.get("lifecycleHooks") or ()
        if hook.get("targetType") == "PAUSE"
        for stage in hook.get("lifecycleStages") or ()
    )


def _alarms(api: Api) -> tuple[str, ...]:
    return tuple(api.get("alarmNames") or ()) if api.get("enable") else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A target group's health check and draining, in seconds (docs/aws-facts.md#target-health-check)."""

    arn: str
    interval: float = TARGET_INTERVAL
    timeout: float = TARGET_TIMEOUT
    healthy_threshold: int = TARGET_HEALTHY_THRESHOLD
    unhealthy_threshold: int = TARGET_UNHEALTHY_THRESHOLD
    deregistration_delay: float = DEREGISTRATION_DELAY
    target_type: str = "instance"

    @classmethod
    def from_api(cls, api: Api, attributes: Mapping[str, str]) -> Self:
        """Read TargetGroup of Elastic Load Balancing with its attributes."""
        delay: Any = attributes.get("deregistration_delay.timeout_seconds")
        return cls(
            arn=text_in(api, "TargetGroupArn"),
            interval=number_in(api, "HealthCheckIntervalSeconds", TARGET_INTERVAL),
            timeout=number_in(api, "HealthCheckTimeoutSeconds", TARGET_TIMEOUT),
            healthy_threshold=number_in(api, "HealthyThresholdCount", TARGET_HEALTHY_THRESHOLD),
            unhealthy_threshold=number_in(api, "UnhealthyThresholdCount", TARGET_UNHEALTHY_THRESHOLD),
            deregistration_delay=DEREGISTRATION_DELAY if delay in {None, ""} else float(delay),
            target_type=text_in(api, "TargetType", "instance"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleHook:
    """A lifecycle hook of a service deployment, Lambda or PAUSE (ServiceDeployment.lifecycleHookDetails)."""

    id: str
    target_arn: str = ""
    status: str = ""
    expires_at: float | None = None
    timeout_action: str = ""

    @property
    def awaits_action(self) -> bool:
        """Say whether somebody has to continue or roll back (ContinueServiceDeployment)."""
        return self.status == "AWAITING_ACTION"

    @property
    def rolls_back(self) -> bool:
        """Say whether the hook has AWS roll back: one that expired may have it continue instead.

        Source: docs/aws-facts.md#pause-hooks.
        """
        expired = self.status == "TIMED_OUT" and self.timeout_action != "CONTINUE"
        return self.status == "FAILED" or expired

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read ServiceDeploymentLifecycleHookDetail."""
        return cls(
            id=text_in(api, "hookId"),
            target_arn=text_in(api, "targetArn"),
            status=text_in(api, "status"),
            expires_at=epoch(api.get("expiresAt")),
            timeout_action=text_in(api, "timeoutAction"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeployment:
    """A service deployment (DescribeServiceDeployments), or its brief: then the counts are 0.

    The counts are those of the target revision; `source_requested_tasks` is what the revisions before it are
    still asked to run.
    """

    arn: str
    status: ServiceDeploymentStatus
    status_reason: str = ""
    target_revision_arn: str = ""
    source_revision_arns: tuple[str, ...] = ()
    requested_tasks: int = 0
    running_tasks: int = 0
    pending_tasks: int = 0
    source_requested_tasks: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    lifecycle_stage: str = ""
    rollback_reason: str = ""
    rollback_started_at: float | None = None
    breaker_status: str = ""
    breaker_failures: int = 0
    breaker_threshold: int = 0
    triggered_alarms: tuple[str, ...] = ()
    hooks: tuple[LifecycleHook, ...] = ()
    production_traffic: float | None = None

    @property
    def awaited_hooks(self) -> tuple[LifecycleHook, ...]:
        """Return the hooks that wait for somebody's answer."""
        return tuple(hook for hook in self.hooks if hook.awaits_action)

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read ServiceDeployment or ServiceDeploymentBrief."""
        target = api.get("targetServiceRevision") or {}
        rollback = api.get("rollback") or {}
        breaker = api.get("deploymentCircuitBreaker") or {}
        sources = api.get("sourceServiceRevisions") or ()
        return cls(
            arn=text_in(api, "serviceDeploymentArn"),
            status=ServiceDeploymentStatus(text_in(api, "status")),
            status_reason=text_in(api, "statusReason"),
            target_revision_arn=target.get("arn") or text_in(api, "targetServiceRevisionArn"),
            source_revision_arns=tuple(each["arn"] for each in sources if each.get("arn")),
            requested_tasks=number_in(target, "requestedTaskCount"),
            running_tasks=number_in(target, "runningTaskCount"),
            pending_tasks=number_in(target, "pendingTaskCount"),
            source_requested_tasks=sum(number_in(each, "requestedTaskCount") for each in sources),
            created_at=epoch(api.get("createdAt")) or 0.0,
            started_at=epoch(api.get("startedAt")),
            finished_at=epoch(api.get("finishedAt")),
            lifecycle_stage=text_in(api, "lifecycleStage"),
            rollback_reason=text_in(rollback, "reason"),
            rollback_started_at=epoch(rollback.get("startedAt")),
            breaker_status=text_in(breaker, "status"),
            breaker_failures=number_in(breaker, "failureCount"),
            breaker_threshold=number_in(breaker, "threshold"),
            triggered_alarms=tuple((api.get("alarms") or {}).get("triggeredAlarmNames") or ()),
            hooks=tuple(LifecycleHook.from_api(h) for h in api.get("lifecycleHookDetails") or ()),
            production_traffic=target.get("requestedProductionTrafficWeight"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a task. `reason` is the agent's or Docker's own text."""

    name: str
    image: str = ""
    image_digest: str = ""
    last_status: str = ""
    exit_code: int | None = None
    reason: str = ""
    health_status: str = ""
    gpu_ids: tuple[str, ...] = ()

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Container."""
        return cls(
            name=text_in(api, "name"),
            image=text_in(api, "image"),
            image_digest=text_in(api, "imageDigest"),
            last_status=text_in(api, "lastStatus"),
            exit_code=api.get("exitCode"),
            reason=text_in(api, "reason"),
            health_status=text_in(api, "healthStatus"),
            gpu_ids=tuple(api.get("gpuIds") or ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task with its timeline (docs/aws-facts.md#task-timeline); `overridden` names containers."""

    arn: str
    task_definition_arn: str = ""
    started_by: str = ""
    group: str = ""
    last_status: str = ""
    desired_status: str = ""
    health_status: str = ""
    stop_code: str = ""
    stopped_reason: str = ""
    created_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    container_instance_arn: str = ""
    launch_type: str = ""
    capacity_provider: str = ""
    overridden: tuple[str, ...] = ()
    containers: tuple[Container, ...] = ()
    has_interface: bool = False

    @property
    def id(self) -> str:
        """Return the task id, which log streams and people use."""
        return short_id(self.arn)

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Task."""
        return cls(
            arn=text_in(api, "taskArn"),
            task_definition_arn=text_in(api, "taskDefinitionArn"),
            started_by=text_in(api, "startedBy"),
            group=text_in(api, "group"),
            last_status=text_in(api, "lastStatus"),
            desired_status=text_in(api, "desiredStatus"),
            health_status=text_in(api, "healthStatus"),
            stop_code=text_in(api, "stopCode"),
            stopped_reason=text_in(api, "stoppedReason"),
            created_at=epoch(api.get("createdAt")),
            pull_started_at=epoch(api.get("pullStartedAt")),
            pull_stopped_at=epoch(api.get("pullStoppedAt")),
            started_at=epoch(api.get("startedAt")),
            stopping_at=epoch(api.get("stoppingAt")),
            execution_stopped_at=epoch(api.get("executionStoppedAt")),
            stopped_at=epoch(api.get("stoppedAt")),
            container_instance_arn=text_in(api, "containerInstanceArn"),
            launch_type=text_in(api, "launchType"),
            capacity_provider=text_in(api, "capacityProviderName"),
            # AWS lists every container here; only those with more than a name were overridden.
            overridden=tuple(
                text_in(override, "name")
                for override in (api.get("overrides") or {}).get("containerOverrides") or ()
                if any(value for key, value in override.items() if key != "name")
            ),
            containers=tuple(Container.from_api(c) for c in api.get("containers") or ()),
            has_interface="ElasticNetworkInterface"
            in {each.get("type") for each in api.get("attachments") or ()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """Health of one target as the load balancer sees it (DescribeTargetHealth)."""

    target_group_arn: str
    target_id: str
    port: int = 0
    state: str = ""
    reason: str = ""
    description: str = ""

    @classmethod
    def from_api(cls, api: Api, *, target_group_arn: str) -> Self:
        """Read TargetHealthDescription."""
        target, health = api.get("Target") or {}, api.get("TargetHealth") or {}
        return cls(
            target_group_arn=target_group_arn,
            target_id=text_in(target, "Id"),
            port=number_in(target, "Port"),
            state=text_in(health, "State"),
            reason=text_in(health, "Reason"),
            description=text_in(health, "Description"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTail:
    """The last log lines of one container of one task; `problem` says why there are none.

    `may_come` says that the log could be read, so that lines may still arrive.
    """

    task_id: str
    container: str
    lines: tuple[str, ...] = ()
    problem: str = ""
    may_come: bool = False
