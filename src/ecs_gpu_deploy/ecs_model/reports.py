"""What a real runtime is told to do with a task, and what it reports back.

Where a task's containers are `reported`, nothing about them is known beforehand: the model waits here for
each thing that its scripts would have said, and goes on as it does with those. Whoever calls advances the
model first; an instance whose agent is disconnected holds a report back like any other news.
Source: AWS pages "Amazon ECS task lifecycle" and "ContainerDependency".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ecs_gpu_deploy.ecs_model import health, task_life
from ecs_gpu_deploy.ecs_model.dependencies import FAILED, TIMED_OUT
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Container, NetworkBinding, Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus, TargetState, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a runtime is to do with a task now: pull, start these, stop all, or be rid of it (`gone`)."""

    pull: bool = False
    start: tuple[str, ...] = ()
    stop: bool = False
    gone: bool = False


def orders(task: Task) -> Orders:
    """Give what is to be done with a reported task as it stands."""
    match task.last_status:
        case TaskStatus.STOPPED:
            return Orders(gone=True)
        case TaskStatus.STOPPING:
            return Orders(stop=True)
        case TaskStatus.PENDING if task.live and task.pull_started_at is not None:
            return Orders(pull=True)
        case TaskStatus.ACTIVATING if task.live:
            return Orders(start=tuple(each.name for each in _startable(task)))
        case _:
            return Orders()


def images_to_pull(model: Model, task: Task) -> dict[str, tuple[str, str]]:
    """Give for each container the image to pull, and the digest that its instance has of it ("" for none).

    A service's tasks pull the digest that the first of their deployment found under the tag, unless the
    container's versionConsistency is off. The agent runs what its instance has where a pull fails.
    Sources: docs/aws-facts.md#image-digest, #cached-image.
    """
    deployment = model.deployments.get(task.deployment_id or "")
    revision = model.service_revisions.get(deployment.service_revision_arn) if deployment else None
    kept = revision.container_images if revision else ()
    settled = {each.container_name: each.image_digest for each in kept}
    instance = model.instances.get(task.instance_arn or "")
    wanted = {}
    for container in task.containers:
        digest = settled.get(container.name)
        image = container.image
        if digest and "@" not in image and container.definition.get("versionConsistency") != "disabled":
            image = f"{image}@{digest}"
        wanted[container.name] = image, (instance.cached_images.get(container.image, "") if instance else "")
    return wanted


def pulled(model: Model, task: Task, digests: Mapping[str, str]) -> None:
    """Go on to start the containers; `digests` by container name, "" where there is none."""
    for container in task.containers:
        container.script = replace(container.script, image_digest=digests.get(container.name, ""))
    if task.pull_stopped_at is None:
        task_life.pulled(model, task)


def failed_to_start(model: Model, task: Task, reason: str, container_name: str) -> None:
    """Stop the task: an image could not be pulled, or a container not be created or started."""
    task_life.fail_if_live(model, task, reason, _container(task, container_name))


def started(
    model: Model, task: Task, container_name: str, runtime_id: str, bindings: Sequence[NetworkBinding]
) -> None:
    """Take note that a container runs; the last one makes its task RUNNING."""
    container = _container(task, container_name)
    if container is None or not task.live or container.started_at is not None:
        return
    task_life.start_container(model, task, container)
    container.runtime_id, container.network_bindings = runtime_id, tuple(bindings)
    limit = container.definition.get("startTimeout")
    if limit:
        model.after(float(limit), _dependency_due, task, container)
    if all(each.started_at is not None for each in task.containers):
        task_life.reach_running(model, task)


def checked(model: Model, task: Task, container_name: str, status: HealthStatus) -> None:
    """Take the verdict of a container's own health check."""
    container = _container(task, container_name)
    if container is not None and container.health_status is not status:
        container.health_status = status
        task.version += 1
        health.evaluate(model, task)


def exited(model: Model, task: Task, container_name: str, exit_code: int, reason: str | None) -> None:
    """Take note of a container's end, which may be that of the task or of what waits for it.

    Source: API Reference, ContainerDependency.
    """
    container = _container(task, container_name)
    if container is None or container.last_status != "RUNNING":
        return
    container.script = replace(container.script, exit_code=exit_code, exit_reason=reason)
    task_life.exited(model, task, container)
    for condition, waiting in _waiting_for(task, container):
        if condition == "SUCCESS" and exit_code != 0:
            why = FAILED.format(on=container.name, target=waiting.name)
            task_life.fail_if_live(model, task, why, waiting)


def ended(model: Model, task: Task) -> None:
    """Let the task go: nothing of it runs any more."""
    task_life.ended(model, task)


def target_checked(
    model: Model, group_arn: str, address: tuple[str, int], state: TargetState, why: tuple[str, str]
) -> None:
    """Take a load balancer's verdict over a target (its id and port); `why` is reason and description."""
    target = model.targets.get(group_arn, {}).get(address)
    task = model.tasks.get(target.task_arn) if target else None
    if target is None or task is None or target.drains_until is not None:
        return
    target.state, (target.reason, target.description) = state, why
    health.evaluate(model, task)


def _container(task: Task, name: str) -> Container | None:
    return next((each for each in task.containers if each.name == name), None)


def _startable(task: Task) -> Iterator[Container]:
    by_name = {container.name: container for container in task.containers}
    for container in task.containers:
        if container.started_at is None and all(
            _resolved(by_name.get(str(each["containerName"])), str(each["condition"]))
            for each in container.definition.get("dependsOn") or ()
        ):
            yield container


def _resolved(container: Container | None, condition: str) -> bool:
    if container is None or container.started_at is None:
        return False
    match condition:
        case "START":
            return True
        case "COMPLETE":
            return container.stopped_at is not None
        case "SUCCESS":
            return container.stopped_at is not None and container.exit_code == 0
        case _:
            return container.health_status is HealthStatus.HEALTHY


def _waiting_for(task: Task, container: Container) -> Iterator[tuple[str, Container]]:
    """Yield (condition, who waits) for what has not started because of a container."""
    for waiting in task.containers:
        for each in waiting.definition.get("dependsOn") or ():
            if each["containerName"] == container.name and waiting.started_at is None:
                yield str(each["condition"]), waiting


def _dependency_due(model: Model, task: Task, container: Container) -> None:
    for condition, waiting in _waiting_for(task, container):
        if not _resolved(container, condition):
            why = TIMED_OUT.format(on=container.name, target=waiting.name)
            task_life.fail_if_live(model, task, why, waiting)
            return
