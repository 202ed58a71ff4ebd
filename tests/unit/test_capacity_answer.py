"""Will it fit: each answer with its reason, and what would let it where it stands still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.capacity.answer import Fit, capacity_of
from ecs_gpu_deploy.core.capacity.fit import Allocation, HostPort, Requirement, Room
from ecs_gpu_deploy.core.capacity.gpus import GpuKind, GpuRequest
from ecs_gpu_deploy.core.capacity.percents import (
    limits_for,
    maximum_to_add,
    minimum_to_free,
)
from ecs_gpu_deploy.core.capacity.rebalancing import rebalancing_of
from ecs_gpu_deploy.core.capacity.remedies import remedies_of
from ecs_gpu_deploy.core.capacity.situation import OldTask, Place, Situation, Supply
from ecs_gpu_deploy.core.capacity.walk import walk

ONE = GpuRequest(kind=GpuKind.COUNT, count=1)


def wants(gpus: int = 1, **more: object) -> Requirement:
    request = GpuRequest(kind=GpuKind.COUNT, count=gpus)
    return Requirement(cpu=1024, memory=8000, gpus=(("rag", request),), **more)  # type: ignore[arg-type]


def room(gpus: int, used: int = 0, **more: object) -> Room:
    ids = [f"GPU-{number}" for number in range(gpus)]
    values = {
        "cpu": 4096 - 1024 * used,
        "memory": 32_000 - 8000 * used,
        "gpus": {gpu: 0.0 if number < used else 1.0 for number, gpu in enumerate(ids)},
        "gpu_capacity": dict.fromkeys(ids, 1.0),
    }
    return Room(**{**values, **more})  # type: ignore[arg-type]


def place(number: int, gpus: int = 1, used: int = 0, **more: object) -> Place:
    given = more.pop("room", room(gpus, used))
    values = {
        "arn": f"ci/{number}",
        "name": f"i-{number}",
        "room": given,
        "whole": room(gpus),
        "zone": "ab"[number % 2],
        "tasks": used,
        "instance_type": "g5.xlarge",
    }
    return Place(**{**values, **more})  # type: ignore[arg-type]


def old(number: int, on: int, gpu: str = "GPU-0", *, can_stop: bool = True) -> OldTask:
    return OldTask(
        arn=f"t/{number}",
        place=f"ci/{on}",
        allocation=Allocation(
            cpu=1024, memory=8000, gpus=(("rag", ONE, (gpu,)),), ports=(), network_interfaces=0
        ),
        created_at=float(number),
        can_stop=can_stop,
    )


def situation(
    places: list[Place],
    tasks: list[OldTask],
    *,
    desired: int = 2,
    minimum: int = 100,
    maximum: int = 200,
    **more: object,
) -> Situation:
    values = {
        "limits": limits_for(desired, minimum=minimum, maximum=maximum),
        "minimum": minimum,
        "maximum": maximum,
        "requirement": wants(),
        "places": places,
        "old": tasks,
    }
    return Situation(**{**values, **more})  # type: ignore[arg-type]


FULL = [place(0, used=1), place(1, used=1)]
OLD = [old(0, 0), old(1, 1)]


def test_a_free_gpu_a_task_is_enough() -> None:
    found = capacity_of(situation([*FULL, place(2), place(3)], OLD))
    assert found.fit is Fit.FITS
    assert found.why == "2 new tasks find a place beside the old ones."
    assert found.walk.fewest == 2
    assert found.walk.most == 4


def test_one_spare_gpu_crawls_one_by_one() -> None:
    found = capacity_of(situation([*FULL, place(2)], OLD))
    assert found.fit is Fit.CRAWLS
    assert found.walk.waves == 2
    assert found.why == (
        "New tasks wait for the room of old ones, in 2 waves: 2 of 3 instances have too few free GPUs; 1 has "
        "room for one more at least. 2 of 2 serve at the least."
    )
    [remedy] = remedies_of(situation([*FULL, place(2)], OLD))
    assert (remedy.code, remedy.instances, remedy.fit) == ("instances", 1, Fit.FITS)


def test_full_gpus_at_100_percent_stand_still_and_two_settings_would_let_it() -> None:
    given = situation(FULL, OLD)
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert found.why == (
        "2 new tasks find no place: 2 of 2 instances have too few free GPUs. minimumHealthyPercent 100 keeps "
        "the 2 old tasks."
    )
    told = [(each.change, each.fit, each.less, each.instances) for each in remedies_of(given)]
    assert told == [
        (
            "Set minimumHealthyPercent to 50 (100 now): 1 old task may stop first.",
            Fit.CRAWLS,
            1,
            0,
        ),
        ("Add 1 instance (g5.xlarge) for the rollout.", Fit.CRAWLS, 0, 1),
    ]


def test_percentages_alone_can_stand_in_the_way() -> None:
    given = situation([*FULL, place(2), place(3)], [old(0, 0), old(1, 1)], desired=2, minimum=75, maximum=125)
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert found.why == (
        "minimumHealthyPercent 75 keeps 2 of 2 tasks and maximumPercent 125 allows 2: nothing may stop, and "
        "nothing start."
    )
    assert [each.code for each in remedies_of(given)] == ["minimum-healthy-percent", "maximum-percent"]


def test_two_halves_of_room_are_no_room() -> None:
    places = [place(0, gpus=2, used=1), place(1, gpus=2, used=1)]
    found = capacity_of(situation(places, [], desired=1, requirement=wants(2)))
    assert found.fit is Fit.NEVER
    assert "2 of 2 instances have too few free GPUs" in found.why


def test_more_gpus_than_any_instance_has() -> None:
    given = situation([place(0, used=1), place(1)], [old(0, 0)], desired=1, requirement=wants(4))
    assert capacity_of(given).fit is Fit.NEVER
    assert [each.change for each in remedies_of(given)] == [
        "Ask for 1 GPU a task: the largest instance here has no more."
    ]


@pytest.mark.parametrize(("more", "fit"), [(0, Fit.NEVER), (1, Fit.SCALES), (5, Fit.SCALES)])
def test_the_group_s_maximum_decides_where_a_provider_scales(more: int, fit: Fit) -> None:
    supply = Supply(name="gpu", managed=True, fresh=room(1), more=more, instance_type="g5.xlarge")
    places = [replace(each, provider="gpu") for each in FULL]
    given = situation(places, OLD, supplies=[supply])
    found = capacity_of(given)
    assert found.fit is fit
    assert dict(found.walk.launched) == ({"gpu": min(more, 2)} if more else {})
    if not more:
        assert [each.change for each in remedies_of(given)] == [
            "Set minimumHealthyPercent to 50 (100 now): 1 old task may stop first.",
            "Raise the maximum of gpu's Auto Scaling group by 1 (g5.xlarge).",
        ]


def test_instances_of_another_provider_do_not_count() -> None:
    supply = Supply(name="gpu", managed=False)
    given = situation([place(0, provider="cpu")], [], desired=1, supplies=[supply])
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert found.why == "1 new task finds no place: there is no instance."


@pytest.mark.parametrize("state", ["active", "agent_connected"])
def test_an_instance_that_takes_no_task_is_none(state: str) -> None:
    idle = place(2, room=room(1, **{state: False}))
    given = situation([*FULL, idle], OLD)
    assert capacity_of(given).fit is Fit.NEVER
    told = remedies_of(given)
    assert told[-1].change == "Bring back 1 instance that takes no task now: i-2."


def test_a_static_port_takes_one_task_an_instance() -> None:
    busy = place(0, gpus=4, room=room(4, used_ports={(8000, "tcp")}))
    requirement = wants(ports=(HostPort(port=8000),))
    found = capacity_of(situation([busy], [], desired=1, requirement=requirement))
    assert found.why == "1 new task finds no place: 1 of 1 instance has the host port in use."


def test_network_interfaces_count_where_they_are_known() -> None:
    busy = place(0, gpus=4, room=room(4, network_interfaces=0))
    found = capacity_of(situation([busy], [], desired=1, requirement=wants(network_interfaces=1)))
    assert found.why == "1 new task finds no place: 1 of 1 instance has no free network interface."


def in_zone(number: int, zone: str, used: int = 0) -> Place:
    at = {"ecs.availability-zone": zone}
    whole = room(1, attributes=at)
    return place(number, room=room(1, used, attributes=at), whole=whole, zone=zone, tasks=used)


def test_room_in_a_zone_without_a_subnet_is_none() -> None:
    places = [in_zone(0, "a", 1), in_zone(1, "a", 1), in_zone(2, "b"), in_zone(3, "b")]
    given = situation(places, OLD, requirement=wants(zones=("a",)))
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert "2 of 4 instances are in a zone where no subnet of the service is" in found.why
    assert [each.change for each in remedies_of(given)][1:] == [
        "Add 1 instance (g5.xlarge in a) for the rollout.",
        "Give the service a subnet in b: instances with room are there, and its subnets lie in a.",
    ]
    assert capacity_of(replace(given, requirement=wants(zones=("a", "b")))).fit is Fit.FITS


@pytest.mark.parametrize(
    ("zones", "fit", "launched"),
    [(("a",), Fit.SCALES, 2), (("a", "b"), Fit.SCALES, 5), (("b",), Fit.NEVER, 0), ((), Fit.SCALES, 2)],
)
def test_a_group_launches_until_instances_came_where_a_subnet_is(
    zones: tuple[str, ...], fit: Fit, launched: int
) -> None:
    supply = Supply(name="gpu", managed=True, fresh=room(1), more=8, zones=zones)
    places = [replace(in_zone(n, "a", 1), provider="gpu") for n in range(2)]
    found = capacity_of(situation(places, OLD, requirement=wants(zones=("a",)), supplies=[supply]))
    assert (found.fit, found.walk.launched.get("gpu", 0)) == (fit, launched)


def test_a_daemon_at_100_percent_stands_still_and_only_the_minimum_would_let_it() -> None:
    given = situation([*FULL], OLD, maximum=100, distinct=True, daemon=True)
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert "maximumPercent 100 allows 2: nothing may stop, and nothing start" in found.why
    assert [each.code for each in remedies_of(given)] == ["minimum-healthy-percent"]


def test_a_daemon_goes_instance_by_instance_where_an_old_task_may_stop() -> None:
    found = capacity_of(situation([*FULL], OLD, minimum=50, maximum=100, distinct=True, daemon=True))
    assert (found.fit, found.walk.waves, found.walk.fewest) == (Fit.CRAWLS, 2, 1)


@pytest.mark.parametrize(("target", "launched"), [(100, 2), (80, 3), (50, 6)])
def test_below_a_target_of_100_percent_spare_instances_come_too(target: int, launched: int) -> None:
    supply = Supply(name="gpu", managed=True, fresh=room(1), more=8, target=target)
    places = [replace(each, provider="gpu") for each in FULL]
    found = capacity_of(situation(places, OLD, supplies=[supply]))
    assert found.walk.launched == {"gpu": launched}


def test_managed_scaling_that_is_off_launches_none() -> None:
    supply = Supply(name="gpu", managed=False, fresh=room(1), more=0)
    places = [replace(each, provider="gpu") for each in FULL]
    given = situation(places, OLD, supplies=[supply])
    assert capacity_of(given).fit is Fit.NEVER
    assert [each.code for each in remedies_of(given)] == ["minimum-healthy-percent", "instances"]


def test_tasks_go_to_the_provider_of_base_and_weight_even_where_another_has_room() -> None:
    supplies = [Supply(name="spot", base=1, weight=0, fresh=room(1)), Supply(name="gpu", fresh=room(1))]
    places = [*(replace(each, provider="gpu") for each in FULL), replace(place(2), provider="spot")]
    found = capacity_of(situation([*places, replace(place(3), provider="spot")], OLD, supplies=supplies))
    assert (found.fit, found.walk.waves) == (Fit.CRAWLS, 2)
    assert found.walk.places[0] == "ci/2"


@pytest.mark.parametrize(
    ("spare", "maximum", "told"),
    [
        (["a", "a"], 200, "no instance there has room for it"),
        (["a", "a", "b"], 200, ""),
        ([], 100, "maximumPercent 100 allows no task more"),
    ],
)
def test_what_rebalancing_needs_after_the_rollout(spare: list[str], maximum: int, told: str) -> None:
    places = [in_zone(0, "a", 1), in_zone(1, "a", 1), *(in_zone(n, z) for n, z in enumerate(spare, 2))]
    beside = replace(in_zone(9, "b"), room=room(1, 1, attributes={"ecs.availability-zone": "b"}), tasks=1)
    given = situation([*places, beside], OLD, minimum=0, maximum=maximum)
    found = rebalancing_of(given, walk(given))
    assert (found.message if found else "").endswith(f"{told}." if told else "")
    assert (found is None) is not told


def test_an_old_task_of_a_silent_agent_never_leaves() -> None:
    given = situation([*FULL, place(2), place(3)], [old(0, 0), old(1, 1, can_stop=False)])
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert found.why.startswith("1 old task cannot leave")


def test_stages_want_all_of_it_at_once() -> None:
    given = situation([*FULL, place(2)], OLD, staged=True)
    found = capacity_of(given)
    assert found.fit is Fit.NEVER
    assert found.why.endswith("The new revision must run whole beside the old one (strategy of the service).")
    assert [each.code for each in remedies_of(given)] == ["instances", "strategy"]


def test_distinct_instances_take_one_each() -> None:
    large = place(0, gpus=4)
    assert capacity_of(situation([large], [], desired=2)).fit is Fit.FITS
    assert capacity_of(situation([large], [], desired=2, distinct=True)).fit is Fit.NEVER


def test_bases_come_before_weights() -> None:
    supplies = [Supply(name="a", base=1, weight=0), Supply(name="b", weight=1)]
    places = [place(0, provider="a"), place(1, provider="b"), place(3, provider="b")]
    found = walk(situation(places, [], desired=3, supplies=supplies))
    assert found.places == ("ci/0", "ci/1", "ci/3")


@pytest.mark.parametrize("desired", range(1, 8))
def test_the_percentages_that_let_one_go_or_come_are_the_closest_ones(desired: int) -> None:
    lowered = minimum_to_free(desired)
    assert limits_for(desired, minimum=lowered, maximum=100).lower < desired
    assert limits_for(desired, minimum=lowered + 1, maximum=100).lower >= desired
    raised = maximum_to_add(desired)
    assert limits_for(desired, minimum=100, maximum=raised).upper > desired
    assert limits_for(desired, minimum=100, maximum=raised - 1).upper <= desired


def test_the_fewest_that_help_are_found_among_hundreds() -> None:
    remedies = remedies_of(situation([place(0)], [], desired=300))
    assert [each.change for each in remedies if each.code == "instances"] == [
        "Add 299 instances (g5.xlarge) for the rollout."
    ]
