"""The statuses of tasks and targets, in AWS's spelling; those of deployments are in `model`."""

from __future__ import annotations

from enum import StrEnum


class TaskStatus(StrEnum):
    """A task's lastStatus (AWS page "Amazon ECS task lifecycle")."""

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


class HealthStatus(StrEnum):
    """The verdict of a container health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


class StopCode(StrEnum):
    """Who or what stopped a task."""

    TASK_FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_CONTAINER_EXITED = "EssentialContainerExited"
    USER_INITIATED = "UserInitiated"
    SERVICE_SCHEDULER_INITIATED = "ServiceSchedulerInitiated"
    SPOT_INTERRUPTION = "SpotInterruption"
    TERMINATION_NOTICE = "TerminationNotice"


class BreakerStatus(StrEnum):
    """The deploymentCircuitBreaker.status of a service deployment."""

    MONITORING = "MONITORING"
    TRIGGERED = "TRIGGERED"
    MONITORING_COMPLETE = "MONITORING_COMPLETE"
    DISABLED = "DISABLED"


class EndedBy(StrEnum):
    """What makes a service deployment roll back."""

    BREAKER = "breaker"
    ALARM = "alarm"
    HOOK = "hook"
    USER = "user"


class Topic(StrEnum):
    """What a service's event is about: one that repeats is left out (docs/aws-facts.md#service-events)."""

    PLACEMENT = "placement"
    START = "start"
    PROTECTION = "protection"
    DEADLOCK = "deadlock"
    INCONSISTENT = "inconsistent"
    STEADY = "steady"


class TargetState(StrEnum):
    """The state of a target in DescribeTargetHealth."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
