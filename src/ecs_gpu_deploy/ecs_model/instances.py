"""What befalls container instances: loss, draining, a silent agent.

Sources: AWS page "Draining Amazon ECS container instances"; API Reference, "ContainerInstance".
"""

from __future__ import annotations

from ecs_gpu_deploy.ecs_model import scaling, task_life
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.refusals import InvalidParameter
from ecs_gpu_deploy.ecs_model.state import Instance
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus

_LOST = {
    "terminated": (StopCode.TERMINATION_NOTICE, "terminated"),
    "stopped": (StopCode.TERMINATION_NOTICE, "stopped"),
    "spot": (StopCode.SPOT_INTERRUPTION, "terminated"),
}


def find_instance(model: Model, name: str) -> Instance | None:
    """Find an instance by ARN, id or EC2 instance id."""
    if name in model.instances:
        return model.instances[name]
    return next(
        (each for each in model.instances.values() if name in {each.instance_id, each.ec2_instance_id}), None
    )


def instance_named(model: Model, name: str) -> Instance:
    """Give an instance by ARN, id or EC2 instance id; refuse an unknown one."""
    instance = find_instance(model, name)
    if instance is None:
        raise InvalidParameter("Referenced container instance was not found.")
    return instance


def terminate(model: Model, instance: Instance, reason: str) -> None:
    """Lose an instance with everything on it."""
    code, verb = _LOST.get(reason, _LOST["terminated"])
    text = f"Host EC2 (instance {instance.ec2_instance_id}) {verb}."
    instance.status = "INACTIVE"
    instance.room.active = False
    del model.instances[instance.arn]
    for task in list(instance.tasks.values()):
        task_life.lose(model, task, code, text)
    for service in model.services.values():
        model.touch(service)
    provider = model.capacity_providers.get(instance.capacity_provider or "")
    if provider is not None:
        scaling.refill(model, provider)


def set_agent_connected(model: Model, instance: Instance, *, connected: bool) -> None:
    """Connect or disconnect an agent.

    Without it an instance takes no tasks, those there run on, and ECS sees none of them start, end or stop.
    """
    instance.agent_connected = instance.room.agent_connected = connected
    instance.version += 1
    for task in instance.tasks.values():
        task.connectivity = "CONNECTED" if connected else "DISCONNECTED"
    if connected:
        held, instance.held = instance.held, []
        for action, arguments in held:
            model.at(model.now, action, *arguments)
        model.room_freed()


def set_status(model: Model, instance: Instance, status: str) -> None:
    """Set an instance ACTIVE or DRAINING; draining moves its service tasks elsewhere.

    Source: API Reference, UpdateContainerInstancesState.
    """
    if status not in {"ACTIVE", "DRAINING"}:
        raise InvalidParameter("The status must be ACTIVE or DRAINING.")
    instance.status = status
    instance.room.active = status == "ACTIVE"
    instance.version += 1
    for task in list(instance.tasks.values()):
        task.on_draining_instance = status == "DRAINING"
        if task.on_draining_instance and task.service_name and task.last_status is TaskStatus.PENDING:
            task_life.stop(
                model, task, StopCode.SERVICE_SCHEDULER_INITIATED, "Task on a draining instance", drain=False
            )
        service = model.service_of(task)
        if service is not None:
            model.touch(service)
    if status == "ACTIVE":
        model.room_freed()
