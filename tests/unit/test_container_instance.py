"""A container instance as DescribeContainerInstances shows it."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import Room, Shortfall, fits, requirement_of, room_of, shortfalls


def resources(
    cpu: int, memory: int, gpus: list[str] | None = None, **ports: list[str]
) -> list[dict[str, Any]]:
    return [
        {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        {"name": "GPU", "type": "STRINGSET", "stringSetValue": gpus or []},
        *({"name": name, "type": "STRINGSET", "stringSetValue": used} for name, used in ports.items()),
    ]


DESCRIBED: dict[str, Any] = {
    "containerInstanceArn": "arn:aws:ecs:eu-central-1:123456789012:container-instance/ki/0123abcd",
    "ec2InstanceId": "i-0abc",
    "capacityProviderName": "gpu",
    "status": "ACTIVE",
    "agentConnected": True,
    "registeredResources": resources(4096, 15000, ["GPU-a", "GPU-b"], PORTS=["22"], PORTS_UDP=[]),
    "remainingResources": resources(1024, 7000, ["GPU-b"], PORTS=["22", "8000"], PORTS_UDP=["53"]),
    "attributes": [
        {"name": "ecs.instance-type", "value": "g4dn.12xlarge"},
        {"name": "ecs.capability.docker-plugin.local"},
        {"name": "stack", "value": "prod"},
    ],
    "healthStatus": {
        "overallStatus": "IMPAIRED",
        "details": [
            {"type": "CONTAINER_RUNTIME", "status": "OK"},
            {"type": "ACCELERATED_COMPUTE", "status": "IMPAIRED"},
            {"type": "DAEMON", "status": "IMPAIRED"},
        ],
    },
}


def test_what_is_described_is_read() -> None:
    found = ContainerInstance.from_api(DESCRIBED)
    assert found == ContainerInstance(
        arn="arn:aws:ecs:eu-central-1:123456789012:container-instance/ki/0123abcd",
        ec2_instance_id="i-0abc",
        instance_type="g4dn.12xlarge",
        capacity_provider="gpu",
        status="ACTIVE",
        agent_connected=True,
        impaired=("ACCELERATED_COMPUTE", "DAEMON"),
        room=Room(
            cpu=1024,
            memory=7000,
            gpus={"GPU-a": 0.0, "GPU-b": 1.0},
            gpu_capacity={"GPU-a": 1.0, "GPU-b": 1.0},
            used_ports={(22, "tcp"), (8000, "tcp"), (53, "udp")},
            attributes={
                "ecs.instance-type": "g4dn.12xlarge",
                "ecs.capability.docker-plugin.local": None,
                "stack": "prod",
            },
            ec2_instance_id="i-0abc",
        ),
        whole=Room(
            cpu=4096,
            memory=15000,
            gpus={"GPU-a": 1.0, "GPU-b": 1.0},
            gpu_capacity={"GPU-a": 1.0, "GPU-b": 1.0},
            used_ports={(22, "tcp")},
            attributes=found.room.attributes,
            ec2_instance_id="i-0abc",
        ),
    )


def test_what_aws_leaves_out_is_nothing_and_an_instance_is_well_unless_said_otherwise() -> None:
    found = ContainerInstance.from_api({"containerInstanceArn": "arn:x/ki/0123abcd"})
    nothing = Room(cpu=0, memory=0)
    assert found == ContainerInstance(
        arn="arn:x/ki/0123abcd", shows_resources=False, room=nothing, whole=nothing
    )
    assert ContainerInstance.from_api({}).arn == ""


def test_a_person_knows_it_by_its_ec2_instance() -> None:
    assert ContainerInstance.from_api(DESCRIBED).id == "i-0abc"
    assert ContainerInstance.from_api({**DESCRIBED, "ec2InstanceId": None}).id == "0123abcd"


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        pytest.param({}, (), id="as described"),
        pytest.param({"status": "DRAINING"}, (Shortfall.INACTIVE,), id="draining"),
        pytest.param({"agentConnected": False}, (Shortfall.AGENT,), id="its agent is silent"),
        pytest.param(
            {"status": "DRAINING", "agentConnected": False, "remainingResources": resources(0, 0)},
            (Shortfall.INACTIVE, Shortfall.AGENT, Shortfall.GPU, Shortfall.MEMORY, Shortfall.CPU),
            id="all of it",
        ),
    ],
)
def test_what_it_says_of_itself_decides_whether_it_takes_a_task(
    said: dict[str, Any], lacking: tuple[Shortfall, ...]
) -> None:
    container = {
        "name": "c",
        "cpu": 1024,
        "memory": 7000,
        "resourceRequirements": [{"type": "GPU", "value": "1"}],
    }
    requirement = requirement_of({"containerDefinitions": [container]})
    assert shortfalls(requirement, room_of({**DESCRIBED, **said})) == lacking
    assert fits(requirement, room_of({**DESCRIBED, **said})) is not bool(lacking)


def test_gpus_that_only_the_remaining_resources_name_are_there() -> None:
    room = room_of({"remainingResources": resources(1, 1, ["GPU-b", "GPU-a"])})
    assert room.free_gpus == ("GPU-a", "GPU-b")


def test_a_gpu_that_is_shared_has_memory_left_and_is_not_whole() -> None:
    devices = [
        {"gpuId": "GPU-a", "sharingMode": "NVIDIA_MPS", "remainingMemoryInMiB": 6000},
        {"gpuId": "GPU-b", "remainingMemoryInMiB": 16000},
        {"gpuId": "GPU-c"},
    ]
    gpus = ["GPU-a", "GPU-b", "GPU-c"]
    room = room_of({"remainingResources": resources(1, 1, gpus), "gpuDevices": devices})
    assert room.gpu_memory == {"GPU-a": 6000, "GPU-b": 16000, "GPU-c": 0}
    assert room.mps_gpus == {"GPU-a"}
    assert room.free_gpus == ("GPU-b", "GPU-c")


def test_a_gpu_is_unshared_and_all_its_memory_free_on_an_empty_instance() -> None:
    device = {"gpuId": "GPU-b", "sharingMode": "NVIDIA_MPS", "totalMemoryInMiB": 24000}
    found = ContainerInstance.from_api(
        {**DESCRIBED, "gpuDevices": [{**device, "remainingMemoryInMiB": 8000, "containerCount": 1}]}
    )
    assert (found.room.gpu_memory, found.room.mps_gpus) == ({"GPU-b": 8000}, {"GPU-b"})
    assert (found.whole.gpu_memory, found.whole.mps_gpus) == ({"GPU-b": 24000}, set())


def test_an_instance_whose_resources_are_not_shown_says_so() -> None:
    assert ContainerInstance.from_api(DESCRIBED).shows_resources
    assert not ContainerInstance.from_api({**DESCRIBED, "registeredResources": None}).shows_resources
