"""RunTask, StartTask, StopTask and task protection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import Requirement, requirement_of, shortfalls
from ecs_gpu_deploy.ecs_model import launch, scaling, task_life
from ecs_gpu_deploy.ecs_model.instances import find_instance
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.refusals import ClientMistake, InvalidParameter
from ecs_gpu_deploy.ecs_model.state import Failure, Instance, Task
from ecs_gpu_deploy.ecs_model.statuses import StopCode

MAX_TASKS = 10
NO_INSTANCES = "No Container Instances were found in your cluster."

Result = tuple[tuple[Task, ...], tuple[Failure, ...]]


def run_task(model: Model, request: Mapping[str, Any]) -> Result:
    """Start tasks as RunTask does: without room, failures and no exception.

    Source: docs/aws-facts.md#runtask-failures.
    """
    number = 1 if request.get("count") is None else int(request["count"])
    if not 1 <= number <= MAX_TASKS:
        raise InvalidParameter("Count must be between 1 and 10.")
    order = _order(model, request)
    for item in order.strategy:
        name = str(item.get("capacityProvider"))
        if name not in model.capacity_providers and name not in scaling.FARGATE:
            raise InvalidParameter("The specified capacity provider was not found.")
    if not order.strategy and order.launch_type == "EC2" and not model.instances:
        raise InvalidParameter(NO_INSTANCES)
    result = launch.launch(model, order, number)
    if not result.unplaced:
        return result.tasks, ()
    if result.candidates is None:
        raise ClientMistake("The tasks provisioning capacity limit was exceeded.")
    failures = tuple(
        Failure(arn=instance.arn, reason=lacking.value) for instance, lacking in result.candidates.lacks()
    )
    return result.tasks, failures or (Failure(arn="", reason="EMPTY CAPACITY PROVIDER"),)


def start_task(model: Model, request: Mapping[str, Any]) -> Result:
    """Start one task on each named instance that has room."""
    order = _order(model, request)
    try:
        requirement = requirement_of(order.definition, overrides=order.overrides)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
    tasks, failures = [], []
    for name in request.get("containerInstances") or ():
        instance = find_instance(model, str(name))
        if instance is None:
            failures.append(Failure(arn=str(name), reason="MISSING"))
            continue
        lacking = shortfalls(requirement, instance.room)
        if lacking:
            failures.append(Failure(arn=instance.arn, reason=lacking[0].value))
            continue
        tasks.append(_start(model, order, requirement, instance))
    return tuple(tasks), tuple(failures)


def stop_task(model: Model, task_arn: str, reason: str) -> Task:
    """Stop a task for a user; a stopped task stays as it is."""
    task = model.tasks.get(task_arn)
    if task is None:
        raise InvalidParameter("The referenced task was not found.")
    task_life.stop(model, task, StopCode.USER_INITIATED, reason or "Task stopped by user")
    return task


def protect(model: Model, task_arn: str, until: float | None) -> Task:
    """Protect a service's running task from scale-in until then."""
    task = model.tasks.get(task_arn)
    if task is None:
        raise InvalidParameter("The referenced task was not found.")
    task.protected_until = until
    service = model.service_of(task)
    if service is not None:
        model.touch(service)
    return task


def _order(model: Model, request: Mapping[str, Any]) -> launch.LaunchOrder:
    arn = str(request.get("taskDefinition"))
    definition = model.surroundings.task_definition(arn)
    overrides = request.get("overrides") or {}
    vpc = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if definition.get("networkMode") == "awsvpc" and not vpc.get("subnets"):
        raise InvalidParameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    known = {str(each.get("name")) for each in definition.get("containerDefinitions", ())}
    for override in overrides.get("containerOverrides") or ():
        if override.get("name") not in known:
            raise InvalidParameter(
                f"Override for container named {override.get('name')} is not a container in the "
                "TaskDefinition."
            )
    strategy: Sequence[Mapping[str, Any]] = request.get("capacityProviderStrategy") or ()
    if not strategy and not request.get("launchType") and "containerInstances" not in request:
        strategy = model.default_strategy
    return launch.LaunchOrder(
        task_definition_arn=arn,
        definition=definition,
        group=str(request.get("group") or f"family:{definition.get('family', '')}"),
        started_by=str(request.get("startedBy") or ""),
        launch_type=str(request.get("launchType") or "EC2"),
        strategy=tuple(strategy),
        constraints=tuple(request.get("placementConstraints") or ()),
        placement=tuple(request.get("placementStrategy") or ()),
        overrides=overrides,
        tags=tuple(request.get("tags") or ()),
        subnets=tuple(vpc.get("subnets") or ()),
        enable_execute_command=bool(request.get("enableExecuteCommand")),
    )


def _start(model: Model, order: launch.LaunchOrder, requirement: Requirement, instance: Instance) -> Task:
    task = launch.new_task(model, order, requirement)
    task_life.place(model, task, instance)
    return task
