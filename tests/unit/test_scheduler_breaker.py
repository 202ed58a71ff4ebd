"""The deployment circuit breaker, rollbacks, and the launch back-off."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from scheduler_world import World, cluster, messages, newest, service_config, steady_service, stopped

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.breaker import launch_delay
from ecs_gpu_deploy.ecs_model.refusals import (
    Conflict,
    InvalidParameter,
    ServiceDeploymentNotFound,
)
from ecs_gpu_deploy.ecs_model.state import Service
from ecs_gpu_deploy.ecs_model.statuses import BreakerStatus, StopCode
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus

ON = {"enable": True, "rollback": True}
ROLLED_BACK = "Service deployment rolled back because the circuit breaker threshold was exceeded."


def broken(
    image: str, *, breaker: dict[str, Any] | None, instances: int = 4, until: float = 5000.0, **more: Any
) -> tuple[Scheduler, Service]:
    """Deploy a broken image at 1000 s onto a steady service."""
    scheduler = cluster(World(), instances=instances)
    service = steady_service(scheduler, service_config(breaker=breaker, **more))
    scheduler.update_service("api", {"taskDefinition": image}, 1000.0)
    scheduler.advance(until)
    return scheduler, service


def test_never_healthy_tasks_roll_back_to_the_last_completed_deployment() -> None:
    scheduler, service = broken("never", breaker=ON, until=1000.0)
    good, bad = service.deployments[1], service.primary
    scheduler.advance(1365.0)
    assert bad.rollout_state is RolloutState.FAILED
    assert bad.rollout_state_reason == "ECS deployment circuit breaker: tasks failed to start."
    assert service.primary is good
    assert good.rollout_state is RolloutState.IN_PROGRESS
    assert good.rollout_state_reason == (
        f"ECS deployment circuit breaker: rolling back to deploymentId {good.id}."
    )
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS
    assert record.rollback is not None
    assert record.rollback.service_revision_arn == good.service_revision_arn
    scheduler.advance(2000.0)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert record.status_reason == record.rollback.reason == ROLLED_BACK
    assert (record.breaker_status, record.failure_count, record.threshold) == (BreakerStatus.TRIGGERED, 4, 3)
    assert service.deployments == [good]
    assert good.rollout_state_reason == f"ECS deployment {good.id} completed."
    assert service.task_definition_arn == "good"
    said = messages(service, 1000.0)
    failed = said.index(f"(service api) (deployment {bad.id}) deployment failed: tasks failed to start.")
    assert said[failed + 1] == f"(service api) rolling back to deployment {good.id}."
    assert f"(service api) (deployment {good.id}) deployment completed." in said[failed:]


def test_an_image_that_is_missing_backs_off_and_rolls_back() -> None:
    scheduler, service = broken("missing", breaker=ON, until=2500.0)
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    # Two fail together, the next launch is the second in a row and fails too.
    assert record.failure_count == 4
    assert (
        "(service api) was unable to place a task. Reason: CannotPullContainerError: The task can't pull the "
        "image." in messages(service)
    )
    task = stopped(scheduler)[0]
    assert task.stop_code is StopCode.TASK_FAILED_TO_START
    assert task.stopped_reason == "CannotPullContainerError: The task can't pull the image."
    assert task.containers[0].reason == task.stopped_reason
    assert task.started_at is None


def test_without_rollback_the_deployment_stays_failed_and_launches_no_more() -> None:
    scheduler, service = broken("crash", breaker={"enable": True, "rollback": False}, until=2000.0)
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.STOPPED
    assert record.breaker_status is BreakerStatus.TRIGGERED
    assert service.primary.rollout_state is RolloutState.FAILED
    assert [each.running_count for each in service.deployments] == [0, 2]
    attempts = service.primary.attempts
    scheduler.advance(9000.0)
    assert service.primary.attempts == attempts


def test_a_first_deployment_has_nothing_to_roll_back_to() -> None:
    scheduler = cluster(World(), instances=2)
    service = scheduler.create_service(service_config(breaker=ON, image="crash"), 0.0)
    scheduler.advance(2000.0)
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_FAILED
    assert record.status_reason == "No rollback candidate was found to run the rollback."
    assert service.primary.rollout_state is RolloutState.FAILED
    assert service.running_count == 0


def test_a_deployment_sent_during_a_rollback_has_nothing_to_roll_back_to() -> None:
    scheduler, service = broken("never", breaker=ON, until=1365.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS
    scheduler.update_service("api", {"taskDefinition": "crash"}, 1365.0)
    scheduler.advance(3000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.ROLLBACK_FAILED
    assert service.running_count >= 1, "what still ran keeps serving"


def test_the_rollback_target_is_found_after_it_left_the_list() -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config(breaker=ON, minimum=0, maximum=100))
    good = service.primary
    scheduler.update_service("api", {"taskDefinition": "never"}, 1000.0)
    scheduler.advance(1100.0)
    assert good not in service.deployments
    scheduler.advance(6000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert service.primary is good
    assert service.running_count == 2


def test_a_count_of_one_trips_at_the_first_failure() -> None:
    breaker = {**ON, "thresholdConfiguration": {"type": "COUNT", "value": 1}}
    scheduler, service = broken("crash", breaker=breaker, until=1040.0)
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert record.threshold == 1
    assert len(stopped(scheduler)) == 2


@pytest.mark.parametrize(
    ("reset", "status"),
    [
        pytest.param(True, ServiceDeploymentStatus.SUCCESSFUL, id="each healthy task resets the count"),
        pytest.param(False, ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL, id="without reset it adds up"),
    ],
)
def test_a_healthy_task_resets_the_count_unless_told_otherwise(
    reset: bool, status: ServiceDeploymentStatus
) -> None:
    # Healthy after 15 s, gone after 100 s, again and again while the old task drains for ten minutes.
    world = World(leaks=ContainerScript(load_seconds=0.0, exit_code=1, exit_after=100.0))
    world.group = replace(world.group, deregistration_delay=600)
    scheduler = cluster(world, instances=3)
    config = service_config(desired=1, breaker={**ON, "resetOnHealthyTask": reset})
    service = steady_service(scheduler, config)
    scheduler.update_service("api", {"taskDefinition": "leaks"}, 1000.0)
    scheduler.advance(4000.0)
    assert newest(scheduler, service).status is status


def test_launches_that_never_run_are_spaced_out_up_to_27_minutes() -> None:
    assert [launch_delay(failed) for failed in range(7)] == [0, 0, 240, 480, 960, 1620, 1620]
    scheduler, service = broken("missing", breaker=None, until=1000.0 + 6 * 3600)
    assert 12 < service.primary.batch < 20
    assert (
        "(service api) is unable to consistently start tasks successfully. For more information, see the "
        "Troubleshooting section of the Amazon ECS Developer Guide." in messages(service)
    )
    scheduler.update_service("api", {"taskDefinition": "next"}, scheduler.now)
    scheduler.advance(scheduler.now + 2)
    assert service.primary.pending_count == 2, "a new task definition resets the back-off"


def test_tasks_that_did_run_are_not_spaced_out() -> None:
    _, service = broken("crash", breaker=None, until=1600.0)
    assert service.primary.launch_after == 0.0


def test_a_user_can_roll_back_an_ongoing_deployment_without_any_breaker() -> None:
    scheduler, service = broken("never", breaker=None, until=1050.0)
    record = newest(scheduler, service)
    scheduler.stop_service_deployment(record.arn, "ROLLBACK", 1050.0)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_REQUESTED
    scheduler.advance(1052.0)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS
    scheduler.advance(1500.0)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert service.task_definition_arn == "good"
    with pytest.raises(Conflict):
        scheduler.stop_service_deployment(record.arn, "ROLLBACK", 1500.0)


def test_a_user_can_stop_a_deployment_without_rollback() -> None:
    scheduler, service = broken("never", breaker=None, until=1050.0)
    record = newest(scheduler, service)
    scheduler.stop_service_deployment(record.arn, "ABORT", 1050.0)
    scheduler.advance(1100.0)
    assert record.status is ServiceDeploymentStatus.STOPPED


def test_stopping_what_does_not_exist_is_refused() -> None:
    scheduler, service = broken("never", breaker=None, until=1050.0)
    with pytest.raises(ServiceDeploymentNotFound):
        scheduler.stop_service_deployment("arn:none", "ROLLBACK", 1050.0)
    with pytest.raises(InvalidParameter):
        scheduler.stop_service_deployment(newest(scheduler, service).arn, "KILL", 1050.0)


class Unreliable(World):
    """A world whose secret can be read at some attempts only; the container crashes soon after."""

    def __init__(self, *good: int) -> None:
        super().__init__()
        self.good = good

    def script(self, task_definition: Any, container_name: str, image: str, attempt: int) -> ContainerScript:
        unread = ContainerScript(init_error="ResourceInitializationError: unable to pull secrets")
        return self.scripts["crash"] if attempt in self.good else unread


@pytest.mark.parametrize(
    ("good", "waits"),
    [
        pytest.param((), [0, 240, 480], id="none ran: longer and longer"),
        pytest.param((3,), [0, 240, 0, 0, 240], id="one that ran begins the count anew"),
    ],
)
def test_a_task_that_reached_running_ends_the_back_off(good: tuple[int, ...], waits: list[float]) -> None:
    scheduler = cluster(Unreliable(*good), instances=1)
    scheduler.create_service(service_config(desired=1, image="x", balanced=False), 0.0)
    scheduler.advance(3000.0)
    tasks = sorted(scheduler.tasks.values(), key=lambda task: task.created_at)
    gaps = [
        later.created_at - (earlier.stopping_at or earlier.stopped_at or 0.0)
        for earlier, later in pairwise(tasks)
    ]
    assert [round(gap / 240) * 240 for gap in gaps[: len(waits)]] == waits


@pytest.mark.parametrize(
    ("breaker", "status"),
    [
        (None, BreakerStatus.DISABLED),
        ({"enable": False}, BreakerStatus.DISABLED),
        (ON, BreakerStatus.MONITORING),
    ],
)
def test_a_deployment_begins_with_its_breaker_watching_or_off(
    breaker: dict[str, Any] | None, status: BreakerStatus
) -> None:
    scheduler, service = broken("next", breaker=breaker, until=1001.0)
    assert newest(scheduler, service).breaker_status is status
