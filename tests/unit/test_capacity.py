"""What fits on one container instance."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.cluster_query import QuerySubject, predicate_of
from ecs_gpu_deploy.core.capacity.fit import (
    Room,
    Shortfall,
    allocate,
    fits,
    release,
    requirement_of,
    room_of,
    shortfalls,
)
from ecs_gpu_deploy.core.capacity.gpus import gpu_request_of


def task(*gpus: Any, **definition: Any) -> dict[str, Any]:
    """Give a task definition with one container per GPU value (None: no GPU)."""
    containers = [
        {
            "name": f"c{number}",
            "cpu": 1024,
            "memory": 4000,
            **({"resourceRequirements": [{"type": "GPU", **gpu}]} if gpu else {}),
        }
        for number, gpu in enumerate(gpus or (None,))
    ]
    return {"containerDefinitions": containers, **definition}


def whole(value: str) -> dict[str, Any]:
    return {"value": value}


def share(mib: int) -> dict[str, Any]:
    return {"sharingStrategy": {"nvidiaMps": {"memory": mib}}}


def room(*free: float, **more: Any) -> Room:
    gpus = {f"GPU-{number}": amount for number, amount in enumerate(free)}
    given: dict[str, Any] = {"cpu": 8192, "memory": 32_000, "gpus": gpus}
    given["gpu_capacity"] = dict.fromkeys(gpus, 1.0)
    given["gpu_memory"] = dict.fromkeys(gpus, 24_000)
    return Room(**{**given, **more})


@pytest.mark.parametrize(
    ("definition", "free", "lacking"),
    [
        pytest.param(task(whole("1")), room(1.0), (), id="one GPU fits on a free one"),
        pytest.param(task(whole("1")), room(0.0), (Shortfall.GPU,), id="one GPU does not fit on a used one"),
        pytest.param(task(whole("2")), room(1.0, 0.0, 1.0), (), id="two GPUs fit on any two free ones"),
        pytest.param(task(whole("1"), whole("1")), room(1.0), (Shortfall.GPU,), id="two containers need two"),
        pytest.param(task(whole("0")), room(), (), id="zero GPUs need none"),
        pytest.param(task(whole("ALL")), room(1.0, 1.0), (), id="ALL fits where all are free"),
        pytest.param(task(whole("all")), room(1.0, 0.0), (Shortfall.GPU,), id="ALL needs every one free"),
        pytest.param(task(whole("ALL")), room(), (Shortfall.GPU,), id="ALL of none is not a GPU"),
        pytest.param(task(whole("0.25")), room(0.25), (), id="a fraction fits into what is left"),
        pytest.param(task(whole("0.5")), room(0.25), (Shortfall.GPU,), id="a fraction may be too large"),
        pytest.param(
            task(whole("0.125"), whole("0.125")),
            room(0.125, gpu_capacity={"GPU-0": 0.125}),
            (Shortfall.GPU,),
            id="an eighth of a GPU holds one eighth",
        ),
        pytest.param(
            task(whole("1")),
            room(0.5, gpu_capacity={"GPU-0": 0.5}),
            (Shortfall.GPU,),
            id="half a GPU is no whole GPU",
        ),
        pytest.param(task(share(20_000)), room(1.0), (), id="an MPS share fits into the GPU's memory"),
        pytest.param(task(share(30_000)), room(1.0), (Shortfall.GPU,), id="an MPS share may be too large"),
        pytest.param(task(cpu="16384"), room(), (Shortfall.CPU,), id="the task's own CPU counts"),
        pytest.param(task(cpu="2 vCPU", memory="40 GB"), room(), (Shortfall.MEMORY,), id="units are read"),
        pytest.param(
            task(whole("1")),
            room(0.0, cpu=0, memory=0),
            (Shortfall.GPU, Shortfall.MEMORY, Shortfall.CPU),
            id="all that lacks is listed, the GPU first",
        ),
        pytest.param(task(), room(agent_connected=False), (Shortfall.AGENT,), id="a silent agent takes none"),
        pytest.param(task(), room(active=False), (Shortfall.INACTIVE,), id="a draining instance takes none"),
        pytest.param(
            task(requiresAttributes=[{"name": "ecs.gpu-generation", "value": "ampere"}]),
            room(attributes={"ecs.gpu-generation": "turing"}),
            (Shortfall.ATTRIBUTE,),
            id="an attribute's value must match",
        ),
        pytest.param(
            task(requiresAttributes=[{"name": "ecs.capability.secrets.asm.environment-variables"}]),
            room(),
            (),
            id="agent capabilities are there unless said otherwise",
        ),
        pytest.param(
            task(requiresAttributes=[{"name": "ecs.capability.nvidia"}]),
            room(missing_attributes=frozenset({"ecs.capability.nvidia"})),
            (Shortfall.ATTRIBUTE,),
            id="an agent capability can be said to be missing",
        ),
        pytest.param(
            task(placementConstraints=[{"type": "memberOf", "expression": "attribute:gen == a10"}]),
            room(attributes={"gen": "t4"}),
            (Shortfall.MEMBER_OF,),
            id="a task definition's memberOf counts",
        ),
        pytest.param(
            task(networkMode="awsvpc"), room(network_interfaces=0), (Shortfall.ENI,), id="awsvpc needs an ENI"
        ),
    ],
)
def test_what_an_instance_lacks(
    definition: dict[str, Any], free: Room, lacking: tuple[Shortfall, ...]
) -> None:
    requirement = requirement_of(definition)
    assert shortfalls(requirement, free) == lacking
    assert fits(requirement, free) is not bool(lacking)


def test_a_static_port_is_taken_once_and_a_dynamic_one_is_chosen() -> None:
    ports = [{"containerPort": 8000, "hostPort": 80}, {"containerPort": 9000, "hostPort": 0}]
    definition = {"containerDefinitions": [{"name": "c", "portMappings": ports}]}
    requirement, free = requirement_of(definition), room()
    taken = allocate(requirement, free)
    assert [number for _, number in taken.ports] == [80, 32768]
    assert shortfalls(requirement, free) == (Shortfall.PORTS,)
    release(taken, free)
    assert fits(requirement, free)


def test_host_mode_binds_the_container_port_itself() -> None:
    definition = {
        "networkMode": "host",
        "containerDefinitions": [{"name": "c", "portMappings": [{"containerPort": 22}]}],
    }
    assert shortfalls(requirement_of(definition), room(used_ports={(22, "tcp")})) == (Shortfall.PORTS,)


def test_a_container_reserves_its_soft_limit() -> None:
    definition = {"containerDefinitions": [{"name": "c", "memory": 9000, "memoryReservation": 500}]}
    assert requirement_of(definition).memory == 500


def test_overrides_change_what_a_task_asks() -> None:
    overrides = {
        "containerOverrides": [{"name": "c0", "resourceRequirements": [{"type": "GPU", "value": "4"}]}]
    }
    assert requirement_of(task(whole("1")), overrides=overrides).gpu_count == 4


@pytest.mark.parametrize("gpus", ["2", "ALL", "0.5", "mps"])
def test_what_is_given_back_leaves_no_trace(gpus: str) -> None:
    requirement = requirement_of(task(share(1000) if gpus == "mps" else whole(gpus)))
    free, before = room(1.0, 1.0), room(1.0, 1.0)
    first = allocate(requirement, free)
    second = allocate(requirement, free) if fits(requirement, free) else None
    assert free != before
    if second:
        release(second, free)
    release(first, free)
    assert free == before


def test_fractions_fill_one_gpu_before_they_break_into_another() -> None:
    requirement, free = requirement_of(task(whole("0.25"))), room(1.0, 1.0)
    used = {gpu for _ in range(4) for _, _, ids in allocate(requirement, free).gpus for gpu in ids}
    assert len(used) == 1
    assert fits(requirement_of(task(whole("1"))), free)


def test_mps_shares_stay_together_and_leave_other_gpus_whole() -> None:
    requirement, free = requirement_of(task(share(10_000))), room(1.0, 1.0)
    used = [allocate(requirement, free).gpus[0][2] for _ in range(2)]
    assert used[0] == used[1]
    assert free.free_gpus == ("GPU-1",)


@pytest.mark.parametrize("value", ["-1", "1.5", "two", "", "nan"])
def test_a_gpu_value_without_sense_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="GPU value"):
        gpu_request_of({"type": "GPU", "value": value})


def test_a_described_instance_lists_free_gpus_and_used_ports() -> None:
    def resources(cpu: int, gpus: list[str], ports: list[str]) -> list[dict[str, Any]]:
        return [
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 9000},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ports},
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": gpus},
        ]

    described = {
        "status": "ACTIVE",
        "agentConnected": True,
        "registeredResources": resources(4096, ["GPU-a", "GPU-b"], ["22"]),
        "remainingResources": resources(2048, ["GPU-b"], ["22", "80"]),
        "attributes": [{"name": "ecs.instance-type", "value": "g5.12xlarge"}],
    }
    free = room_of(described)
    assert (free.cpu, free.memory, free.free_gpus) == (2048, 9000, ("GPU-b",))
    assert free.used_ports == {(22, "tcp"), (80, "tcp")}
    assert shortfalls(requirement_of(task(whole("2"))), free) == (Shortfall.GPU,)


SUBJECT = QuerySubject(
    attributes={"ecs.instance-type": "g5.xlarge", "stack": "prod", "flag": None, "gpus": "4"},
    ec2_instance_id="i-1",
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("attribute:stack == prod", True),
        ("attribute:stack != prod", False),
        ("attribute:absent != prod", True),
        ("attribute:ecs.instance-type =~ g5.*", True),
        ("attribute:ecs.instance-type !~ g5.*", False),
        ("attribute:ecs.instance-type =~ 'g4.*'", False),
        ("attribute:ecs.instance-type in [g4dn.xlarge, g5.xlarge]", True),
        ("attribute:ecs.instance-type !in [g4dn.xlarge, g5.xlarge]", False),
        ("attribute:flag exists", True),
        ("attribute:absent !exists", True),
        ("attribute:gpus >= 4 and attribute:stack == prod", True),
        ("attribute:gpus < 4 or not(attribute:stack == prod)", False),
        ("(attribute:stack == dev or attribute:stack == prod) and ec2InstanceId == i-1", True),
        ("agentConnected == true", True),
        ("attribute:stack equals prod", True),
    ],
)
def test_cluster_queries(expression: str, holds: bool) -> None:
    assert predicate_of(expression)(SUBJECT) is holds


@pytest.mark.parametrize(
    "expression", ["", "stack == prod", "attribute:x ==", "attribute:x in [a", "(a", "a b"]
)
def test_a_query_that_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        predicate_of(expression)
