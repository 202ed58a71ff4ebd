"""The CloudWatch alarms of a deployment: which watch it, and which one ends it.

An alarm that is in ALARM when the deployment begins does not watch it (aws/copilot-cli #4512). Whether AWS
then goes on with the others is not confirmed; here they watch. Source: AWS page "How CloudWatch alarms
detect Amazon ECS deployment failures".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Service, ServiceDeployment
from ecs_gpu_deploy.ecs_model.statuses import BreakerStatus
from ecs_gpu_deploy.model import ServiceDeploymentStatus


def settings_of(service: Service) -> Mapping[str, Any]:
    """Give the service's deployment alarms."""
    configuration = service.config.get("deploymentConfiguration") or {}
    return configuration.get("alarms") or {}


def watching(model: Model, service: Service) -> tuple[str, ...]:
    """Give the alarms that watch a deployment which begins now."""
    settings = settings_of(service)
    if not settings.get("enable"):
        return ()
    return tuple(name for name in settings.get("alarmNames") or () if name not in model.alarms)


def triggered(model: Model, record: ServiceDeployment) -> tuple[str, ...]:
    """Give the alarms that went off since the deployment began; none where it has ended or rolls back."""
    if record.status is not ServiceDeploymentStatus.IN_PROGRESS:
        return ()
    return tuple(name for name in record.alarms if name in model.alarms)


def status_of(record: ServiceDeployment) -> BreakerStatus:
    """Give the status of the alarms as DescribeServiceDeployments shows it."""
    if record.triggered_alarms:
        return BreakerStatus.TRIGGERED
    if not record.alarms:
        return BreakerStatus.DISABLED
    return BreakerStatus.MONITORING_COMPLETE if record.status.is_terminal else BreakerStatus.MONITORING


def set_alarm(model: Model, name: str, *, on: bool) -> None:
    """Put an alarm into the state ALARM, or back to OK."""
    if on:
        model.alarms.add(name)
    else:
        model.alarms.discard(name)
    for service in model.services.values():
        model.touch(service)
