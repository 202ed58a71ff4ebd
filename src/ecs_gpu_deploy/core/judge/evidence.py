"""What single tasks, events and targets prove: failed, refused a place, up, on its way out.

Each is one question over AWS's own data. None of them knows what was seen before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ecs_gpu_deploy.core.defaults import UNCHECKED_SECONDS
from ecs_gpu_deploy.model import Event, TargetHealth, Task

VANISHED_SECONDS = 150.0
"""How long AWS may not show what it has shown, or was told of, before we believe that it is gone.

Its views lag behind each other (docs/aws-facts.md#eventual-consistency).
"""
SETTLE_SECONDS = 60.0
"""How long AWS's counts, digests and targets may contradict what it calls finished."""


def is_failure(task: Task) -> bool:
    """Say whether a stopped task is one that failed, not one that the scheduler replaced or a person stopped.

    Source: docs/aws-facts.md#stopped-tasks; "Scaling activity initiated by" is the normal end of
    an old task. What a Spot reclaim or a lost instance ended did not fail by itself.
    """
    if task.stopped_reason.startswith("Scaling activity initiated by"):
        return False
    if task.stop_code in {"EssentialContainerExited", "TaskFailedToStart"}:
        return True
    return "failed" in task.stopped_reason.lower() and task.stop_code != "UserInitiated"


def was_taken(task: Task) -> bool:
    """Say whether a stopped task lost its instance: a Spot reclaim, hardware, or a host that was terminated.

    It did not fail by itself, and yet the breaker may count it (docs/aws-facts.md#stopped-tasks).
    """
    if task.stop_code in {"SpotInterruption", "TerminationNotice", "InfrastructureHealth"}:
        return True
    return task.stopped_reason.startswith("Host EC2 (instance")


def is_unplaced_event(event: Event) -> bool:
    """Say whether AWS says that it found no room for a task (page "Amazon ECS service event messages")."""
    message = event.message
    return "unable to place" in message and not any(
        other in message for other in ("CannotPull", "ResourceInitializationError", "CannotStart")
    )


def says_not_launched(event: Event) -> bool:
    """Say whether AWS could not even begin a task: "(service s) failed to launch a task with (error …)."

    Source: page "Amazon ECS service event messages".
    """
    return "failed to launch a task" in event.message


def says_failed(event: Event, deployment_id: str) -> bool:
    """Say whether AWS calls this deployment failed: "(deployment ecs-svc/N) deployment failed: …"."""
    return f"(deployment {deployment_id}) deployment failed" in event.message


def says_rolling_back(event: Event, deployment_id: str) -> bool:
    """Say whether AWS goes back to this deployment: "rolling back to deployment ecs-svc/N."."""
    return f"rolling back to deployment {deployment_id}" in event.message


def says_deadlocked(event: Event) -> bool:
    """Say whether AWS finds that the percentages let nothing move (page as above, message 7)."""
    return "because of the service deployment configuration" in event.message


def signature(task: Task) -> tuple[object, ...]:
    """Return what makes two failures the same: stop code, reason up to its first colon, decisive exit codes.

    Of the containers those count that ended by themselves: the others were stopped with 0, 137 or 143.
    """
    exits = [container.exit_code for container in task.containers if container.exit_code is not None]
    own = tuple(code for code in exits if code not in {0, 137, 143}) or tuple(exits)
    return (task.stop_code, own, task.stopped_reason.partition(":")[0].partition("(")[0].strip())


def lifetime(task: Task) -> float:
    """Return the seconds that a task ran, 0 where it never did; both times are AWS's."""
    end = task.stopping_at or task.stopped_at
    return 0.0 if end is None or task.started_at is None else max(end - task.started_at, 0.0)


def was_placed(task: Task) -> bool:
    """Say whether a task ever had a place; one that ECS gave up in PROVISIONING had none.

    Fargate names no container instance, so a pull or a start tells too (docs/aws-facts.md#provisioning).
    """
    return bool(task.container_instance_arn or task.pull_started_at or task.started_at)


def is_leaving(task: Task) -> bool:
    """Say whether ECS has told a task to stop and it has not stopped yet (API Reference, Task)."""
    return task.desired_status == "STOPPED" and task.last_status != "STOPPED"


def waits_for_old_container(task: Task, leaving: Collection[str]) -> bool:
    """Say whether a task has its instance and waits there for an old container to stop.

    ECS gives a GPU, CPU or port away when the old task enters STOPPING; the agent begins with the new task
    when the old container is gone (docs/aws-facts.md#gpu-free-at-stopping). *leaving* are the container
    instances on which a task of the service is on its way out.
    """
    return (
        task.last_status == "PENDING" and not task.pull_started_at and task.container_instance_arn in leaving
    )


def passes_checks(task: Task, checked: Collection[str]) -> bool:
    """Say whether all containers of *task* that have a health check are HEALTHY.

    The task's own healthStatus is UNKNOWN for ever where one essential container has a check and another has
    none (API reference, "HealthCheck"): the containers tell, and the task where AWS does not show one.
    """
    shown = {container.name: container.health_status for container in task.containers}
    return all((shown.get(name) or task.health_status) == "HEALTHY" for name in checked)


def fails_checks(task: Task, checked: Collection[str]) -> bool:
    """Say whether a container of *task* that has a health check is UNHEALTHY (API Reference, Container)."""
    shown = {container.name: container.health_status for container in task.containers}
    return any((shown.get(name) or task.health_status) == "UNHEALTHY" for name in checked)


def is_healthy(
    task: Task, targets: Sequence[TargetHealth], checked: Collection[str], *, up_seconds: float
) -> bool:
    """Say whether a task runs and all its checks pass, as far as one can see.

    With a load balancer and a container check a task counts only when both pass, with neither after
    `UNCHECKED_SECONDS` (API reference, "DeploymentConfiguration", minimumHealthyPercent); *up_seconds* is for
    how long it was seen running. Targets carry no task id, so one that is still initial or unhealthy counts
    against every task, and one that is healthy may be an old task's: without a check of its own a task that
    has just begun is not healthy, whatever the targets show.
    """
    if task.last_status != "RUNNING" or is_leaving(task) or not passes_checks(task, checked):
        return False
    if not checked and up_seconds < UNCHECKED_SECONDS:
        return False
    return not any(target.state in {"initial", "unhealthy"} for target in targets)
