"""One task from its placement to STOPPED: pull, start, run, exit, stop.

Source: AWS pages "Amazon ECS task lifecycle", "Amazon ECS stopped tasks error messages", agent behaviour
(docs/aws-facts.md#task-timeline, #stopped-tasks and #agent-timeouts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ecs_gpu_deploy.core.capacity.fit import allocate, release
from ecs_gpu_deploy.core.defaults import stop_timeout
from ecs_gpu_deploy.ecs_model import breaker, events, health, scaling
from ecs_gpu_deploy.ecs_model.dependencies import start_plan
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.scripts import ContainerScript
from ecs_gpu_deploy.ecs_model.state import (
    Container,
    ContainerImage,
    Instance,
    LogLine,
    NetworkBinding,
    NetworkInterface,
    Task,
)
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus, Topic

# How long the agent takes to see a new task, and ECS to attach or detach a network interface.
AGENT_SECONDS = 1.0
INTERFACE_SECONDS = 5.0
# Setting up secrets and log drivers fails within moments, before the pull.
INIT_SECONDS = 2.0
FARGATE_BYTES_A_SECOND = 100_000_000.0
# "Stopped tasks currently appear in the returned results for at least one hour" (page "DescribeTasks").
KEPT_SECONDS = 3600.0
SIGKILL_CODE = 137
RESOURCE_INITIALIZATION = "ResourceInitializationError"


def place(model: Model, task: Task, instance: Instance | None) -> None:
    """Put a task on an instance (None: Fargate) that has room for it (docs/aws-facts.md#task-timeline)."""
    if instance is not None:
        task.allocation = allocate(task.requirement, instance.room)
        task.instance_arn = instance.arn
        task.availability_zone = instance.availability_zone
        instance.tasks[task.arn] = task
        instance.idle_since = None
    task.containers = tuple(
        _container(model, task, definition) for definition in task.definition.get("containerDefinitions", ())
    )
    model.provisioning.pop(task.arn, None)
    task.version += 1
    if task.definition.get("networkMode") == "awsvpc":
        task.last_status = TaskStatus.PROVISIONING
        model.after(INTERFACE_SECONDS, _attach_interface, task)
    else:
        task.last_status = TaskStatus.PENDING
        model.after(AGENT_SECONDS, _begin, task)


def stop(
    model: Model, task: Task, code: StopCode, reason: str, *, drain: bool = True, notice: str = "stopped"
) -> None:
    """Stop a task: drain its targets where it serves, then end its containers.

    `notice` is the kind of service event it is gathered into: "stopped", or "" for none.
    """
    if not task.live:
        return
    task.desired_status = TaskStatus.STOPPED
    task.stop_code, task.stopped_reason = code, reason
    task.left_at = model.now
    task.healthy = False
    task.version += 1
    service = model.service_of(task)
    if service is not None and notice and not task.running:
        events.note(service, "pending", "", task.task_id)
    if service is not None:
        model.touch(service)
    if not task.containers:
        _finish(model, task)
        return
    drained_at = health.deregister(model, task)
    if drain and task.running and task.targets:
        task.last_status = TaskStatus.DEACTIVATING
        model.at(drained_at, _end_containers, task, notice)
        return
    _end_containers(model, task, notice if task.running else "")


def lose(model: Model, task: Task, code: StopCode, reason: str) -> None:
    """End a task at once together with its instance; nobody saw its exit codes.

    Source: docs/aws-facts.md#stopped-tasks.
    """
    if task.last_status is TaskStatus.STOPPED:
        return
    if task.live:
        task.desired_status = TaskStatus.STOPPED
        task.stop_code, task.stopped_reason = code, reason
    health.deregister(model, task)
    task.stopping_at = task.stopping_at or model.now
    for container in task.containers:
        if container.last_status != "STOPPED":
            container.last_status = "STOPPED"
            container.stopped_at = model.now
    _finish(model, task)


def fail_to_start(model: Model, task: Task, reason: str, container: Container | None = None) -> None:
    """Stop a task that cannot reach RUNNING, and tell its service why."""
    if container is not None:
        container.reason = reason
    breaker.task_failed(model, task)
    service = model.service_of(task)
    if service is not None:
        message = events.unable_to_place(service, reason)
        events.say_once(model, service, Topic.START, message, about=reason.partition(":")[0])
    stop(model, task, StopCode.TASK_FAILED_TO_START, reason, drain=False, notice="")


def _with_commands(task: Task) -> Mapping[str, Any]:
    """Return the task definition with the commands that the task itself was given."""
    given = {
        override.get("name"): override["command"]
        for override in task.overrides.get("containerOverrides") or ()
        if override.get("command")
    }
    if not given:
        return task.definition
    containers = [
        {**one, "command": given[one["name"]]} if one.get("name") in given else one
        for one in task.definition["containerDefinitions"]
    ]
    return {**task.definition, "containerDefinitions": containers}


def _container(model: Model, task: Task, definition: Mapping[str, Any]) -> Container:
    name, image = str(definition.get("name")), str(definition.get("image"))
    gpus = tuple(
        gpu
        for owner, _, ids in (task.allocation.gpus if task.allocation else ())
        if owner == name
        for gpu in ids
    )
    return Container(
        arn=model.identifiers.container_arn(task.task_id),
        name=name,
        image=image,
        definition=definition,
        script=model.surroundings.script(_with_commands(task), name, image, task.attempt),
        essential=bool(definition.get("essential", True)),
        has_health_check=bool(definition.get("healthCheck")),
        gpu_ids=gpus,
    )


def _attach_interface(model: Model, task: Task) -> None:
    if not task.live:
        return
    number = model.identifiers.number()
    task.network_interface = NetworkInterface(
        attachment_id=model.identifiers.uuid(),
        eni_id=f"eni-{model.identifiers.hexadecimal(17)}",
        private_ipv4_address=f"10.0.{number % 250}.{number // 250 % 250 + 4}",
        subnet_id=task.subnets[0] if task.subnets else "subnet-00000000000000000",
    )
    task.last_status = TaskStatus.PENDING
    task.version += 1
    model.after(AGENT_SECONDS, _begin, task)


def _begin(model: Model, task: Task) -> None:
    """Set up what the task needs, then pull its images."""
    if not task.live or _held(model, task, _begin, task):
        return
    task.connectivity = "CONNECTED"
    for container in task.containers:
        error = container.script.init_error
        if error and error.startswith(RESOURCE_INITIALIZATION):
            model.after(INIT_SECONDS, fail_if_live, task, error, None)
            return
    task.pull_started_at = model.now
    task.version += 1
    if task.reported:
        return
    instance = model.instances.get(task.instance_arn or "")
    for container in task.containers:
        script = container.script
        # The agent runs the cached image when the remote pull fails (docs/aws-facts.md#cached-image).
        if script.pull_error and not (instance and container.image in instance.cached_images):
            model.after(script.pull_error_after, fail_if_live, task, script.pull_error, container)
            return
    model.at(_pulled_at(model, task, instance), pulled, task)


def _pulled_at(model: Model, task: Task, instance: Instance | None) -> float:
    """Give the time when the last layer is there; the pulls of one instance share its bandwidth in turn."""
    layers = {
        digest: size
        for container in task.containers
        if not container.script.pull_error
        for digest, size in container.script.layers
    }
    if instance is None:
        return model.now + sum(layers.values()) / FARGATE_BYTES_A_SECOND
    missing = {digest: size for digest, size in layers.items() if digest not in instance.cached_layers}
    ready = model.now
    if missing:
        begins = max(model.now, instance.pulls_until)
        instance.pulls_until = begins + sum(missing.values()) / instance.template.bandwidth
        instance.cached_layers.update(dict.fromkeys(missing, instance.pulls_until))
    # A layer that another task is pulling right now is waited for, not pulled twice.
    return max([ready, *(instance.cached_layers[digest] for digest in layers)])


def pulled(model: Model, task: Task) -> None:
    """Let a task go on that has its images."""
    if not task.live or _held(model, task, pulled, task):
        return
    instance = model.instances.get(task.instance_arn or "")
    task.pull_stopped_at = model.now
    task.connectivity_at = model.now
    for container in task.containers:
        cached = instance.cached_images.get(container.image) if instance else None
        container.image_digest = (cached if container.script.pull_error else None) or (
            container.script.image_digest or None
        )
        if instance is not None and container.image_digest:
            instance.cached_images[container.image] = container.image_digest
    _resolve_digests(model, task)
    task.last_status = TaskStatus.ACTIVATING
    task.version += 1
    if task.reported:
        return
    model.after(max(each.script.start_seconds for each in task.containers), _started, task)


def _resolve_digests(model: Model, task: Task) -> None:
    """Let the first task of a deployment settle its revision's digests (docs/aws-facts.md#image-digest)."""
    deployment = model.deployments.get(task.deployment_id or "")
    revision = model.service_revisions.get(deployment.service_revision_arn) if deployment else None
    if revision is not None and not all(each.image_digest for each in revision.container_images):
        revision.container_images = tuple(
            ContainerImage(container_name=each.name, image=each.image, image_digest=each.image_digest)
            for each in task.containers
        )


def _started(model: Model, task: Task) -> None:
    if not task.live or _held(model, task, _started, task):
        return
    for container in task.containers:
        if container.script.init_error:
            fail_to_start(model, task, container.script.init_error, container)
            return
    plan = start_plan(task.containers)
    for container in task.containers:
        at = plan.starts[container.name]
        if at == 0:
            start_container(model, task, container)
        elif at is not None:
            model.after(at, start_container, task, container)
    if plan.failure is not None:
        after, name, why = plan.failure
        waiting = next(each for each in task.containers if each.name == name)
        model.after(after, fail_if_live, task, why, waiting)
    elif all(at is not None for at in plan.starts.values()):
        last = max(at or 0.0 for at in plan.starts.values())
        if last:
            model.after(last, reach_running, task)
        else:
            reach_running(model, task)


def start_container(model: Model, task: Task, container: Container) -> None:
    """Have a container run, on the ports that its task was given."""
    if not task.live:
        return
    container.runtime_id = model.identifiers.hexadecimal() + model.identifiers.hexadecimal()
    container.last_status = "RUNNING"
    container.started_at = model.now
    container.network_bindings = tuple(
        NetworkBinding(
            bind_ip="0.0.0.0",  # noqa: S104  (what DescribeTasks shows)
            container_port=port.container_port,
            host_port=number,
            protocol=port.protocol,
        )
        for port, number in (task.allocation.ports if task.allocation else ())
        if port.container_name == container.name
    )
    if not task.reported:
        _follow(model, task, container, container.script)


def reach_running(model: Model, task: Task) -> None:
    """Make a task RUNNING, now that the last of its containers has started."""
    if not task.live or _held(model, task, reach_running, task):
        return
    task.last_status = TaskStatus.RUNNING
    task.started_at = model.now
    task.version += 1
    breaker.task_running(model, task)
    health.begin(model, task)
    service = model.service_of(task)
    if service is not None:
        events.resolve(service, Topic.INCONSISTENT)
        model.touch(service)


def _follow(model: Model, task: Task, container: Container, script: ContainerScript) -> None:
    """Put what the container will print, and its end, on the calendar."""
    for after, text in script.logs:
        line = LogLine(task_arn=task.arn, container_name=container.name, at=model.now + after, text=text)
        model.log(line, container)
    if script.exit_code is not None:
        model.after(script.exit_after, exited, task, container)


def exited(model: Model, task: Task, container: Container) -> None:
    """Let a container end by itself; an essential one takes its task with it.

    Source: API Reference, ContainerDefinition.
    """
    if container.last_status != "RUNNING" or _held(model, task, exited, task, container):
        return
    container.last_status = "STOPPED"
    container.stopped_at = model.now
    container.exit_code = container.script.exit_code
    container.reason = container.script.exit_reason
    task.version += 1
    if not container.essential or not task.live:
        return
    breaker.task_failed(model, task)
    reason = "Essential container in task exited"
    stop(model, task, StopCode.ESSENTIAL_CONTAINER_EXITED, reason, drain=False, notice="")


def _held(model: Model, task: Task, action: Callable[..., None], *arguments: Any) -> bool:
    """Keep what a silent agent would have told until it speaks again."""
    instance = model.instances.get(task.instance_arn or "")
    if instance is None or instance.agent_connected:
        return False
    instance.held.append((action, arguments))
    return True


def fail_if_live(model: Model, task: Task, reason: str, container: Container | None) -> None:
    """Stop a task that cannot reach RUNNING, unless it is to stop already."""
    if task.live:
        fail_to_start(model, task, reason, container)


def _end_containers(model: Model, task: Task, notice: str) -> None:
    """Send SIGTERM, and SIGKILL when stopTimeout is over."""
    if task.last_status is TaskStatus.STOPPED:
        return
    task.last_status = TaskStatus.STOPPING
    task.stopping_at = model.now
    task.version += 1
    service = model.service_of(task)
    if service is not None and notice:
        events.note(service, notice, "", task.task_id)
        model.touch(service)
    if task.reported:
        return
    seconds = 0.0
    for container in task.containers:
        if container.last_status == "RUNNING":
            timeout = stop_timeout(container.definition)
            seconds = max(seconds, min(container.script.stop_seconds, timeout))
    model.after(seconds, ended, task)


def ended(model: Model, task: Task) -> None:
    """Let go of a task whose containers have all ended.

    Source: AWS page "Amazon ECS task lifecycle".
    """
    if task.last_status is TaskStatus.STOPPED or _held(model, task, ended, task):
        return
    task.execution_stopped_at = model.now
    for container in task.containers:
        if container.last_status == "RUNNING":
            timeout = stop_timeout(container.definition)
            killed = container.script.stop_seconds > timeout
            container.exit_code = SIGKILL_CODE if killed else container.script.stop_exit_code
            container.stopped_at = model.now
        container.last_status = "STOPPED"
    if task.network_interface is not None:
        task.last_status = TaskStatus.DEPROVISIONING
        task.version += 1
        model.after(INTERFACE_SECONDS, _finish, task)
    else:
        _finish(model, task)


def _finish(model: Model, task: Task) -> None:
    """Make a task STOPPED and give its room back."""
    if task.last_status is TaskStatus.STOPPED:
        return
    task.last_status = TaskStatus.STOPPED
    task.stopped_at = model.now
    task.execution_stopped_at = task.execution_stopped_at or model.now
    task.connectivity = "DISCONNECTED"
    task.version += 1
    model.provisioning.pop(task.arn, None)
    instance = model.instances.get(task.instance_arn or "")
    if instance is not None:
        instance.tasks.pop(task.arn, None)
        if task.allocation is not None:
            release(task.allocation, instance.room)
        if not instance.tasks:
            instance.idle_since = model.now
            scaling.watch_idle(model, instance)
        model.room_freed()
    deployment = model.deployments.get(task.deployment_id or "")
    if deployment is not None:
        deployment.tasks.pop(task.arn, None)
    service = model.service_of(task)
    if service is not None:
        model.touch(service)
    model.after(KEPT_SECONDS, _drop, task)


def _drop(model: Model, task: Task) -> None:
    model.tasks.pop(task.arn, None)
