"""The deployment circuit breaker: what counts, up to where, and what resets it.

Source: AWS page "How the Amazon ECS deployment circuit breaker detects failures";
docs/aws-facts.md#circuit-breaker and #breaker-and-placement.
"""

from __future__ import annotations

from ecs_gpu_deploy.core.judge.breaker import failures_after_healthy, threshold, trips
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Deployment, Service, Task
from ecs_gpu_deploy.ecs_model.statuses import BreakerStatus, TaskStatus
from ecs_gpu_deploy.model import CircuitBreaker, RolloutState

# The delay grows to at most 27 minutes (AWS page "Amazon ECS service throttle logic"). The steps up to there
# are not documented; these fit the times seen in the field (docs/aws-facts.md#back-off).
FIRST_DELAY_SECONDS = 240.0
LONGEST_DELAY_SECONDS = 27 * 60.0


def settings_of(service: Service) -> CircuitBreaker:
    """Give the service's deploymentCircuitBreaker settings."""
    configuration = service.config.get("deploymentConfiguration") or {}
    return CircuitBreaker.from_api(configuration.get("deploymentCircuitBreaker") or {})


def threshold_of(service: Service) -> int:
    """Give the number of failed tasks at which the service's breaker trips now."""
    return threshold(settings_of(service), service.desired_count)


def launch_delay(failed_batches: int) -> float:
    """Give the wait before the next launch after so many launches in a row that never reached RUNNING.

    Seconds. Source: docs/aws-facts.md#back-off, unconfirmed but for its upper end.
    """
    if failed_batches < 2:
        return 0.0
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (failed_batches - 2)))


def task_running(model: Model, task: Task) -> None:
    """End the launch back-off: a task of this deployment reached RUNNING.

    Source: docs/aws-facts.md#back-off.
    """
    deployment = model.deployments.get(task.deployment_id or "")
    if deployment is not None:
        deployment.failed_batches = 0
        deployment.launch_after = 0.0


def task_healthy(model: Model, task: Task) -> None:
    """Reset the count, unless the service wants it cumulative.

    Source: docs/aws-facts.md#circuit-breaker.
    """
    service, deployment = model.service_of(task), model.deployments.get(task.deployment_id or "")
    if service is None or deployment is None:
        return
    deployment.failed_tasks = failures_after_healthy(settings_of(service), deployment.failed_tasks)


def task_failed(model: Model, task: Task) -> None:
    """Count a task that did not reach RUNNING, ended by itself, or failed its health checks.

    Sources: docs/aws-facts.md#circuit-breaker and #exit-after-running.
    """
    service, deployment = model.service_of(task), model.deployments.get(task.deployment_id or "")
    if service is None or deployment is None:
        return
    if deployment.rollout_state is RolloutState.IN_PROGRESS:
        deployment.failed_tasks += 1
    if task.last_status not in {TaskStatus.RUNNING} and task.started_at is None:
        _back_off(model, deployment, task)
    model.touch(service)


def tripped(service: Service, deployment: Deployment) -> bool:
    """Tell whether the breaker is on and its threshold reached."""
    return trips(settings_of(service), deployment.failed_tasks, service.desired_count)


def status_at_start(service: Service) -> BreakerStatus:
    """Give the breaker's status of a new service deployment."""
    return BreakerStatus.MONITORING if settings_of(service).enable else BreakerStatus.DISABLED


def _back_off(model: Model, deployment: Deployment, task: Task) -> None:
    # Tasks launched together that fail together are one failed launch.
    if task.batch <= deployment.last_failed_batch:
        return
    deployment.last_failed_batch = task.batch
    deployment.failed_batches += 1
    deployment.launch_after = model.now + launch_delay(deployment.failed_batches)
