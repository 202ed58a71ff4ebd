"""Which instance takes a task, and what RunTask says of those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from scheduler_world import ONE_GPU, World, cluster, service_config

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, InstanceTemplate

LARGE = replace(ONE_GPU, gpus=4, cpu=16_000, memory=64_000, instance_type="g5.12xlarge")
READY = ContainerScript(load_seconds=0.0)


def with_instances(*templates: InstanceTemplate, zones: str = "", world: World | None = None) -> Scheduler:
    """Give a cluster with these instances, in zones a, b, a … or in those that are named."""
    scheduler = cluster(world or World(good=READY))
    for number, template in enumerate(templates):
        zone = zones[number] if zones else None
        scheduler.add_instance(template, now=0.0, availability_zone=zone)
    return scheduler


def run(
    scheduler: Scheduler, count: int = 1, *, at: float = 0.0, **request: Any
) -> tuple[list[int], list[tuple[int, str]]]:
    """Run tasks; give the number of the instance of each one, and the failures by instance."""
    order = list(scheduler.instances)
    asked = {"taskDefinition": "good", "count": count, "launchType": "EC2", **request}
    tasks, failures = scheduler.run_task(asked, at)
    return (
        [order.index(task.instance_arn or "") for task in tasks],
        [(order.index(failure.arn), failure.reason) for failure in failures],
    )


def spread(field: str) -> dict[str, str]:
    return {"type": "spread", "field": field}


def binpack(field: str) -> dict[str, str]:
    return {"type": "binpack", "field": field}


SMALL_CPU = replace(LARGE, cpu=5000)
SMALL_MEMORY = replace(LARGE, memory=20_000)
RACK = [replace(LARGE, attributes={"rack": rack} if rack else {}) for rack in ("r1", "r1", "r2", None)]


@pytest.mark.parametrize(
    ("templates", "zones", "strategy", "placed"),
    [
        pytest.param(
            [LARGE] * 3, "aab", [], [0, 2, 1, 2], id="by default over the zones, the emptiest of each"
        ),
        pytest.param([LARGE, LARGE, SMALL_CPU], "", [binpack("cpu")], [2, 2, 2, 2], id="the least CPU"),
        pytest.param(
            [LARGE, SMALL_MEMORY], "", [binpack("memory")], [1, 1, 0, 0], id="the least memory, while it fits"
        ),
        pytest.param(
            [LARGE, SMALL_CPU, SMALL_MEMORY], "", [binpack("MEMORY")], [2, 2, 0, 0], id="in capitals"
        ),
        pytest.param([LARGE] * 2, "aa", [spread("instanceId")], [0, 1, 0, 1], id="over the instances"),
        pytest.param([LARGE] * 2, "aa", [spread("host")], [0, 1, 0, 1], id="host means instance"),
        pytest.param(
            [LARGE] * 2, "aa", [{"type": "SPREAD"}], [0, 1, 0, 1], id="spread over nothing: instances"
        ),
        pytest.param(RACK, "aaaa", [spread("attribute:rack")], [0, 2, 3, 1], id="over an attribute"),
        pytest.param(RACK, "aaaa", [spread("rack")], [0, 2, 3, 1], id="an attribute without its prefix"),
        pytest.param(
            [LARGE] * 4,
            "abab",
            [spread("attribute:ecs.availability-zone"), spread("instanceId")],
            [0, 1, 2, 3],
            id="over zones, then over the instances of a zone",
        ),
        pytest.param(
            [LARGE, SMALL_CPU, LARGE, SMALL_CPU],
            "aabb",
            [spread("attribute:ecs.availability-zone"), binpack("cpu")],
            [1, 3, 1, 3],
            id="over zones, then packed by CPU",
        ),
        pytest.param(
            [LARGE, SMALL_CPU, LARGE, SMALL_CPU],
            "aabb",
            [binpack("cpu"), spread("attribute:ecs.availability-zone")],
            [1, 1, 1, 1],
            id="packed by CPU, then over zones",
        ),
    ],
)
def test_the_strategies_choose_one_after_the_other(
    templates: Sequence[InstanceTemplate], zones: str, strategy: list[dict[str, str]], placed: list[int]
) -> None:
    scheduler = with_instances(*templates, zones=zones)
    assert run(scheduler, 4, placementStrategy=strategy) == (placed, [])


def test_a_spread_counts_the_tasks_of_its_own_group_that_live() -> None:
    scheduler = with_instances(LARGE, LARGE, LARGE, zones="aaa")
    by_instance = {"placementStrategy": [spread("instanceId")]}
    assert run(scheduler, 2, group="one", **by_instance)[0] == [0, 1]
    assert run(scheduler, 1, group="two", **by_instance)[0] == [2], (
        "the emptiest of those with none of its group"
    )
    assert run(scheduler, 1, group="two", **by_instance)[0] == [0]
    assert run(scheduler, 1, group="one", **by_instance)[0] == [2]
    first = next(iter(scheduler.tasks))
    scheduler.stop_task(first, "", 1.0)
    assert run(scheduler, 1, at=1.0, group="one", **by_instance)[0] == [0], "what stops does not count"


def test_random_placement_uses_all_instances_and_only_those_with_room() -> None:
    scheduler = with_instances(*[LARGE] * 3, replace(LARGE, gpus=0))
    placed, failures = run(scheduler, 10, placementStrategy=[{"type": "random"}])
    assert set(placed) == {0, 1, 2}
    assert failures == []


def test_distinct_instances_count_the_group_and_what_lives_of_it() -> None:
    scheduler = with_instances(LARGE, LARGE)
    distinct = {"placementConstraints": [{"type": "distinctInstance"}], "group": "one"}
    unsatisfied = "DistinctInstance placement constraint unsatisfied."
    assert run(scheduler, 1, **distinct) == ([0], [])
    assert run(scheduler, 2, **distinct) == ([1], [(0, unsatisfied), (1, unsatisfied)])
    assert run(scheduler, 1, **{**distinct, "group": "two"}) == ([0], [])
    scheduler.stop_task(next(iter(scheduler.tasks)), "", 1.0)
    assert run(scheduler, 1, at=1.0, **distinct) == ([0], [])


def test_without_the_constraint_one_instance_takes_several_of_a_group() -> None:
    scheduler = with_instances(LARGE)
    assert run(scheduler, 4, group="one")[0] == [0, 0, 0, 0]


def test_the_closest_instance_comes_first_and_one_that_is_no_candidate_last() -> None:
    no_gpu_no_memory = replace(LARGE, gpus=0, memory=1000)
    scheduler = with_instances(LARGE, no_gpu_no_memory, LARGE, replace(LARGE, gpus=0), LARGE)
    order = list(scheduler.instances)
    scheduler.set_instance_status(order[0], "DRAINING", 0.0)
    scheduler.set_agent_connected(order[2], False, 0.0)
    world_full = run(scheduler, 4)
    assert world_full == ([4, 4, 4, 4], [])
    assert run(scheduler, 1) == (
        [],
        [(3, "RESOURCE:GPU"), (4, "RESOURCE:GPU"), (1, "RESOURCE:GPU"), (0, "INACTIVE"), (2, "AGENT")],
    )


def test_an_instance_without_a_required_attribute_is_no_candidate() -> None:
    world = World(good=READY)
    world.definition = {"requiresAttributes": [{"name": "rack", "value": "r1"}]}
    scheduler = with_instances(RACK[2], replace(RACK[0], gpus=0, memory=1), world=world)
    assert run(scheduler, 1) == ([], [(1, "RESOURCE:GPU"), (0, "ATTRIBUTE")])


def test_what_lacks_most_is_furthest_though_it_stands_first() -> None:
    scheduler = with_instances(replace(LARGE, gpus=0, cpu=10), replace(LARGE, cpu=10), replace(LARGE, gpus=0))
    assert run(scheduler, 1) == ([], [(1, "RESOURCE:CPU"), (2, "RESOURCE:GPU"), (0, "RESOURCE:GPU")])


def test_a_task_goes_to_the_instances_of_its_own_capacity_provider() -> None:
    scheduler = cluster(World(good=READY))
    for name in ("gpu", "spot"):
        provider = CapacityProvider(name=name, template=LARGE, managed_scaling=False)
        scheduler.put_capacity_provider(provider, 0.0)
        scheduler.add_instance(LARGE, now=0.0, capacity_provider=name)
    strategy = [{"capacityProvider": "spot", "weight": 1}]
    assert run(scheduler, 2, launchType=None, capacityProviderStrategy=strategy) == ([1, 1], [])
    scheduler.set_instance_status(list(scheduler.instances)[1], "DRAINING", 0.0)
    assert run(scheduler, 1, launchType=None, capacityProviderStrategy=strategy) == ([], [(1, "INACTIVE")])


def waiting(world: World, **config: Any) -> Scheduler:
    """Give a cluster whose capacity provider has launched nothing while two tasks of a service wait."""
    scheduler = cluster(world)
    provider = CapacityProvider(name="gpu", template=LARGE, launch_seconds=10_000.0)
    scheduler.put_capacity_provider(provider, 0.0)
    settings = service_config(balanced=False, **config)
    del settings["launchType"]
    strategy = [{"capacityProvider": "gpu", "weight": 1}]
    scheduler.create_service({**settings, "capacityProviderStrategy": strategy}, 0.0)
    scheduler.advance(10.0)
    return scheduler


def test_waiting_tasks_are_placed_as_their_service_asks_once_instances_come() -> None:
    scheduler = waiting(World(good=READY), placementConstraints=[{"type": "distinctInstance"}])
    scheduler.add_instance(LARGE, now=20.0)
    scheduler.advance(25.0)
    assert [task.instance_arn for task in scheduler.tasks.values()] == [None, None], "not of their provider"
    scheduler.add_instance(LARGE, now=30.0, capacity_provider="gpu")
    scheduler.advance(35.0)
    assert sum(task.instance_arn is not None for task in scheduler.tasks.values()) == 1
    scheduler.add_instance(LARGE, now=40.0, capacity_provider="gpu")
    scheduler.advance(45.0)
    assert len({task.instance_arn for task in scheduler.tasks.values()}) == 2


def test_waiting_tasks_are_packed_where_their_service_packs() -> None:
    scheduler = waiting(World(good=READY), desired=3, placementStrategy=[binpack("memory")])
    for _ in range(2):
        scheduler.add_instance(LARGE, now=20.0, capacity_provider="gpu")
    scheduler.advance(30.0)
    assert len({task.instance_arn for task in scheduler.tasks.values()}) == 1


def test_a_task_that_waited_in_vain_says_what_the_closest_instance_lacked() -> None:
    scheduler = waiting(World(good=READY))
    scheduler.add_instance(replace(LARGE, gpus=0, memory=10), now=20.0, capacity_provider="gpu")
    scheduler.add_instance(replace(LARGE, memory=10), now=20.0, capacity_provider="gpu")
    scheduler.advance(1900.0)
    reasons = {task.stopped_reason for task in scheduler.tasks.values() if task.stopped_reason}
    assert reasons == {"TaskFailedToStart: RESOURCE:MEMORY"}


def test_a_task_that_waited_for_instances_that_never_came_says_so() -> None:
    scheduler = waiting(World(good=READY))
    scheduler.advance(1900.0)
    reasons = {task.stopped_reason for task in scheduler.tasks.values() if task.stopped_reason}
    assert reasons == {"TaskFailedToStart: EMPTY CAPACITY PROVIDER"}
