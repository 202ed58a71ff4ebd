"""Rolling deployments: percentages, order, times, and how they end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scheduler_world import (
    GROUP,
    ONE_GPU,
    World,
    cluster,
    messages,
    newest,
    service_config,
    steady_service,
    stopped,
    times,
)

from ecs_gpu_deploy.ecs_model import ContainerScript
from ecs_gpu_deploy.ecs_model.refusals import (
    InvalidParameter,
    SchedulerError,
    ServiceNotActive,
    ServiceNotFound,
)
from ecs_gpu_deploy.ecs_model.rollout import limits_of
from ecs_gpu_deploy.ecs_model.statuses import StopCode
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus


def test_a_rollout_of_two_gpu_tasks_that_load_95_seconds_keeps_its_times() -> None:
    world = World(
        next=ContainerScript(image_digest="sha256:next", load_seconds=95.0, layers=(("new", 10**9),))
    )
    scheduler = cluster(world, instances=4)
    service = steady_service(scheduler, service_config())
    old = service.primary.id
    returned = scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    assert [each.status for each in returned.deployments] == ["PRIMARY", "ACTIVE"]
    assert newest(scheduler, service).status is ServiceDeploymentStatus.PENDING
    scheduler.advance(2000.0)
    assert times(service, 1000.0) == [
        (1001.0, "has started 2"),
        # 1 s until the agent sees it, 10 s for 1 GB at 100 MB/s, 3 s to start, 1 s until it is told.
        (1016.0, "registered 2 targets"),
        # RUNNING at 1015; loaded at 1110; the check at 1015 + 7 * 15 = 1120 needs two in a row: 1135.
        (1137.0, "deregistered 2 targets"),
        (1137.0, "has begun draining"),
        # The deregistration delay of 30 s, then SIGTERM.
        (1167.0, "has stopped 2"),
        (1168.0, f"(deployment {service.primary.id}) deployment"),
        (1168.0, "has reached a"),
    ]
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.SUCCESSFUL
    assert (record.created_at, record.started_at, record.finished_at) == (1000.0, 1001.0, 1168.0)
    assert service.primary.rollout_state is RolloutState.COMPLETED
    assert service.primary.rollout_state_reason == f"ECS deployment {service.primary.id} completed."
    assert len(service.deployments) == 1
    task = next(iter(service.primary.tasks.values()))
    assert [
        task.created_at,
        task.pull_started_at,
        task.pull_stopped_at,
        task.connectivity_at,
        task.started_at,
    ] == [1001.0, 1002.0, 1012.0, 1012.0, 1015.0]
    assert task.containers[0].image_digest == "sha256:next"
    gone = stopped(scheduler)
    assert {task.started_by for task in gone} == {old}
    assert {task.stopped_reason for task in gone} == {
        f"Scaling activity initiated by (deployment {service.primary.id})"
    }


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "lower", "upper"),
    [
        pytest.param(2, 75, 200, 2, 4, id="75 % of 2 rounds up to 2: nothing can stop"),
        pytest.param(3, 100, 125, 3, 3, id="125 % of 3 rounds down to 3: nothing can start"),
        pytest.param(4, 50, 200, 2, 8, id="half of 4"),
        pytest.param(1, 0, 100, 0, 1, id="one task with an outage"),
        pytest.param(0, 100, 200, 0, 0, id="nothing desired"),
    ],
)
def test_percentages_round_as_aws_does(
    desired: int, minimum: int, maximum: int, lower: int, upper: int
) -> None:
    scheduler = cluster(World())
    service = scheduler.create_service(service_config(desired=desired, minimum=minimum, maximum=maximum), 0.0)
    limits = limits_of(scheduler._model, service)
    assert (limits.lower, limits.upper) == (lower, upper)


@pytest.mark.parametrize(
    ("instances", "minimum", "maximum", "waves"),
    [
        pytest.param(4, 100, 200, 1, id="two spare GPUs take one wave"),
        pytest.param(3, 100, 200, 2, id="one spare GPU crawls one by one"),
        pytest.param(2, 50, 100, 2, id="no spare GPU moves one by one at half capacity"),
        pytest.param(2, 0, 100, 1, id="no spare GPU and an outage take one wave"),
        pytest.param(2, 50, 200, 2, id="no spare GPU moves at 50/200 as well"),
    ],
)
def test_spare_gpus_decide_how_a_rollout_moves(
    instances: int, minimum: int, maximum: int, waves: int
) -> None:
    scheduler = cluster(World(), instances=instances)
    service = steady_service(scheduler, service_config(minimum=minimum, maximum=maximum))
    lower = limits_of(scheduler._model, service).lower
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    healthy = [2]
    while not newest(scheduler, service).status.is_terminal and scheduler.now < 5000:
        due = scheduler.next_due()
        assert due is not None
        scheduler.advance(due)
        healthy.append(sum(t.healthy for d in service.deployments for t in d.tasks.values()))
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL
    assert min(healthy) >= lower
    assert len({task.started_at for task in service.primary.tasks.values()}) == waves


def test_full_gpus_at_100_percent_hang_and_the_old_tasks_keep_serving() -> None:
    scheduler = cluster(World(), instances=2)
    service = steady_service(scheduler, service_config(breaker={"enable": True, "rollback": True}))
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(1000.0 + 3 * 3600)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.IN_PROGRESS
    assert service.running_count == 2
    said = messages(service, 1000.0)
    assert len(said) == 1, "the duplicate is suppressed for six hours"
    assert said[0].startswith(
        "service api was unable to place a task because no container instance met all of its requirements. "
        "The closest matching container-instance "
    )
    assert said[0].endswith(
        "has insufficient GPU resource available. For more information, see the Troubleshooting section of "
        "the Amazon ECS Developer Guide."
    )
    scheduler.advance(1000.0 + 7 * 3600)
    assert len([each for each in messages(service, 1000.0) if "unable to place" in each]) == 2


def test_a_spare_gpu_that_comes_late_lets_the_rollout_go_on_at_once() -> None:
    scheduler = cluster(World(), instances=2)
    service = steady_service(scheduler, service_config())
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(2000.0)
    scheduler.add_instance(ONE_GPU, now=2000.0)
    scheduler.advance(2002.0)
    assert service.primary.pending_count == 1
    scheduler.advance(3000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL


def test_a_placement_without_room_can_be_made_to_count_for_the_breaker() -> None:
    scheduler = cluster(World(), instances=2)
    scheduler.breaker_counts_placement = True
    service = steady_service(scheduler, service_config(breaker={"enable": True, "rollback": True}))
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(2000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL


def test_percentages_that_allow_nothing_are_told() -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config(minimum=75, maximum=125))
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(5000.0)
    assert messages(service, 1000.0) == [
        "(service api) was unable to stop or start tasks during a deployment because of the service "
        "deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    ]


def test_a_newer_deployment_stops_the_ongoing_one() -> None:
    scheduler = cluster(World(), instances=6)
    service = steady_service(scheduler, service_config())
    base = service.primary
    scheduler.update_service("api", {"taskDefinition": "never"}, 1000.0)
    scheduler.advance(1050.0)
    middle = service.primary
    scheduler.update_service("api", {"taskDefinition": "next"}, 1050.0)
    superseded = scheduler.service_deployments[service.service_deployment_arns[1]]
    assert superseded.status is ServiceDeploymentStatus.STOP_REQUESTED
    scheduler.advance(1060.0)
    assert superseded.status is ServiceDeploymentStatus.STOPPED
    assert newest(scheduler, service).source_revision_arns == (
        middle.service_revision_arn,
        base.service_revision_arn,
    )
    scheduler.advance(3000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL
    assert service.task_definition_arn == "next"
    assert [task.deployment_id for task in stopped(scheduler)].count(middle.id) == 2


def test_the_deployment_id_stands_in_the_service_revision_arn() -> None:
    scheduler = cluster(World(), instances=2)
    service = scheduler.create_service(service_config(), 0.0)
    digits = service.primary.id.removeprefix("ecs-svc/")
    assert len(digits) == 19
    assert newest(scheduler, service).target_revision_arn == (
        f"arn:aws:ecs:eu-central-1:123456789012:service-revision/ki/api/{digits}"
    )
    assert len(newest(scheduler, service).arn.rpartition("/")[2]) == 21


@pytest.mark.parametrize(
    ("changes", "starts"),
    [
        pytest.param({"taskDefinition": "next"}, True, id="another task definition"),
        pytest.param({"taskDefinition": "good"}, False, id="the same task definition"),
        pytest.param({"forceNewDeployment": True}, True, id="force"),
        pytest.param({"desiredCount": 3}, False, id="desired count"),
        pytest.param({"deploymentConfiguration": {"maximumPercent": 150}}, False, id="percentages"),
        pytest.param({"healthCheckGracePeriodSeconds": 600}, False, id="grace period"),
        pytest.param({"enableExecuteCommand": True}, False, id="execute command"),
    ],
)
def test_only_some_changes_start_a_deployment(changes: dict[str, object], starts: bool) -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config())
    before = service.primary.id
    scheduler.update_service("api", changes, 1000.0)
    assert (service.primary.id != before) is starts
    assert len(service.service_deployment_arns) == 1 + starts


def test_scaling_out_and_in_leaves_the_deployment_completed() -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config())
    scheduler.update_service("api", {"desiredCount": 4}, 1000.0)
    scheduler.advance(2000.0)
    assert (service.running_count, service.steady) == (4, True)
    scheduler.update_service("api", {"desiredCount": 0}, 2000.0)
    scheduler.advance(3000.0)
    assert (service.running_count, service.steady) == (0, True)
    assert service.primary.rollout_state is RolloutState.COMPLETED


def test_a_deployment_of_nothing_completes_at_once() -> None:
    scheduler = cluster(World())
    service = scheduler.create_service(service_config(desired=0), 0.0)
    scheduler.advance(2.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL


def test_a_crash_loop_without_breaker_goes_on_and_counts() -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config(grace=600))
    scheduler.update_service("api", {"taskDefinition": "crash"}, 1000.0)
    scheduler.advance(1600.0)
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.IN_PROGRESS
    assert service.primary.rollout_state is RolloutState.IN_PROGRESS
    assert service.primary.failed_tasks > 20
    assert service.deployments[1].running_count == 2
    task = stopped(scheduler)[-1]
    assert task.stop_code is StopCode.ESSENTIAL_CONTAINER_EXITED
    assert task.stopped_reason == "Essential container in task exited"
    assert task.containers[0].exit_code == 1


def test_unhealthy_tasks_are_replaced_from_their_own_revision_and_it_is_told() -> None:
    flap = ContainerScript(load_seconds=5.0, unhealthy_windows=((2000.0, 9000.0),))
    world = World(flap=flap)
    scheduler = cluster(world, instances=6)
    service = steady_service(scheduler, service_config(image="flap", grace=0))
    scheduler.advance(2080.0 + 100)
    said = messages(service, 1500.0)
    assert any("is unhealthy in (target-group" in each for each in said)
    assert any(each.endswith("Amazon ECS replaced 2 tasks due to an unhealthy status.") for each in said)
    assert {task.stopped_reason for task in stopped(scheduler)} == {
        f"Task failed ELB health checks in (target-group {GROUP})"
    }
    assert {task.task_definition_arn for task in service.primary.tasks.values()} == {"flap"}


def test_a_task_that_dies_during_a_rollout_is_replaced_from_the_old_revision() -> None:
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config(maximum=150))
    old = service.primary
    scheduler.update_service("api", {"taskDefinition": "never"}, 1000.0)
    scheduler.advance(1100.0)
    scheduler.add_instance(ONE_GPU, now=1100.0)
    victim = next(iter(old.tasks.values()))
    scheduler.terminate_instance(victim.instance_arn or "", 1100.0)
    scheduler.advance(1102.0)
    assert sum(task.live for task in old.tasks.values()) == 2


def test_early_success_does_not_wait_for_all_tasks() -> None:
    criteria = {"enable": True, "healthyPercent": 50, "sourceServiceRevisionCleanup": "DEFERRED"}
    scheduler = cluster(World(), instances=3)
    service = steady_service(scheduler, service_config(configuration={"earlySuccessCriteria": criteria}))
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(1200.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL
    assert service.primary.rollout_state is RolloutState.IN_PROGRESS
    scheduler.advance(2000.0)
    assert service.primary.rollout_state is RolloutState.COMPLETED


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param({"bakeTimeInMinutes": 10}, 600.0, id="what is said"),
        pytest.param({}, 300.0, id="not said"),
        pytest.param({"bakeTimeInMinutes": 0}, 300.0, id="a 0 is not said"),
    ],
)
def test_alarms_add_a_bake_time(said: dict[str, int], seconds: float) -> None:
    configuration = {"alarms": {"enable": True, "alarmNames": ["a"]}, **said}
    scheduler = cluster(World(), instances=4)
    service = scheduler.create_service(service_config(configuration=configuration), 0.0)
    now = 0.0
    while newest(scheduler, service).lifecycle_stage != "BAKE_TIME":
        scheduler.advance(now := now + 1.0)
    scheduler.advance(now + seconds - 2.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.IN_PROGRESS
    scheduler.advance(now + seconds + 5.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL


def test_protected_tasks_hold_the_rollout_up() -> None:
    scheduler = cluster(World(), instances=4)
    service = steady_service(scheduler, service_config())
    scheduler.protect_task(next(iter(service.primary.tasks)), 5000.0, 1000.0)
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(2000.0)
    assert any("unable to scale in due to (reason 1 tasks under protection)" in m for m in messages(service))
    scheduler.advance(5100.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL


def test_a_daemon_runs_one_task_on_each_instance() -> None:
    scheduler = cluster(World(), instances=3)
    config = service_config(balanced=False, schedulingStrategy="DAEMON", configuration={})
    service = scheduler.create_service(config, 0.0)
    scheduler.advance(1000.0)
    assert len({task.instance_arn for task in service.primary.tasks.values()}) == 3
    scheduler.add_instance(ONE_GPU, now=1000.0)
    scheduler.advance(1100.0)
    assert service.running_count == 4


def test_deleting_a_service_drains_it_first() -> None:
    scheduler = cluster(World(), instances=2)
    service = steady_service(scheduler, service_config())
    with pytest.raises(InvalidParameter, match="scaled above 0"):
        scheduler.delete_service("api", 1000.0)
    scheduler.delete_service("api", 1000.0, force=True)
    assert service.status == "DRAINING"
    with pytest.raises(ServiceNotActive):
        scheduler.update_service("api", {}, 1001.0)
    scheduler.advance(2000.0)
    assert service.status == "INACTIVE"
    assert scheduler.inactive_services == {"api": service}
    scheduler.create_service(service_config(), 2000.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serviceName": ""}, "Service name can not be empty."),
        (
            {"loadBalancers": [{"targetGroupArn": GROUP, "containerName": "web", "containerPort": 1}]},
            "The container web does not exist in the task definition.",
        ),
        (
            {"loadBalancers": [{"targetGroupArn": GROUP, "containerName": "rag", "containerPort": 1}]},
            "The container rag did not have a container port 1 defined.",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "x"}]},
            "The specified capacity provider was not found.",
        ),
        ({"desiredCount": -1}, "desiredCount must be greater than or equal to 0."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_service_without_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SchedulerError) as caught:
        cluster(World()).create_service({**service_config(), **changes}, 0.0)
    assert caught.value.message == message


def test_an_unknown_service_is_refused() -> None:
    scheduler = cluster(World())
    with pytest.raises(ServiceNotFound, match=r"Service not found\."):
        scheduler.update_service("api", {}, 0.0)


def test_the_same_seed_gives_the_same_history_however_time_is_cut() -> None:
    def history(seed: int, step: float | None) -> list[tuple[float, str]]:
        scheduler = cluster(World(), instances=3, seed=seed)
        config = service_config(breaker={"enable": True, "rollback": True})
        service = steady_service(scheduler, config)
        scheduler.update_service("api", {"taskDefinition": "never"}, 1000.0)
        while step and scheduler.now < 4000:
            scheduler.advance(scheduler.now + step)
        scheduler.advance(4000.0)
        return [(event.created_at, event.message) for event in service.events]

    assert history(1, None) == history(1, 0.7) == history(1, 30.0)
    assert history(1, None) != history(2, None)


def test_time_never_goes_back() -> None:
    scheduler = cluster(World())
    scheduler.advance(100.0)
    scheduler.advance(50.0)
    assert scheduler.now == 100.0


def test_a_deployment_waits_until_its_old_tasks_have_drained() -> None:
    world = World()
    world.group = replace(world.group, deregistration_delay=300)
    scheduler = cluster(world, instances=4)
    service = steady_service(scheduler, service_config())
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(1300.0)
    assert [each.status for each in service.deployments] == ["PRIMARY", "DRAINING"]
    assert newest(scheduler, service).status is ServiceDeploymentStatus.IN_PROGRESS
    scheduler.advance(1500.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL
