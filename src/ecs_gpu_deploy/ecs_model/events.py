"""A service's events in AWS's own words, with its suppression of duplicates.

Source: AWS page "Amazon ECS service event messages" and docs/aws-facts.md#service-events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecs_gpu_deploy.core.capacity.fit import Shortfall
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import Event, Service
from ecs_gpu_deploy.ecs_model.statuses import Topic

# "Duplicate service event messages are omitted until the cause is resolved, or six hours pass".
SUPPRESSED_SECONDS = 6 * 3600.0
STEADY_REPEAT_SECONDS = 6 * 3600.0
TASKS_PER_MESSAGE = 10

_TROUBLESHOOTING = " For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
_LACKS = {
    Shortfall.INACTIVE: "is not ACTIVE.",
    Shortfall.AGENT: 'encountered error "AGENT".',
    Shortfall.ATTRIBUTE: "is missing an attribute required by your task.",
    Shortfall.MEMBER_OF: 'encountered error "MemberOf placement constraint unsatisfied.".',
    Shortfall.LOCATION: 'encountered error "LOCATION".',
    Shortfall.DISTINCT: 'encountered error "DistinctInstance placement constraint unsatisfied.".',
    Shortfall.GPU: "has insufficient GPU resource available.",
    Shortfall.MEMORY: "has insufficient memory available.",
    Shortfall.CPU: "has insufficient CPU units available.",
    Shortfall.PORTS: "is already using a port required by your task.",
    Shortfall.ENI: 'encountered error "RESOURCE:ENI".',
}


def say(model: Model, service: Service, text: str) -> None:
    """Add `(service NAME) text` to the service's events."""
    _add(model, service, f"(service {service.name}) {text}")


def say_once(model: Model, service: Service, topic: Topic, message: str, *, about: str = "") -> None:
    """Add a message unless one of the same *topic* and *about* was told within six hours and is not resolved.

    Source: docs/aws-facts.md#service-events.
    """
    told = service.spoken.get((topic, about))
    if told is not None and model.now - told < SUPPRESSED_SECONDS:
        return
    service.spoken[topic, about] = model.now
    _add(model, service, message)


def resolve(service: Service, topic: Topic) -> None:
    """Forget all of a topic, so that its messages are told again when they return."""
    for told in [each for each in service.spoken if each[0] is topic]:
        del service.spoken[told]


def no_room(service: Service, instance_id: str, lacking: Shortfall) -> str:
    """Give the message for a task that no instance can take; `instance_id` is the closest one."""
    return (
        f"service {service.name} was unable to place a task because no container instance met all of its "
        f"requirements. The closest matching container-instance {instance_id} {_LACKS[lacking]}"
        f"{_TROUBLESHOOTING}"
    )


def no_instances(service: Service, where: str) -> str:
    """Give the message for an empty cluster or capacity provider; `where` names which."""
    return (
        f"service {service.name} was unable to place a task because no container instance met all of its "
        f"requirements. Reason: No Container Instances were found in your {where}.{_TROUBLESHOOTING}"
    )


def unable_to_place(service: Service, reason: str) -> str:
    """Give the message for a task that was placed and could not start."""
    return f"(service {service.name}) was unable to place a task. Reason: {reason.rstrip('.')}."


def provisioning_limit(service: Service) -> str:
    """Give the message for a cluster with 500 tasks waiting for instances."""
    return (
        f"(service {service.name}) was unable to place tasks in your cluster because the tasks provisioning "
        "capacity limit was exceeded."
    )


def deadlock(service: Service) -> str:
    """Give the message for percentages that let the deployment neither start nor stop a task."""
    return (
        f"(service {service.name}) was unable to stop or start tasks during a deployment because of the "
        "service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try "
        "again."
    )


def inconsistent_starts(service: Service) -> str:
    """Give the message for a service whose tasks keep failing to reach RUNNING."""
    return f"(service {service.name}) is unable to consistently start tasks successfully.{_TROUBLESHOOTING}"


def under_protection(service: Service, deployment_id: str, tasks: int) -> str:
    """Give the message for a scale-in held up by task protection."""
    return (
        f"(service {service.name}) was unable to reach steady state because (taskSet {deployment_id}) was "
        f"unable to scale in due to (reason {tasks} tasks under protection)"
    )


def listed(task_ids: Iterable[str]) -> str:
    """Give task ids as ECS prints them: `(task A) (task B)`."""
    return " ".join(f"(task {task_id})" for task_id in task_ids)


def batches(task_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Split task ids as ECS does over several messages."""
    return (
        task_ids[begin : begin + TASKS_PER_MESSAGE] for begin in range(0, len(task_ids), TASKS_PER_MESSAGE)
    )


def note(service: Service, kind: str, subject: str, task_id: str) -> None:
    """Collect what happens to several tasks at once, for one message at the next look at the service."""
    service.notices.setdefault((kind, subject), []).append(task_id)


def tell_notices(model: Model, service: Service) -> None:
    """Turn the collected notes into messages."""
    notices, service.notices = service.notices, {}
    for (kind, subject), task_ids in notices.items():
        number = len(task_ids)
        match kind:
            case "registered" | "deregistered":
                say(model, service, f"{kind} {number} targets in (target-group {subject})")
            case "draining":
                say(model, service, f"has begun draining connections on {number} tasks.")
            case "pending":
                say(model, service, f"stopped {number} pending tasks.")
            case _:
                for some in batches(task_ids):
                    say(model, service, f"has stopped {len(some)} running tasks: {listed(some)}.")


def _add(model: Model, service: Service, message: str) -> None:
    service.events.appendleft(Event(id=model.identifiers.uuid(), created_at=model.now, message=message))
