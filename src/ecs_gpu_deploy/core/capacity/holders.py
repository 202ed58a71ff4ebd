"""Who holds the GPUs of a cluster: services and families by name, with how many each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Task, short_id

MOST_NAMED = 3
"""How many holders one sentence names."""


def holder_name(task: Task) -> str:
    """Return the service that runs *task*, else `family f`: `group` is `service:NAME` or `family:NAME`.

    Source: API Reference, "Task", group.
    """
    kind, _, name = task.group.partition(":")
    if kind == "service" and name:
        return name
    return f"family {name or short_id(task.task_definition_arn).partition(':')[0]}"


def gpus_held(tasks: Iterable[Task], instances: Collection[str]) -> dict[str, int]:
    """Return how many GPUs each holder has on *instances* (container instance ARNs), the most first.

    A GPU is the holder's until its task is STOPPING (docs/aws-facts.md#gpu-free-at-stopping).
    """
    held: Counter[str] = Counter()
    for task in tasks:
        if task.container_instance_arn in instances and task.last_status not in {"STOPPING", "STOPPED"}:
            held[holder_name(task)] += len({gpu for each in task.containers for gpu in each.gpu_ids})
    return {name: number for name, number in held.most_common() if number}


def held_by(held: Mapping[str, int]) -> str:
    """Return `embedder (2 GPUs), family nightly (1 GPU)`, the most first; "" where nobody holds one."""
    named = [f"{name} ({count(number, 'GPU')})" for name, number in held.items()]
    more = [f"{count(len(named) - MOST_NAMED, 'other')}"] if len(named) > MOST_NAMED else []
    return ", ".join([*named[:MOST_NAMED], *more])
