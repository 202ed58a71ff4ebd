"""What fits on one container instance."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.cluster_query import QuerySubject, predicate_of
from ecs_gpu_deploy.core.capacity.fit import (
    HostPort,
    Requirement,
    Room,
    Shortfall,
    allocate,
    fits,
    release,
    requirement_of,
    room_of,
    shortfalls,
    with_attributes,
)
from ecs_gpu_deploy.core.capacity.gpus import GpuKind, GpuRequest, gpu_request_of


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


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        ({}, True),
        ({"image": "1.dkr.ecr.eu-central-1.amazonaws.com/rag:v2", "command": ["other"], "cpu": 512}, True),
        ({"image": "vllm/vllm-openai:v0.11.0"}, False),
        ({"secrets": [{"name": "A", "valueFrom": "arn"}]}, False),
        ({"healthCheck": {"command": ["CMD", "true"]}}, False),
    ],
)
def test_a_new_revision_requires_what_the_running_one_does_where_it_asks_the_same(
    change: dict[str, Any], is_known: bool
) -> None:
    attributes = [{"name": "ecs.capability.task-eni"}]
    container = {"name": "rag", "image": "1.dkr.ecr.eu-central-1.amazonaws.com/rag:v1", "mountPoints": []}
    running = {"containerDefinitions": [container], "volumes": [], "requiresAttributes": attributes}
    new = {"containerDefinitions": [container | change]}
    found = with_attributes(new, running)
    assert found.get("requiresAttributes") == (attributes if is_known else None)
    own = {**new, "requiresAttributes": [{"name": "own"}]}
    assert with_attributes(own, running) is own


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
    running_tasks_count=3,
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("attribute:stack == prod", True),
        ("attribute:stack == dev", False),
        ("attribute:stack != prod", False),
        ("attribute:absent != prod", True),
        ("attribute:ecs.instance-type =~ g5.*", True),
        ("attribute:ecs.instance-type =~ g5", False),
        ("attribute:ecs.instance-type !~ g5.*", False),
        ("attribute:ecs.instance-type !~ g4.*", True),
        ("attribute:ecs.instance-type =~ 'g4.*'", False),
        ("attribute:ecs.instance-type =~ 'g5.*' and attribute:stack == prod", True),
        ('attribute:ecs.instance-type =~ "(g5|g6)[.] ?xlarge" and attribute:stack == prod', True),
        ("attribute:absent =~ .*", True),
        ("attribute:absent =~ .+", False),
        ("attribute:stack =~ ''", False),
        ("attribute:ecs.instance-type in [g4dn.xlarge, g5.xlarge]", True),
        ("attribute:ecs.instance-type in [g4dn.xlarge,'g5.xlarge' , g6.xlarge]", True),
        ("attribute:ecs.instance-type in [g4dn.xlarge]", False),
        ("attribute:ecs.instance-type !in [g4dn.xlarge, g5.xlarge]", False),
        ("attribute:ecs.instance-type !in [g4dn.xlarge]", True),
        ("attribute:absent in [prod]", False),
        ("attribute:flag exists", True),
        ("attribute:flag !exists", False),
        ("attribute:absent !exists", True),
        ("attribute:absent exists", False),
        ("attribute:flag == ''", True),
        ('attribute:stack == "prod"', True),
        ("attribute:gpus >= 4 and attribute:stack == prod", True),
        ("attribute:gpus < 4 or not(attribute:stack == prod)", False),
        ("attribute:gpus > 3", True),
        ("attribute:gpus > 4", False),
        ("attribute:gpus > 5", False),
        ("attribute:gpus >= 5", False),
        ("attribute:gpus < 4", False),
        ("attribute:gpus < 5", True),
        ("attribute:gpus <= 4", True),
        ("attribute:gpus <= 3", False),
        ("attribute:gpus < 10", True),
        ("attribute:gpus <= 4.0", True),
        ("attribute:stack > preprod", True),
        ("attribute:stack < staging", True),
        ("attribute:absent < 5", False),
        ("attribute:absent >= 0", False),
        ("runningTasksCount == 3", True),
        ("runningTasksCount < 3", False),
        ("ec2InstanceId == i-1", True),
        ("ec2InstanceId in [i-2, i-3]", False),
        ("(attribute:stack == dev or attribute:stack == prod) and ec2InstanceId == i-1", True),
        ("attribute:stack == dev or attribute:stack == prod and ec2InstanceId == i-2", False),
        ("attribute:stack == prod or attribute:stack == dev and ec2InstanceId == i-2", True),
        ("attribute:stack == dev || attribute:stack == test || attribute:stack == prod", True),
        ("attribute:stack == prod && ec2InstanceId == i-1 && attribute:gpus == 5", False),
        ("not attribute:stack == dev", True),
        ("!(attribute:stack == prod)", False),
        ("not not attribute:stack == prod", True),
        ("  ( attribute:stack==prod )  ", True),
        ("agentConnected == true", True),
        ("agentConnected == false", False),
        ("attribute:stack equals prod", True),
        ("attribute:stack not_equals prod", False),
        ("attribute:stack matches p.*", True),
        ("attribute:stack not_matches p.*", False),
        ("attribute:gpus greater_than 3", True),
        ("attribute:gpus greater_than 4", False),
        ("attribute:gpus greater_than_equal 4", True),
        ("attribute:gpus less_than 4", False),
        ("attribute:gpus less_than_equal 4", True),
        ("attribute:stack in [prod] and attribute:absent not_exists", True),
        ("attribute:stack not_in [prod] or attribute:flag not_exists", False),
    ],
)
def test_cluster_queries(expression: str, holds: bool) -> None:
    assert predicate_of(expression)(SUBJECT) is holds


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("", 1),
        ("stack == prod", 6),
        ("ec2InstanceType == g5", 16),
        ("attribute:x ==", 15),
        ("attribute:x ~ y", 13),
        ("attribute:x is y", 15),
        ("attribute:x in y", 16),
        ("attribute:x in [a", 18),
        ("attribute:x in [a b]", 19),
        ("attribute:x =~ '['", 19),
        ("attribute:x =~ [", 17),
        ("(a", 3),
        ("(attribute:x == y", 18),
        ("attribute:x == y)", 17),
        ("attribute:x == y z", 18),
        ("a b", 2),
        ("attribute:x == y or", 20),
        ("attribute:x == y nor attribute:x == z", 18),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_and_the_place_named(expression: str, at: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be read at character {at}[.]$") as raised:
        predicate_of(expression)
    assert repr(expression) in str(raised.value)


def test_a_query_asks_about_the_instance_that_the_room_describes() -> None:
    constraint = {"type": "memberOf", "expression": "ec2InstanceId == i-1 and agentConnected == false"}
    requirement = requirement_of(task(placementConstraints=[constraint]))
    assert shortfalls(requirement, room(ec2_instance_id="i-1", agent_connected=False)) == (Shortfall.AGENT,)
    assert Shortfall.MEMBER_OF in shortfalls(requirement, room(ec2_instance_id="i-2", agent_connected=False))


def test_a_task_asks_for_what_its_definition_its_service_and_its_overrides_say() -> None:
    definition = {
        "networkMode": "awsvpc",
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:a == 1"}],
        "requiresAttributes": [{"name": "x"}, {"name": "y", "value": "2"}],
        "containerDefinitions": [
            {
                "name": "web",
                "cpu": 256,
                "memory": 1000,
                "memoryReservation": 600,
                "portMappings": [{"containerPort": 80, "hostPort": 80}],
            },
            {
                "name": "gpu",
                "memory": 4000,
                "resourceRequirements": [
                    {"type": "InferenceAccelerator", "value": "device_1"},
                    {"type": "GPU", "value": "2"},
                ],
            },
            {"name": "nothing"},
        ],
    }
    constraints = (
        {"type": "distinctInstance"},
        {"type": "memberOf", "expression": "attribute:b == 2"},
        {"type": "memberOf"},
    )
    found = requirement_of(definition, constraints=constraints)
    assert found == Requirement(
        cpu=256,
        memory=4600,
        gpus=(("gpu", GpuRequest(kind=GpuKind.COUNT, count=2)),),
        ports=(),
        attributes=(("x", None), ("y", "2")),
        expressions=("attribute:a == 1", "attribute:b == 2"),
        network_interfaces=1,
    )
    overrides = {
        "cpu": "2 vCPU",
        "memory": "3GB",
        "containerOverrides": [{"name": "gpu", "memory": None, "cpu": 512}, {"cpu": 9}, {"name": "absent"}],
    }
    changed = requirement_of({**definition, "cpu": "4096", "memory": "512"}, overrides=overrides)
    assert (changed.cpu, changed.memory, changed.gpus) == (2048, 3072, found.gpus)
    overrides = {"containerOverrides": [{"name": "gpu", "memory": None, "cpu": 512}]}
    changed = requirement_of(definition, overrides=overrides)
    assert (changed.cpu, changed.memory) == (768, 4600)


@pytest.mark.parametrize(
    ("size", "cpu"),
    [
        ("1024", 1024),
        (512, 512),
        (".5 vCPU", 512),
        ("2 VCPU", 2048),
        (" 4vcpu ", 4096),
        ("", 0),
        (None, 0),
    ],
)
def test_a_size_is_in_units_or_in_whole_cpus(size: Any, cpu: int) -> None:
    assert requirement_of({"cpu": size, "containerDefinitions": []}).cpu == cpu


@pytest.mark.parametrize(
    ("member", "size"), [("cpu", "two"), ("memory", "8 MB"), ("memory", "8 GB more"), ("cpu", "x 1")]
)
def test_a_size_that_cannot_be_read_is_refused(member: str, size: str) -> None:
    with pytest.raises(ValueError, match=f"^The task's {member} '{size}' is not a number"):
        requirement_of({member: size, "containerDefinitions": []})


@pytest.mark.parametrize(
    ("mode", "ports"),
    [
        pytest.param(
            {},
            (
                HostPort(port=80, container_port=8000, container_name="c"),
                HostPort(port=0, protocol="udp", container_port=53, container_name="c"),
            ),
            id="bridge, where nothing else is said",
        ),
        pytest.param(
            {"networkMode": "host"},
            (
                HostPort(port=8000, container_port=8000, container_name="c"),
                HostPort(port=53, protocol="udp", container_port=53, container_name="c"),
            ),
            id="host: the container's own",
        ),
        pytest.param({"networkMode": "awsvpc"}, (), id="awsvpc: none of the host"),
        pytest.param({"networkMode": "none"}, (), id="none"),
    ],
)
def test_which_ports_of_the_host_a_task_takes(mode: dict[str, Any], ports: tuple[HostPort, ...]) -> None:
    mappings = [{"containerPort": 8000, "hostPort": 80}, {"containerPort": 53, "protocol": "udp"}]
    containers = [{"name": "c", "portMappings": mappings}, {"name": "d"}, {"name": "e", "portMappings": None}]
    assert requirement_of({**mode, "containerDefinitions": containers}).ports == ports


def test_the_same_port_of_another_protocol_is_free() -> None:
    definition = {
        "containerDefinitions": [{"name": "c", "portMappings": [{"containerPort": 53, "hostPort": 53}]}]
    }
    assert fits(requirement_of(definition), room(used_ports={(53, "udp")}))
    assert not fits(requirement_of(definition), room(used_ports={(53, "tcp")}))


def test_dynamic_ports_are_counted_up_past_those_in_use_for_each_protocol() -> None:
    mappings = [
        {"containerPort": 1},
        {"containerPort": 2},
        {"containerPort": 3, "protocol": "udp"},
        {"containerPort": 4, "hostPort": 80},
    ]
    requirement = requirement_of({"containerDefinitions": [{"name": "c", "portMappings": mappings}]})
    free = room(used_ports={(32768, "tcp"), (32769, "udp")})
    taken = allocate(requirement, free)
    assert [(port.container_port, number) for port, number in taken.ports] == [
        (1, 32769),
        (2, 32770),
        (3, 32770),
        (4, 80),
    ]
    assert (80, "tcp") in free.used_ports
    release(taken, free)
    assert free.used_ports == {(32768, "tcp"), (32769, "udp")}


@pytest.mark.parametrize(
    ("gpus", "before", "ids", "after"),
    [
        pytest.param(("2",), (1.0, 0.5, 1.0, 1.0), [("GPU-0", "GPU-2")], (0.0, 0.5, 0.0, 1.0), id="a count"),
        pytest.param(("1", "1"), (1.0, 1.0), [("GPU-0",), ("GPU-1",)], (0.0, 0.0), id="one per container"),
        pytest.param(("ALL",), (1.0, 1.0), [("GPU-0", "GPU-1")], (0.0, 0.0), id="all"),
        pytest.param(("0.25",), (1.0, 0.5), [("GPU-1",)], (1.0, 0.25), id="a share of the fullest"),
        pytest.param(("0.5",), (1.0, 0.5), [("GPU-1",)], (1.0, 0.0), id="a share that just fits"),
        pytest.param(
            ("0.75", "0.5"),
            (1.0, 1.0),
            [("GPU-0",), ("GPU-1",)],
            (0.25, 0.5),
            id="shares that do not fit together",
        ),
        pytest.param(
            ("1", "0.5"), (1.0, 1.0), [("GPU-0",), ("GPU-1",)], (0.0, 0.5), id="a share beside a whole"
        ),
        pytest.param(
            ("0.5", "1"), (1.0, 1.0), [("GPU-0",), ("GPU-1",)], (0.5, 0.0), id="a whole beside a share"
        ),
    ],
)
def test_which_gpus_a_task_gets(
    gpus: tuple[str, ...],
    before: tuple[float, ...],
    ids: list[tuple[str, ...]],
    after: tuple[float, ...],
) -> None:
    free = room(*before)
    taken = allocate(requirement_of(task(*(whole(value) for value in gpus))), free)
    assert [each for _, _, each in taken.gpus] == ids
    assert [name for name, _, _ in taken.gpus] == [f"c{number}" for number in range(len(gpus))]
    assert tuple(free.gpus.values()) == after
    assert (free.cpu, free.memory) == (8192 - 1024 * len(gpus), 32_000 - 4000 * len(gpus))


def test_a_task_without_room_is_not_placed() -> None:
    with pytest.raises(ValueError, match=r"^The task's GPUs are not free on this instance[.]$"):
        allocate(requirement_of(task(whole("1"))), room())


def test_shares_by_mps_take_memory_of_one_gpu_and_then_of_the_next() -> None:
    requirement, free = requirement_of(task(share(10_000))), room(1.0, 1.0)
    taken = [allocate(requirement, free) for _ in range(4)]
    assert [each.gpus[0][2][0] for each in taken] == ["GPU-0", "GPU-0", "GPU-1", "GPU-1"]
    assert free.gpu_memory == {"GPU-0": 4000, "GPU-1": 4000}
    assert not fits(requirement, free)
    assert fits(requirement_of(task(share(4000))), free)
    assert not fits(requirement_of(task(share(4001))), free)
    assert not fits(requirement_of(task(whole("0.125"))), free), "a shared GPU takes no fraction"
    for each in taken[:3]:
        release(each, free)
    assert free.mps_gpus == {"GPU-1"}
    release(taken[3], free)
    assert (free.mps_gpus, free.free_gpus) == (set(), ("GPU-0", "GPU-1"))


def test_two_containers_may_share_one_gpu_by_mps_but_not_one_that_a_whole_request_took() -> None:
    both = requirement_of(task(share(12_000), share(12_000)))
    assert [ids for _, _, ids in allocate(both, room(1.0)).gpus] == [("GPU-0",), ("GPU-0",)]
    assert shortfalls(requirement_of(task(share(12_000), share(12_001))), room(1.0)) == (Shortfall.GPU,)
    assert shortfalls(requirement_of(task(whole("1"), share(1))), room(1.0)) == (Shortfall.GPU,)
    assert shortfalls(requirement_of(task(share(1), whole("1"))), room(1.0)) == (Shortfall.GPU,)
    assert shortfalls(requirement_of(task(whole("0.5"), whole("1"))), room(1.0)) == (Shortfall.GPU,)


def test_three_containers_share_by_what_is_left_of_each_gpus_memory() -> None:
    thirds = requirement_of(task(share(9000), share(9000), share(9000)))
    assert [ids for _, _, ids in allocate(thirds, room(1.0, 1.0)).gpus] == [
        ("GPU-0",),
        ("GPU-0",),
        ("GPU-1",),
    ]


@pytest.mark.parametrize("gpus", ["ALL", "0.25", "mps"])
def test_a_part_of_a_gpu_comes_back_as_the_part_it_was(gpus: str) -> None:
    requirement = requirement_of(task(share(1000) if gpus == "mps" else whole(gpus)))
    parts = {"GPU-0": 0.5, "GPU-1": 0.5}
    free, before = room(0.5, 0.5, gpu_capacity=parts), room(0.5, 0.5, gpu_capacity=parts)
    taken = allocate(requirement, free)
    assert free.gpus["GPU-0"] < 0.5
    release(taken, free)
    assert free == before


def test_all_means_every_gpu_of_the_instance_and_no_other_container_gets_one() -> None:
    assert shortfalls(requirement_of(task(whole("ALL"), whole("0.5"))), room(1.0)) == (Shortfall.GPU,)
    small = room(0.5, gpu_capacity={"GPU-0": 0.5})
    assert fits(requirement_of(task(whole("ALL"))), small), "even of a part of a GPU"


def test_gpus_are_counted_for_display() -> None:
    gpus = requirement_of(task(whole("3"), whole("0.25"), whole("ALL"), share(100), whole("0"), None))
    assert gpus.gpu_count == 5.25


@pytest.mark.parametrize(
    ("wants", "has", "fitting"),
    [
        pytest.param({"cpu": 8192}, {}, True, id="all of the CPU"),
        pytest.param({"cpu": 8193}, {}, False, id="one unit more"),
        pytest.param({"memory": 32_000}, {}, True, id="all of the memory"),
        pytest.param({"memory": 32_001}, {}, False, id="one MiB more"),
        pytest.param({"network_interfaces": 1}, {"network_interfaces": 1}, True, id="the last interface"),
        pytest.param({"network_interfaces": 1}, {"network_interfaces": 0}, False, id="no interface"),
        pytest.param({"attributes": (("x", None),)}, {"attributes": {"x": "1"}}, True, id="any value"),
        pytest.param({"attributes": (("x", "1"),)}, {"attributes": {"x": "1"}}, True, id="the value"),
        pytest.param({"attributes": (("x", "1"),)}, {"attributes": {}}, False, id="no such attribute"),
        pytest.param(
            {"attributes": (("ecs.capability.a", None), ("x", None))},
            {"attributes": {}},
            False,
            id="a capability is taken to be there, what follows is not",
        ),
        pytest.param(
            {"attributes": (("com.amazonaws.ecs.capability.b", None), ("ecs.capability.a", None))},
            {},
            True,
            id="capabilities of the agent",
        ),
        pytest.param({"expressions": ("attribute:x == 1",)}, {"attributes": {"x": "1"}}, True, id="a match"),
        pytest.param(
            {"expressions": ("attribute:x == 1", "attribute:y == 1")},
            {"attributes": {"x": "1"}},
            False,
            id="every expression has to match",
        ),
    ],
)
def test_the_edge_of_what_fits(wants: dict[str, Any], has: dict[str, Any], fitting: bool) -> None:
    requirement, free = Requirement(**wants), room(**has)
    assert fits(requirement, free) is fitting
    assert (shortfalls(requirement, free) == ()) is fitting


def test_a_network_interface_comes_back_with_the_task() -> None:
    requirement, free = requirement_of(task(networkMode="awsvpc")), room(network_interfaces=2)
    taken = allocate(requirement, free)
    assert free.network_interfaces == 1
    release(taken, free)
    assert free.network_interfaces == 2
