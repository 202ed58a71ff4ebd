"""Placement strategies and constraints, capacity providers, managed scaling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from scheduler_world import ONE_GPU, World, cluster, messages, newest, service_config, stopped

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.scaling import packed, provider_for
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, InstanceTemplate
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus
from ecs_gpu_deploy.model import ServiceDeploymentStatus

FOUR_GPUS = replace(ONE_GPU, gpus=4, cpu=48_000, memory=180_000, instance_type="g5.12xlarge")
READY = ContainerScript(load_seconds=0.0)


def placed(strategy: list[dict[str, str]], desired: int = 4) -> Counter[int]:
    """Place tasks on four 4-GPU instances in zones a, b, a, b and give how many each got."""
    scheduler = cluster(World(), instances=4, template=FOUR_GPUS)
    order = list(scheduler.instances)
    service = scheduler.create_service(
        service_config(desired=desired, balanced=False, placementStrategy=strategy), 0.0
    )
    scheduler.advance(2.0)
    return Counter(order.index(task.instance_arn or "") for task in service.primary.tasks.values())


@pytest.mark.parametrize(
    ("strategy", "spread"),
    [
        pytest.param([], [1, 1, 1, 1], id="by default over the zones, then the emptiest"),
        pytest.param([{"type": "binpack", "field": "memory"}], [4], id="binpack fills one instance"),
        pytest.param([{"type": "spread", "field": "instanceId"}], [1, 1, 1, 1], id="spread over instances"),
        pytest.param(
            [
                {"type": "spread", "field": "attribute:ecs.availability-zone"},
                {"type": "binpack", "field": "cpu"},
            ],
            [2, 2],
            id="over the zones first, then packed in each",
        ),
    ],
)
def test_strategies(strategy: list[dict[str, str]], spread: list[int]) -> None:
    assert sorted(placed(strategy).values()) == spread


def test_random_placement_is_the_same_for_the_same_seed() -> None:
    assert placed([{"type": "random"}], 8) == placed([{"type": "random"}], 8)


def test_distinct_instances_take_one_task_each() -> None:
    scheduler = cluster(World(), instances=2, template=FOUR_GPUS)
    config = service_config(desired=3, balanced=False, placementConstraints=[{"type": "distinctInstance"}])
    service = scheduler.create_service(config, 0.0)
    scheduler.advance(10.0)
    assert len(service.primary.tasks) == 2
    assert "DistinctInstance placement constraint unsatisfied" in messages(service)[0]


def test_member_of_chooses_by_instance_type() -> None:
    scheduler = cluster(World(), instances=2)
    scheduler.add_instance(FOUR_GPUS, now=0.0)
    expression = "attribute:ecs.instance-type == g5.12xlarge"
    config = service_config(
        balanced=False, placementConstraints=[{"type": "memberOf", "expression": expression}]
    )
    service = scheduler.create_service(config, 0.0)
    scheduler.advance(2.0)
    assert {
        scheduler.instances[task.instance_arn or ""].template.instance_type
        for task in service.primary.tasks.values()
    } == {"g5.12xlarge"}


def test_two_tasks_on_one_instance_have_their_own_gpus_and_ports() -> None:
    scheduler = cluster(World(good=READY), instances=1, template=FOUR_GPUS)
    service = scheduler.create_service(service_config(desired=4), 0.0)
    scheduler.advance(60.0)
    containers = [task.containers[0] for task in service.primary.tasks.values()]
    assert {gpu for each in containers for gpu in each.gpu_ids} == set(
        next(iter(scheduler.instances.values())).gpu_ids
    )
    assert sorted(each.network_bindings[0].host_port for each in containers) == [32768, 32769, 32770, 32771]


def test_gpus_are_counted_per_instance_not_over_the_cluster() -> None:
    world = World()
    world.container = {"resourceRequirements": [{"type": "GPU", "value": "2"}]}
    scheduler = cluster(world, instances=4)
    service = scheduler.create_service(service_config(desired=1), 0.0)
    scheduler.advance(10.0)
    assert "insufficient GPU resource" in messages(service)[0]


@pytest.mark.parametrize(
    ("template", "container", "words"),
    [
        (ONE_GPU, {"memory": 20_000}, "has insufficient memory available."),
        (ONE_GPU, {"cpu": 9000}, "has insufficient CPU units available."),
        (replace(ONE_GPU, gpus=0), {}, "has insufficient GPU resource available."),
        (
            ONE_GPU,
            {"portMappings": [{"containerPort": 8000, "hostPort": 22}]},
            "is already using a port required by your task.",
        ),
    ],
    ids=["memory", "cpu", "gpu", "port"],
)
def test_the_closest_instance_tells_what_it_lacks(
    template: InstanceTemplate, container: dict[str, Any], words: str
) -> None:
    world = World()
    world.container = container
    scheduler = cluster(world, instances=1, template=template)
    service = scheduler.create_service(service_config(desired=1), 0.0)
    scheduler.advance(10.0)
    [message] = messages(service)
    [instance] = scheduler.instances.values()
    assert f"The closest matching container-instance {instance.instance_id} {words}" in message


def test_a_cluster_without_instances_says_so() -> None:
    scheduler = cluster(World())
    service = scheduler.create_service(service_config(), 0.0)
    scheduler.advance(10.0)
    assert "Reason: No Container Instances were found in your cluster." in messages(service)[0]


def scaled(scheduler: Scheduler, **settings: Any) -> CapacityProvider:
    """Add a capacity provider of one-GPU instances."""
    given = {"name": "gpu", "template": ONE_GPU, "launch_seconds": 180.0, **settings}
    return scheduler.put_capacity_provider(CapacityProvider(**given), 0.0)


def on_provider(**more: Any) -> dict[str, Any]:
    config = service_config(**more)
    del config["launchType"]
    return {**config, "capacityProviderStrategy": [{"capacityProvider": "gpu", "weight": 1}]}


def test_managed_scaling_launches_two_from_zero_and_then_what_is_needed() -> None:
    scheduler = cluster(World(good=READY))
    scaled(scheduler)
    service = scheduler.create_service(on_provider(desired=1), 0.0)
    scheduler.advance(100.0)
    task = next(iter(service.primary.tasks.values()))
    assert (task.last_status, task.containers) == (TaskStatus.PROVISIONING, ())
    assert not any("unable to place" in each for each in messages(service))
    scheduler.advance(239.0)
    assert len(scheduler.instances) == 0
    scheduler.advance(250.0)
    assert len(scheduler.instances) == 2
    scheduler.advance(300.0)
    assert task.last_status is TaskStatus.RUNNING
    scheduler.update_service("api", {"desiredCount": 4}, 300.0)
    scheduler.advance(900.0)
    assert len(scheduler.instances) == 4
    assert service.steady


def test_instances_that_stay_idle_are_taken_away() -> None:
    scheduler = cluster(World(good=READY))
    scaled(scheduler)
    service = scheduler.create_service(on_provider(desired=2), 0.0)
    scheduler.advance(600.0)
    scheduler.update_service("api", {"desiredCount": 0}, 600.0)
    scheduler.advance(1500.0)
    assert len(scheduler.instances) == 2
    scheduler.advance(1700.0)
    assert len(scheduler.instances) == 0
    assert service.steady


def test_a_group_at_its_maximum_leaves_tasks_provisioning_for_30_minutes() -> None:
    scheduler = cluster(World(good=READY))
    scaled(scheduler, max_size=2)
    service = scheduler.create_service(on_provider(desired=2), 0.0)
    scheduler.advance(1000.0)
    scheduler.update_service("api", {"forceNewDeployment": True}, 1000.0)
    scheduler.advance(1001.0 + 1799)
    assert sum(task.last_status is TaskStatus.PROVISIONING for task in service.primary.tasks.values()) == 2
    scheduler.advance(1001.0 + 1801)
    gone = stopped(scheduler)
    assert {(task.stop_code, task.stopped_reason, task.containers) for task in gone} == {
        (StopCode.TASK_FAILED_TO_START, "TaskFailedToStart: RESOURCE:GPU", ())
    }
    assert "(service api) was unable to place a task. Reason: TaskFailedToStart: RESOURCE:GPU." in messages(
        service
    )
    assert service.primary.failed_tasks == 2
    assert service.running_count == 2


def test_when_ec2_has_none_of_the_type_nothing_arrives() -> None:
    scheduler = cluster(World(good=READY))
    provider = scaled(scheduler, ec2_capacity=0)
    service = scheduler.create_service(on_provider(desired=1), 0.0)
    scheduler.advance(1000.0)
    assert len(scheduler.instances) == 0
    provider.ec2_capacity = None
    scheduler.advance(1800.0)
    assert service.running_count == 1


def test_a_task_that_no_instance_of_the_type_can_hold_launches_nothing() -> None:
    world = World()
    world.container = {"resourceRequirements": [{"type": "GPU", "value": "8"}]}
    scheduler = cluster(world)
    scaled(scheduler)
    scheduler.create_service(on_provider(desired=1), 0.0)
    scheduler.advance(1000.0)
    assert len(scheduler.instances) == 0


def test_a_provider_without_managed_scaling_fails_at_once() -> None:
    scheduler = cluster(World())
    scaled(scheduler, managed_scaling=False)
    service = scheduler.create_service(on_provider(desired=1), 0.0)
    scheduler.advance(10.0)
    assert "Reason: No Container Instances were found in your capacity provider." in messages(service)[0]
    assert not service.primary.tasks


def test_no_more_than_500_tasks_wait() -> None:
    scheduler = cluster(World())
    scaled(scheduler, max_size=0)
    service = scheduler.create_service(on_provider(desired=600), 0.0)
    scheduler.advance(30.0)
    assert len(service.primary.tasks) == 500
    assert "tasks provisioning capacity limit was exceeded" in messages(service)[0]


def test_old_tasks_make_room_for_waiting_ones_as_far_as_health_allows() -> None:
    scheduler = cluster(World(good=READY, next=READY))
    scaled(scheduler, max_size=2)
    service = scheduler.create_service(on_provider(desired=2, minimum=50), 0.0)
    scheduler.advance(1000.0)
    scheduler.update_service("api", {"taskDefinition": "next"}, 1000.0)
    scheduler.advance(1500.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.SUCCESSFUL


def test_the_minimum_of_a_group_is_there_from_the_start() -> None:
    scheduler = cluster(World())
    scaled(scheduler, min_size=3)
    scheduler.advance(200.0)
    assert len(scheduler.instances) == 3
    scheduler.terminate_instance(next(iter(scheduler.instances)), 200.0, reason="spot")
    scheduler.advance(400.0)
    assert len(scheduler.instances) == 3


def test_base_and_weight_share_tasks_between_providers() -> None:
    strategy = [
        {"capacityProvider": "on-demand", "base": 2, "weight": 1},
        {"capacityProvider": "spot", "weight": 3},
    ]
    counted: Counter[str] = Counter()
    for _ in range(10):
        counted[str(provider_for(strategy, counted))] += 1
    assert counted == {"on-demand": 4, "spot": 6}


def test_packing_counts_fresh_instances() -> None:
    world = World()
    scheduler = cluster(world, instances=8)
    service = scheduler.create_service(service_config(desired=5, balanced=False), 0.0)
    scheduler.advance(2.0)
    asked = [task.requirement for task in service.primary.tasks.values()]
    assert packed(FOUR_GPUS, asked) == 2
    assert packed(replace(FOUR_GPUS, gpus=0), asked) is None
