"""Bring a service's tasks towards what it asks for: the scheduler's look at one service.

The percentages round as AWS does: at least ceil(D * minimum / 100) healthy tasks, at most
floor(D * maximum / 100) tasks in RUNNING or PENDING. Sources: AWS pages "DeploymentConfiguration", "Deploy
Amazon ECS services by replacing tasks"; docs/aws-facts.md#rounding and #deployment-strategies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.percents import Limits, limits_for
from ecs_gpu_deploy.ecs_model import breaker, deployments, events, launch, stages, task_life
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Deployment, Instance, Service, ServiceDeployment, Task
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus, Topic
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus


def limits_of(model: Model, service: Service) -> Limits:
    """Give a service's limits with AWS's rounding.

    Numbers of tasks. Source: docs/aws-facts.md#rounding.
    """
    configuration = service.config.get("deploymentConfiguration") or {}
    daemon = service.config.get("schedulingStrategy") == "DAEMON"
    desired = service.desired_count
    if daemon:
        desired = sum(1 for each in model.instances.values() if each.room.active)
    minimum = configuration.get("minimumHealthyPercent")
    maximum = configuration.get("maximumPercent")
    minimum = (0 if daemon else 100) if minimum is None else int(minimum)
    maximum = (100 if daemon else 200) if maximum is None else int(maximum)
    return limits_for(desired, minimum=minimum, maximum=maximum)


def reconcile(model: Model, service: Service) -> None:
    """Look at a service: settle its deployments, replace, start and stop tasks, see whether it is done.

    Source: docs/aws-facts.md#deployment-strategies and #rounding.
    """
    events.tell_notices(model, service)
    if service.status != "ACTIVE":
        _drain(model, service)
        return
    deployments.settle(model, service)
    record = deployments.ongoing(model, service)
    deployments.watch_breaker(model, service, record)
    deployments.watch_alarms(model, service, record)
    limits = limits_of(model, service)
    primary = service.primary
    primary.desired_count = limits.desired
    if stages.staged(service) and record and record.status is ServiceDeploymentStatus.IN_PROGRESS:
        # The new revision scales to 100 % beside the old one, whatever the percentages
        # (docs/aws-facts.md#deployment-strategies).
        live = sum(1 for each in service.deployments[1:] for task in each.tasks.values() if task.live)
        limits = Limits(desired=limits.desired, lower=0, upper=limits.desired * 2 + live)
    cleaning = record is None or stages.step(model, service, record, limits.desired)
    replaced = _unhealthy(service)
    if record is not None and not stages.scales_up(service, record):
        # Before SCALE_UP the new revision has no tasks: the one before keeps its own.
        started, blocked = 0, False
    else:
        started, blocked = _start(model, service, limits, replaced if cleaning else [])
    for task in replaced:
        breaker.task_failed(model, task)
        task_life.stop(
            model, task, StopCode.SERVICE_SCHEDULER_INITIATED, task.unhealthy_reason, notice="stopped"
        )
    stopped = _scale_in(model, service, limits, blocked=blocked, cleaning=cleaning)
    if replaced or any(each.failed_tasks for each in service.deployments):
        # The count just grew: see at once whether it was one too many.
        deployments.watch_breaker(model, service, record)
    _vanish(model, service)
    _watch_deadlock(model, service, limits, moved=bool(started or stopped or replaced))
    _conclude(model, service, limits, record)


def adopt(model: Model, service: Service, instance: Instance | None) -> Task:
    """Put one task of the service's PRIMARY deployment on an instance that takes it (None: Fargate).

    Raises ValueError where the instance does not take it.
    """
    order = order_of(model, service, service.primary)
    requirement = requirement_of(order.definition, constraints=order.constraints)
    provider = instance.capacity_provider if instance is not None and order.strategy else None
    task = launch.new_task(model, order, requirement, service.primary, provider)
    task_life.place(model, task, instance)
    return task


def _start(model: Model, service: Service, limits: Limits, replaced: Sequence[Task]) -> tuple[int, bool]:
    """Start what is missing, the old revisions' unhealthy tasks first; tell how many, and if room lacked."""
    live = sum(1 for each in service.deployments for task in each.tasks.values() if task.live)
    room = max(0, limits.upper - live)
    started: list[Task] = []
    blocked = False
    for deployment in reversed(service.deployments):
        if deployment.stalled:
            continue
        wanted = _wanted(service, deployment, limits)
        if wanted <= 0:
            deployment.placement_blocked = False
            continue
        if model.now < deployment.launch_after:
            model.at(deployment.launch_after, _wake, service)
            events.say_once(model, service, Topic.INCONSISTENT, events.inconsistent_starts(service))
            continue
        number = min(wanted, room)
        if number <= 0:
            blocked = True
            continue
        result = _launch(model, service, deployment, number)
        started.extend(result.tasks)
        room -= len(result.tasks)
        blocked = blocked or bool(result.unplaced) or len(result.tasks) < wanted
    replacing = f" Amazon ECS replaced {len(replaced)} tasks due to an unhealthy status." if replaced else ""
    for some in events.batches([task.task_id for task in started]):
        text = f"has started {len(some)} tasks: {events.listed(some)}.{replacing}"
        events.say(model, service, text)
        replacing = ""
    if any(each.placement_blocked for each in service.deployments):
        model.blocked_services[service.name] = None
    else:
        model.blocked_services.pop(service.name, None)
    return len(started), blocked


def _wanted(service: Service, deployment: Deployment, limits: Limits) -> int:
    """Count the tasks a deployment lacks; tasks to be replaced and on draining instances are not counted."""
    if deployment is service.primary:
        return limits.desired - sum(1 for task in deployment.tasks.values() if _stays(task))
    if deployment.completed_at is None or deployment.rollout_state is RolloutState.FAILED:
        return 0
    return deployment.desired_count - sum(1 for task in deployment.tasks.values() if _stays(task))


def _launch(model: Model, service: Service, deployment: Deployment, number: int) -> launch.Launch:
    deployment.batch += 1
    result = launch.launch(model, order_of(model, service, deployment), number, deployment=deployment)
    if not result.unplaced:
        deployment.placement_blocked = False
        deployment.placement_tries = 0
        events.resolve(service, Topic.PLACEMENT)
        return result
    if not deployment.placement_blocked and not result.tasks:
        deployment.placement_tries = 0
    launch.tell_unplaced(model, service, result)
    deployment.placement_blocked = True
    if model.breaker_counts_placement and deployment.rollout_state is RolloutState.IN_PROGRESS:
        deployment.failed_tasks += 1
    model.touch(service, launch.placement_retry(deployment.placement_tries))
    deployment.placement_tries += 1
    return result


def order_of(model: Model, service: Service, deployment: Deployment) -> launch.LaunchOrder:
    """Describe what a deployment starts (API Reference, CreateService)."""
    config = service.config
    vpc = (deployment.config.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    strategy = tuple(config.get("capacityProviderStrategy") or ())
    if not strategy and "launchType" not in config:
        strategy = model.default_strategy
    constraints = tuple(config.get("placementConstraints") or ())
    if config.get("schedulingStrategy") == "DAEMON":
        constraints = (*constraints, {"type": "distinctInstance"})
    tags: tuple[dict[str, str], ...] = ()
    if config.get("propagateTags") == "SERVICE":
        tags = tuple(config.get("tags") or ())
    return launch.LaunchOrder(
        task_definition_arn=deployment.task_definition_arn,
        definition=model.surroundings.task_definition(deployment.task_definition_arn),
        group=f"service:{service.name}",
        started_by=deployment.id,
        launch_type=str(config.get("launchType") or "EC2"),
        strategy=strategy,
        constraints=constraints,
        placement=tuple(config.get("placementStrategy") or ()),
        tags=tags,
        subnets=tuple(vpc.get("subnets") or ()),
        enable_execute_command=bool(config.get("enableExecuteCommand")),
    )


def _scale_in(model: Model, service: Service, limits: Limits, *, blocked: bool, cleaning: bool) -> int:
    """Stop what is too much: old tasks as new ones are healthy, or to make room as far as health allows."""
    primary = service.primary
    fresh = [task for task in primary.tasks.values() if task.live and not task.on_draining_instance]
    spare = sorted(fresh, key=_keeping_order)[: max(0, len(fresh) - limits.desired)]
    stopped = _stop_tasks(model, service, primary, spare)
    if not cleaning:
        return stopped
    old = [
        (deployment, task)
        for deployment in service.deployments
        for task in deployment.tasks.values()
        if task.live and (deployment is not primary or task.on_draining_instance)
    ]
    if not old:
        return stopped
    useless = [each for each in old if not each[1].healthy and each[0].completed_at is None]
    old = [each for each in old if each not in useless] if useless else old
    new_healthy = sum(1 for task in fresh if task.healthy)
    healthy = new_healthy + sum(1 for _, task in old if task.healthy)
    surplus = len(old) - max(0, limits.desired - new_healthy)
    waiting = any(task.last_status is TaskStatus.PROVISIONING for task in fresh) and not primary.stalled
    if (blocked or waiting) and not primary.stalled:
        missing = limits.desired - sum(1 for task in fresh if not _unplaced(task))
        leaving = sum(
            1
            for deployment in service.deployments
            for task in deployment.tasks.values()
            if not task.live and task.last_status is not TaskStatus.STOPPED
        )
        # Old tasks on their way to healthy count as such here: else their replacements would be stopped.
        surplus = max(surplus, min(missing - leaving, len(old) + new_healthy - limits.lower))
    old.sort(key=lambda each: _keeping_order(each[1]))
    chosen: list[tuple[Deployment, Task]] = []
    for deployment, task in old[: max(0, surplus)]:
        if task.healthy:
            if healthy <= limits.lower:
                continue
            healthy -= 1
        chosen.append((deployment, task))
    for deployment, task in (*useless, *chosen):
        if _stop_tasks(model, service, deployment, [task]):
            stopped += 1
            if deployment is not primary:
                deployment.desired_count = max(0, deployment.desired_count - 1)
    return stopped


def _stop_tasks(model: Model, service: Service, deployment: Deployment, tasks: Sequence[Task]) -> int:
    protected = [task for task in tasks if (task.protected_until or 0.0) > model.now]
    for task in tasks:
        if task not in protected:
            reason = f"Scaling activity initiated by (deployment {service.primary.id})"
            task_life.stop(model, task, StopCode.SERVICE_SCHEDULER_INITIATED, reason)
    if protected:
        message = events.under_protection(service, deployment.id, len(protected))
        events.say_once(model, service, Topic.PROTECTION, message)
        model.at(min(task.protected_until or model.now for task in protected), _wake, service)
    return len(tasks) - len(protected)


def _unhealthy(service: Service) -> list[Task]:
    return [
        task
        for deployment in service.deployments
        for task in deployment.tasks.values()
        if task.unhealthy_reason and task.live
    ]


def _stays(task: Task) -> bool:
    return task.live and not task.unhealthy_reason and not task.on_draining_instance


def _unplaced(task: Task) -> bool:
    return task.last_status is TaskStatus.PROVISIONING and task.instance_arn is None


def _keeping_order(task: Task) -> tuple[bool, bool, float]:
    """Sort the tasks that are stopped first to the front: not healthy, not running, oldest."""
    return (task.healthy, task.running, task.created_at)


def _vanish(model: Model, service: Service) -> None:
    """Let old deployments without tasks leave the list; one whose tasks all stop is DRAINING."""
    for deployment in service.deployments[1:]:
        if deployment.completed_at is None or deployment.stalled:
            deployment.desired_count = sum(1 for task in deployment.tasks.values() if task.live)
        if not deployment.tasks:
            deployment.status = "INACTIVE"
            deployments.snapshot(model, deployment)
        elif not any(task.live for task in deployment.tasks.values()):
            deployment.status = "DRAINING"
    if any(each.status == "INACTIVE" for each in service.deployments[1:]):
        service.deployments[1:] = [each for each in service.deployments[1:] if each.status != "INACTIVE"]


def _watch_deadlock(model: Model, service: Service, limits: Limits, *, moved: bool) -> None:
    """Say so when the percentages let nothing move (docs/aws-facts.md#rounding)."""
    tasks = [task for each in service.deployments for task in each.tasks.values()]
    stuck = (
        not moved
        and not service.primary.stalled
        and len(service.deployments) > 1
        and _wanted(service, service.primary, limits) > 0
        and sum(1 for task in tasks if task.live) >= limits.upper
        and sum(1 for task in tasks if task.healthy) <= limits.lower
        and all(task.live and task.healthy for task in tasks)
    )
    if stuck:
        events.say_once(model, service, Topic.DEADLOCK, events.deadlock(service))
    elif moved:
        events.resolve(service, Topic.DEADLOCK)


def _conclude(model: Model, service: Service, limits: Limits, record: ServiceDeployment | None) -> None:
    """See whether the deployment is complete, and the service steady."""
    primary = service.primary
    healthy = sum(1 for task in primary.tasks.values() if task.healthy)
    live = sum(1 for task in primary.tasks.values() if task.live)
    clean = len(service.deployments) == 1
    if primary.rollout_state is RolloutState.IN_PROGRESS and not primary.stalled:
        if record is not None and _early(service, record, healthy, limits, clean=clean):
            deployments.succeed(model, service, record)
        done = healthy >= limits.desired and live == limits.desired and clean
        if done and (record is None or stages.finished(record)) and _baked(model, service, record):
            deployments.complete(model, service, record if record and not record.status.is_terminal else None)
    steady = (
        primary.rollout_state is RolloutState.COMPLETED
        and clean
        and healthy == limits.desired == len(primary.tasks)
    )
    if steady and not service.steady:
        _say_steady(model, service)
    service.steady = steady


def _early(service: Service, record: ServiceDeployment, healthy: int, limits: Limits, *, clean: bool) -> bool:
    """Tell whether the early success criteria hold (docs/aws-facts.md#early-success); ROLLING only."""
    criteria = (service.config.get("deploymentConfiguration") or {}).get("earlySuccessCriteria") or {}
    if not criteria.get("enable") or record.status is not ServiceDeploymentStatus.IN_PROGRESS:
        return False
    needed = math.ceil(limits.desired * int(criteria.get("healthyPercent") or 100) / 100)
    deferred = criteria.get("sourceServiceRevisionCleanup") == "DEFERRED"
    return healthy >= needed and (clean or deferred)


def _baked(model: Model, service: Service, record: ServiceDeployment | None) -> bool:
    """Tell whether the bake time that alarms add to a rolling deployment is over."""
    forward = record is not None and record.status is ServiceDeploymentStatus.IN_PROGRESS
    bake = 0.0 if stages.staged(service) else stages.bake_of(service)
    if record is None or not forward or not bake:
        return True
    if record.bake_ends_at is None:
        record.bake_ends_at = model.now + bake
        record.lifecycle_stage = "BAKE_TIME"
        model.at(record.bake_ends_at, _wake, service)
    return model.now >= record.bake_ends_at


def _say_steady(model: Model, service: Service) -> None:
    events.say(model, service, "has reached a steady state.")
    model.after(events.STEADY_REPEAT_SECONDS, _repeat_steady, service, model.now)
    service.spoken[Topic.STEADY, ""] = model.now


def _repeat_steady(model: Model, service: Service, told: float) -> None:
    if service.steady and service.spoken.get((Topic.STEADY, "")) == told and service.status == "ACTIVE":
        _say_steady(model, service)


def _wake(model: Model, service: Service) -> None:
    model.touch(service, 0.0)


def _drain(model: Model, service: Service) -> None:
    """Stop all tasks of a service that is being deleted, then make it INACTIVE."""
    tasks = [task for each in service.deployments for task in each.tasks.values()]
    for task in tasks:
        reason = f"Scaling activity initiated by (deployment {task.deployment_id})"
        task_life.stop(model, task, StopCode.SERVICE_SCHEDULER_INITIATED, reason)
    if not any(each.tasks for each in service.deployments) and service.status == "DRAINING":
        service.status = "INACTIVE"
        service.deployments.clear()
        model.blocked_services.pop(service.name, None)
        if model.services.get(service.name) is service:
            del model.services[service.name]
            model.inactive_services[service.name] = service
