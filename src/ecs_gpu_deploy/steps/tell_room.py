"""Tell what of the room AWS does not show, and what is to be expected of it that no verdict says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.capacity.addresses import SubnetSeen, address_lack
from ecs_gpu_deploy.core.capacity.answer import Capacity, Fit
from ecs_gpu_deploy.core.capacity.gpus import GpuKind
from ecs_gpu_deploy.core.capacity.instance_types import MANY_INTERFACES, interfaces_for_tasks
from ecs_gpu_deploy.core.capacity.rebalancing import rebalancing_of
from ecs_gpu_deploy.core.capacity.situation import Situation
from ecs_gpu_deploy.core.past.failing import Failing
from ecs_gpu_deploy.result import Finding, Severity

MOST_TASKS_AHEAD: Final = 1000
"""Tasks of a service for which the model is run ahead: it takes seconds then, and minutes beyond."""


def tell_rebalancing(context: Context, service: Mapping[str, Any], capacity: Capacity, at: Situation) -> None:
    """Record what Availability Zone rebalancing needs after the rollout, where the service has it on."""
    if service.get("availabilityZoneRebalancing") != "ENABLED" or capacity.fit is Fit.UNKNOWN:
        return
    found = rebalancing_of(at, capacity.walk)
    if found is not None:
        severity = Severity.INFO if found.finds_room else Severity.WARNING
        context.record(
            Finding(code="az-rebalancing", severity=severity, message=found.message, hint=found.hint)
        )


def tell_fractions(context: Context, situation: Situation) -> None:
    """Record that AWS does not show how much of a GPU is free, where a task asks for a part of one."""
    if any(request.kind is GpuKind.FRACTION for _, request in situation.requirement.gpus):
        context.record(
            Finding(
                code="not-checked",
                severity=Severity.INFO,
                message="Not checked: how much of a GPU that others use in part is free. AWS names the free "
                "GPUs only, so such a one is taken for full, and a free one for whole.",
                hint="Hold the parts against those of the instance type (g6f and gr6f).",
            )
        )


def tell_unknown_interfaces(context: Context, situation: Situation) -> None:
    """Record for which instance types it is not known how many tasks may have a network interface."""
    if not situation.requirement.network_interfaces:
        return
    kinds = {
        place.instance_type or "an unnamed type"
        for place in situation.pool
        if interfaces_for_tasks(place.instance_type, place.room.attributes) == MANY_INTERFACES
    }
    if kinds:
        context.record(
            Finding(
                code="not-checked",
                severity=Severity.INFO,
                message="Not checked: how many tasks of network mode awsvpc an instance takes by its network "
                f"interfaces, for {', '.join(sorted(kinds))}. Room is counted as if there were enough.",
                hint="See the limits of the type in the EC2 User Guide.",
            )
        )


def tell_failing(context: Context, failing: Failing | None) -> None:
    """Record that what runs now fails: what is foreseen rests on how its tasks once started."""
    if failing is not None:
        context.record(
            Finding(
                code="running-revision-fails",
                severity=Severity.WARNING,
                message=f"{failing.message}. What is foreseen holds for a revision whose tasks start.",
                hint="Find out why first (status, or explain with the reason): a revision that changes "
                "nothing of it fails too.",
            )
        )


def with_addresses(
    context: Context, capacity: Capacity, subnets: Sequence[SubnetSeen], at: Situation, *, on_fargate: bool
) -> Capacity:
    """Return the answer that the free addresses leave of *capacity*; where they may not last, say so."""
    lack = address_lack(subnets, at, capacity.walk, on_fargate=on_fargate)
    if lack is None or capacity.fit in {Fit.NEVER, Fit.UNKNOWN}:
        return capacity
    if lack.is_certain:
        return replace(capacity, fit=Fit.NEVER, why=lack.message)
    context.record(
        Finding(
            code="few-addresses",
            severity=Severity.WARNING,
            message=lack.message,
            hint="Give the service a further subnet, or free addresses in those that it has.",
        )
    )
    return capacity


def is_too_many(context: Context, desired: int) -> bool:
    """Say whether a service has more tasks than are run ahead, and record that it is not checked then."""
    if desired <= MOST_TASKS_AHEAD:
        return False
    context.record(
        Finding(
            code="not-checked",
            severity=Severity.WARNING,
            message="Not checked: how long it takes, and what would let it. "
            f"{desired} tasks are more than are run ahead ({MOST_TASKS_AHEAD}).",
        )
    )
    return True
