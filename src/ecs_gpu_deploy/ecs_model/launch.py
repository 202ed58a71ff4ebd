"""Start tasks: make them, choose their capacity, and tell why when there is none.

Sources: docs/aws-facts.md#provisioning, #service-events and #gpu-free-at-stopping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of
from ecs_gpu_deploy.ecs_model import events, scaling, task_life
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.placement import Candidates, candidates_for, no_placement_reason
from ecs_gpu_deploy.ecs_model.refusals import InvalidParameter
from ecs_gpu_deploy.ecs_model.state import Deployment, Service, Task
from ecs_gpu_deploy.ecs_model.statuses import TaskStatus, Topic

# A placement that found no room is tried again when room is freed, and by itself after these delays.
PLACEMENT_RETRY_SECONDS = 15.0
LONGEST_PLACEMENT_RETRY_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """What to start, from a service's deployment or from RunTask. All mappings have AWS's keys."""

    task_definition_arn: str
    definition: Mapping[str, Any]
    group: str
    started_by: str
    launch_type: str = "EC2"
    strategy: tuple[Mapping[str, Any], ...] = ()
    constraints: tuple[Mapping[str, Any], ...] = ()
    placement: tuple[Mapping[str, Any], ...] = ()
    overrides: Mapping[str, Any] | None = None
    tags: tuple[Mapping[str, str], ...] = ()
    subnets: tuple[str, ...] = ()
    enable_execute_command: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What came of an order: the tasks started, and the candidates of the first that found no room."""

    tasks: tuple[Task, ...]
    unplaced: int = 0
    candidates: Candidates | None = None
    limit_exceeded: bool = False


def launch(model: Model, order: LaunchOrder, number: int, *, deployment: Deployment | None = None) -> Launch:
    """Start up to `number` tasks. Raises InvalidParameter for a definition or expression without sense."""
    try:
        requirement = requirement_of(
            order.definition, constraints=order.constraints, overrides=order.overrides
        )
        return _launch(model, order, number, requirement, deployment)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None


def _launch(
    model: Model, order: LaunchOrder, number: int, requirement: Requirement, deployment: Deployment | None
) -> Launch:
    counted = Counter(
        task.capacity_provider or "" for task in (deployment.tasks.values() if deployment else ())
    )
    pools: dict[str | None, Candidates] = {}
    started: list[Task] = []
    for index in range(number):
        name = scaling.provider_for(order.strategy, counted) if order.strategy else None
        provider = model.capacity_providers.get(name or "")
        if order.launch_type == "FARGATE" or name in scaling.FARGATE:
            task = new_task(model, order, requirement, deployment, name)
            task.availability_zone = model.zone("a")
            task_life.place(model, task, None)
        else:
            if name not in pools:
                pools[name] = Candidates(
                    model,
                    requirement=requirement,
                    group=order.group,
                    capacity_provider=name,
                    constraints=order.constraints,
                    strategy=order.placement,
                )
            candidates = pools[name]
            instance = candidates.choose()
            if instance is None:
                if provider is None or not provider.managed_scaling:
                    return Launch(tasks=tuple(started), unplaced=number - index, candidates=candidates)
                if len(model.provisioning) >= scaling.PROVISIONING_LIMIT:
                    return Launch(tasks=tuple(started), unplaced=number - index, limit_exceeded=True)
                task = new_task(model, order, requirement, deployment, name)
                wait_for_capacity(model, task)
            else:
                task = new_task(model, order, requirement, deployment, name)
                task_life.place(model, task, instance)
                candidates.used(instance)
        counted[name or ""] += 1
        started.append(task)
    return Launch(tasks=tuple(started))


def wait_for_capacity(model: Model, task: Task) -> None:
    """Let a task wait in PROVISIONING for an instance of its capacity provider."""
    task.last_status = TaskStatus.PROVISIONING
    model.provisioning[task.arn] = task
    scaling.ask_for_capacity(model, model.capacity_providers[task.capacity_provider or ""])
    model.after(scaling.PROVISIONING_SECONDS, _give_up, task)


def offer_room(model: Model) -> None:
    """Give free room to the waiting tasks first, then let the services try that had found none.

    Sources: docs/aws-facts.md#provisioning; that a DAEMON waits for no room, API Reference, Service.
    """
    pools: dict[tuple[str | None, str, str], Candidates] = {}
    full: set[tuple[str | None, str, str]] = set()
    for task in scaling.waiting_tasks(model):
        kind = (task.capacity_provider, task.task_definition_arn, task.group)
        if kind in full:
            continue
        # A task of another kind may have taken room, so each change of kind looks anew.
        if kind not in pools:
            pools = {kind: candidates_for(model, task)}
        instance = pools[kind].choose()
        if instance is None:
            full.add(kind)
            continue
        task_life.place(model, task, instance)
        pools[kind].used(instance)
    for service in model.services.values():
        if service.name in model.blocked_services or service.config.get("schedulingStrategy") == "DAEMON":
            model.touch(service)


def tell_unplaced(model: Model, service: Service, result: Launch) -> None:
    """Say in the service's events why tasks were not placed."""
    candidates = result.candidates
    if result.limit_exceeded:
        events.say_once(model, service, Topic.PLACEMENT, events.provisioning_limit(service))
    elif candidates is not None and candidates.empty:
        where = "capacity provider" if service.config.get("capacityProviderStrategy") else "cluster"
        events.say_once(model, service, Topic.PLACEMENT, events.no_instances(service, where))
    elif candidates is not None:
        closest, lacking = candidates.lacks()[0]
        events.say_once(
            model,
            service,
            Topic.PLACEMENT,
            events.no_room(service, closest.instance_id, lacking),
            about=lacking,
        )


def placement_retry(tries: int) -> float:
    """Give the seconds until the next try after so many in vain.

    Source: docs/aws-facts.md#back-off; the steps are unconfirmed.
    """
    return float(min(LONGEST_PLACEMENT_RETRY_SECONDS, PLACEMENT_RETRY_SECONDS * 2 ** min(tries, 10)))


def new_task(
    model: Model,
    order: LaunchOrder,
    requirement: Requirement,
    deployment: Deployment | None = None,
    provider: str | None = None,
) -> Task:
    """Make a task of an order, not placed yet; a deployment's task belongs to its service."""
    task_id = model.identifiers.hexadecimal()
    task = Task(
        arn=model.identifiers.task_arn(task_id),
        task_id=task_id,
        task_definition_arn=order.task_definition_arn,
        definition=order.definition,
        requirement=requirement,
        group=order.group,
        started_by=order.started_by,
        created_at=model.now,
        launch_type="FARGATE" if provider in scaling.FARGATE else order.launch_type,
        capacity_provider=provider,
        overrides=order.overrides or {},
        tags=order.tags,
        constraints=order.constraints,
        strategy=order.placement,
        subnets=order.subnets,
        enable_execute_command=order.enable_execute_command,
    )
    if deployment is not None:
        deployment.attempts += 1
        task.attempt = deployment.attempts
        task.batch = deployment.batch
        task.deployment_id = deployment.id
        task.service_name = order.group.removeprefix("service:")
        deployment.tasks[task.arn] = task
        service = model.service_of(task)
        balancers = service.config.get("loadBalancers") or () if service else ()
        task.target_groups = tuple(
            (
                str(each["targetGroupArn"]),
                str(each.get("containerName")),
                int(each.get("containerPort") or 0),
            )
            for each in balancers
            if each.get("targetGroupArn")
        )
    model.tasks[task.arn] = task
    return task


def _give_up(model: Model, task: Task) -> None:
    """End a task that no instance came for (docs/aws-facts.md#provisioning)."""
    if task.arn not in model.provisioning:
        return
    reason = f"TaskFailedToStart: {no_placement_reason(candidates_for(model, task))}"
    task_life.fail_to_start(model, task, reason)
