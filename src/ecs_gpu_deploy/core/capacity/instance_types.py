"""What EC2 instance types bring to a cluster, and how many network interfaces they take.

CPU units are 1024 a vCPU. Memory is a little under the type's: the kernel and the agent keep some (Amazon ECS
Developer Guide, "Reserving Amazon ECS Linux container instance memory"). Sizes: EC2 User Guide, "Accelerated
computing"; network interfaces: price_list.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ecs_gpu_deploy.core.capacity.fit import Room
from ecs_gpu_deploy.core.capacity.price_list import BRANCH_INTERFACES, NETWORK_INTERFACES

KEPT_BY_THE_HOST: Final = 0.04
MANY_INTERFACES: Final = 1000
"""Stands for the number of a type that is not known."""
_TRUNK: Final = "ecs.awsvpc-trunk-id"

sizes: Final[Mapping[str, tuple[int, int, int, int]]] = {
    # type: vCPUs, memory GiB, GPUs, MiB of memory of each GPU
    "t3.medium": (2, 4, 0, 0),
    "t3.large": (2, 8, 0, 0),
    "c5.large": (2, 4, 0, 0),
    "m5.large": (2, 8, 0, 0),
    "m5.xlarge": (4, 16, 0, 0),
    "m5.2xlarge": (8, 32, 0, 0),
    "g4dn.xlarge": (4, 16, 1, 15_360),
    "g4dn.2xlarge": (8, 32, 1, 15_360),
    "g4dn.12xlarge": (48, 192, 4, 15_360),
    "g5.xlarge": (4, 16, 1, 23_028),
    "g5.2xlarge": (8, 32, 1, 23_028),
    "g5.4xlarge": (16, 64, 1, 23_028),
    "g5.12xlarge": (48, 192, 4, 23_028),
    "g5.48xlarge": (192, 768, 8, 23_028),
    "g6.xlarge": (4, 16, 1, 23_034),
    "g6.2xlarge": (8, 32, 1, 23_034),
    "g6.12xlarge": (48, 192, 4, 23_034),
    "g6e.xlarge": (4, 32, 1, 46_068),
    "g6f.large": (2, 8, 1, 2_861),
    "p3.2xlarge": (8, 61, 1, 16_384),
    "p4d.24xlarge": (96, 1152, 8, 40_960),
    "p5.48xlarge": (192, 2048, 8, 81_559),
}
gpu_fractions: Final[Mapping[str, float]] = {"g6f.large": 0.125}


def fresh_room(instance_type: str) -> Room | None:
    """Return what a fresh instance of that type has; None for a type that is not in the table."""
    if instance_type not in sizes:
        return None
    vcpus, gib, gpus, gpu_memory = sizes[instance_type]
    ids = [f"GPU-{number}" for number in range(gpus)]
    share = gpu_fractions.get(instance_type, 1.0)
    return Room(
        cpu=vcpus * 1024,
        memory=round(gib * 1024 * (1 - KEPT_BY_THE_HOST)),
        gpus=dict.fromkeys(ids, share),
        gpu_capacity=dict.fromkeys(ids, share),
        gpu_memory=dict.fromkeys(ids, gpu_memory),
        used_ports={(port, "tcp") for port in (22, 2375, 2376, 51678, 51679)},
        attributes={"ecs.instance-type": instance_type},
        network_interfaces=interfaces_for_tasks(instance_type, {}),
    )


def interfaces_for_tasks(instance_type: str, attributes: Mapping[str, str | None]) -> int:
    """Return how many tasks may have a network interface of their own there; many where that is not known.

    One is the instance's; a trunk takes another and brings many behind it. Source: Developer Guide,
    "Increasing Amazon ECS Linux container instance network interfaces".
    """
    limit, behind = NETWORK_INTERFACES.get(instance_type), BRANCH_INTERFACES.get(instance_type)
    if not attributes.get(_TRUNK):
        return MANY_INTERFACES if limit is None else limit - 1
    return MANY_INTERFACES if limit is None or behind is None else limit - 2 + behind
