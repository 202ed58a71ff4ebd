"""What EC2 instance types bring to a cluster, as their ECS agents register it.

CPU units are 1024 a vCPU. Memory is a little under the type's: the kernel and the agent keep some (Amazon ECS
Developer Guide, "Reserving Amazon ECS Linux container instance memory"). Sizes: EC2 User Guide, "Accelerated
computing". Bandwidth is what an image pull really gets, decompression included, not the network's.
"""

from __future__ import annotations

from collections.abc import Mapping

from ecs_gpu_deploy.core.capacity.instance_types import KEPT_BY_THE_HOST, gpu_fractions, sizes
from ecs_gpu_deploy.ecs_model.state import InstanceTemplate

PULL_BANDWIDTH = 125_000_000.0


def instance_template(
    instance_type: str,
    *,
    cpu: int | None = None,
    memory: int | None = None,
    gpus: int | None = None,
    gpu_memory: int | None = None,
    bandwidth: float | None = None,
    availability_zones: tuple[str, ...] = ("a", "b"),
    attributes: Mapping[str, str | None] | None = None,
    missing_attributes: frozenset[str] = frozenset(),
) -> InstanceTemplate:
    """Describe a type; what is given outweighs the table. CPU units, MiB, bytes per second.

    Raises `KeyError` for a type that is not in the table unless CPU and memory are given.
    """
    known = sizes.get(instance_type)
    if known is None and (cpu is None or memory is None):
        raise KeyError(instance_type)
    vcpus, gib, known_gpus, known_gpu_memory = known or (0, 0, 0, 16_384)
    return InstanceTemplate(
        instance_type=instance_type,
        cpu=vcpus * 1024 if cpu is None else cpu,
        memory=round(gib * 1024 * (1 - KEPT_BY_THE_HOST)) if memory is None else memory,
        gpus=known_gpus if gpus is None else gpus,
        gpu_memory_mib=gpu_memory or known_gpu_memory or 16_384,
        gpu_fraction=gpu_fractions.get(instance_type, 1.0),
        bandwidth=bandwidth or PULL_BANDWIDTH,
        availability_zones=availability_zones,
        attributes=attributes or {},
        missing_attributes=missing_attributes,
    )
