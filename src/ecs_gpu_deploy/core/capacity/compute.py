"""What a task runs on: container instances of ours, Fargate, or instances that ECS manages.

Sources: Developer Guide, "Amazon ECS launch types and capacity providers", "Amazon ECS clusters for Fargate"
(FARGATE_SPOT) and "Architect for Amazon ECS Managed Instances".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ComputeKind(StrEnum):
    """Who provides what a task runs on."""

    INSTANCES = "container instances"
    FARGATE = "Fargate"
    MANAGED_INSTANCES = "Managed Instances"


_FARGATE: Final = frozenset({"FARGATE", "FARGATE_SPOT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """What tasks run on; `capacity_providers` are those that were asked, none for the cluster's own way."""

    kind: ComputeKind = ComputeKind.INSTANCES
    capacity_providers: tuple[str, ...] = ()

    @property
    def is_spot(self) -> bool:
        """Say whether Fargate's Spot capacity is all that is asked (API Reference, CreateService)."""
        return set(self.capacity_providers) == {"FARGATE_SPOT"}

    @property
    def place(self) -> str:
        """Return where a task would be placed, as said in a sentence."""
        names = ", ".join(self.capacity_providers)
        match self.kind:
            case ComputeKind.FARGATE:
                return "on Fargate Spot" if self.is_spot else "on Fargate"
            case ComputeKind.MANAGED_INSTANCES:
                return f"on the Managed Instances of {names}" if names else "on Managed Instances"
        return f"in the capacity provider {names}" if names else "in the cluster"


def compute_of(
    *, launch_types: Iterable[str] = (), providers: Iterable[str] = (), compatibilities: Collection[str] = ()
) -> Compute:
    """Return what tasks run on, by the launch types and capacity providers that were asked or seen.

    *compatibilities* are the task definition's `requiresCompatibilities`; they decide where nothing else
    does (API Reference, RegisterTaskDefinition).
    """
    names = tuple(dict.fromkeys(name for name in providers if name))
    asked = {launch for launch in launch_types if launch} or set(compatibilities)
    if names and set(names) <= _FARGATE:
        return Compute(kind=ComputeKind.FARGATE, capacity_providers=names)
    if asked == {"MANAGED_INSTANCES"}:
        return Compute(kind=ComputeKind.MANAGED_INSTANCES, capacity_providers=names)
    if asked == {"FARGATE"} and not names:
        return Compute(kind=ComputeKind.FARGATE)
    return Compute(capacity_providers=names)


def capacity_words(compute: Compute, code: str) -> tuple[str, str] | None:
    """Return message and hint for a lack of capacity where the table's, which fit instances, do not fit."""
    if compute.kind is ComputeKind.FARGATE and code in {"ec2-capacity", "no-instances"}:
        if compute.is_spot:
            return (
                "Fargate Spot has no spare capacity for the task now.",
                "Add FARGATE to capacity-providers beside FARGATE_SPOT (a base of 1, or a weight), give "
                "subnets in more Availability Zones, or try again later. --placement-timeout bounds "
                "the wait.",
            )
        return (
            "Fargate has no capacity for a task of this size in these Availability Zones now.",
            "Give subnets in more Availability Zones, ask for less CPU and memory, or try again later. "
            "--placement-timeout bounds the wait.",
        )
    if compute.kind is ComputeKind.MANAGED_INSTANCES and code in {
        *("gpu-capacity", "cpu-capacity", "memory-capacity", "ec2-capacity", "no-instances")
    }:
        return (
            f"ECS found or launched no instance for the task {compute.place}.",
            "Look at the capacity provider's instanceRequirements (accelerator type and count, vCPUs, "
            "memory, allowed instance types), its subnets, and the account's EC2 quotas for those types: "
            "ECS chooses the instances itself, so there is no Auto Scaling group to enlarge.",
        )
    return None
