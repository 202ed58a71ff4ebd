"""From what AWS shows to what decides about room: instances, the service's old tasks, capacity providers.

Sources: docs/aws-facts.md#gpus-of-an-instance, #deployment-strategies and #provisioning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import ZONE, Allocation, Requirement
from ecs_gpu_deploy.core.capacity.instance_types import fresh_room, interfaces_for_tasks
from ecs_gpu_deploy.core.capacity.percents import limits_for
from ecs_gpu_deploy.core.capacity.situation import OldTask, Place, Situation, Supply
from ecs_gpu_deploy.model import Service, Task, short_id

_GONE: Final = frozenset({"STOPPING", "DEPROVISIONING", "STOPPED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSeen:
    """A capacity provider: does it scale by itself, and which Auto Scaling group is it over ("" for none).

    `target` is the part of the instances, in percent, that managed scaling wants in use.
    """

    name: str
    managed: bool = False
    group: str = ""
    is_managed_instances: bool = False
    target: int = 100

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read CapacityProvider; the group is named by what its ARN ends in.

        Source: API Reference, AutoScalingGroupProvider.
        """
        over = api.get("autoScalingGroupProvider") or {}
        return cls(
            name=str(api.get("name") or ""),
            managed=(over.get("managedScaling") or {}).get("status") == "ENABLED"
            and api.get("status") in {"ACTIVE", None},
            group=str(over.get("autoScalingGroupArn") or "").rpartition("autoScalingGroupName/")[2],
            target=int((over.get("managedScaling") or {}).get("targetCapacity") or 100),
            is_managed_instances=bool(api.get("managedInstancesProvider"))
            or api.get("type") == "MANAGED_INSTANCES",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSeen:
    """An Auto Scaling group: how many instances it has and may have, and of which type ("" where unsaid).

    `coming` are those of `size` that are launched already and not in service yet. `launches` is False where
    its process Launch is suspended. `zones` are those that it launches in, `warm` the
    instances that wait in its warm pool, in `warm_state` (Stopped, Running or Hibernated).
    """

    name: str
    size: int
    maximum: int
    instance_type: str = ""
    coming: int = 0
    launches: bool = True
    zones: tuple[str, ...] = ()
    warm: int = 0
    warm_state: str = ""

    @property
    def more(self) -> int:
        """Return how many instances may still come; without launches, those that are on their way."""
        return self.coming + (max(0, self.maximum - self.size) if self.launches else 0)

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read AutoScalingGroup; one that is over several types is named by the first.

        Source: EC2 Auto Scaling User Guide, "Amazon EC2 Auto Scaling instance lifecycle" and "Suspend and
        resume Amazon EC2 Auto Scaling processes".
        """
        mixed = (api.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
        types = [
            *(str(each.get("InstanceType") or "") for each in api.get("Instances") or ()),
            *(str(each.get("InstanceType") or "") for each in mixed.get("Overrides") or ()),
        ]
        desired = int(api.get("DesiredCapacity") or 0)
        # One that ends counts for the size no more: another may come beside it.
        there = [
            each
            for each in api.get("Instances") or ()
            if not str(each.get("LifecycleState") or "").startswith("Terminating")
        ]
        pool = api.get("WarmPoolConfiguration") or {}
        launches = "Launch" not in {each.get("ProcessName") for each in api.get("SuspendedProcesses") or ()}
        pending = sum(str(each.get("LifecycleState") or "").startswith("Pending") for each in there)
        return cls(
            name=str(api.get("AutoScalingGroupName") or ""),
            size=max(desired, len(there)),
            coming=pending + (max(0, desired - len(there)) if launches else 0),
            launches=launches,
            maximum=int(api.get("MaxSize") or 0),
            zones=tuple(str(each) for each in api.get("AvailabilityZones") or ()),
            warm=int(api.get("WarmPoolSize") or 0) if pool.get("Status") != "PendingDelete" else 0,
            warm_state=str(pool.get("PoolState") or ""),
            instance_type=next((each for each in types if each), ""),
        )


def subnets_of(service: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the subnets in which a raw Service, or its primary task set, puts its tasks.

    Source: API Reference, "AwsVpcConfiguration".
    """
    sets = [each for each in service.get("taskSets") or () if each.get("status") == "PRIMARY"]
    for place in (*sets, service):
        network = (place.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        if network.get("subnets"):
            return tuple(str(each) for each in network["subnets"])
    return ()


def situation_seen(
    service: Service,
    requirement: Requirement,
    *,
    desired: int,
    instances: Sequence[ContainerInstance],
    tasks: Sequence[Task],
    old_requirements: Mapping[str, Requirement],
    others: Sequence[Task] = (),
    supplies: Sequence[Supply] = (),
    ready_seconds: float,
    drain_seconds: float,
    launch_seconds: float,
) -> Situation:
    """Return the situation of *service*, which is to have *desired* tasks of *requirement*.

    *old_requirements* tell by the ARN of a task definition what a task of it takes; *others* are the tasks
    of the cluster that are not the service's. Sources: docs/aws-facts.md#gpus-of-an-instance and
    #deployment-strategies.
    """
    interfaces = Counter(task.container_instance_arn for task in (*tasks, *others) if task.has_interface)
    numbers = Counter(task.container_instance_arn for task in (*tasks, *others))
    silent = {each.arn for each in instances if not each.agent_connected}
    there = [task for task in tasks if task.last_status not in _GONE]
    live = [task for task in there if task.desired_status in {"RUNNING", ""}]

    def held(task: Task) -> OldTask:
        return OldTask(
            arn=task.arn,
            place=task.container_instance_arn,
            allocation=_allocation(task, old_requirements.get(task.task_definition_arn)),
            created_at=task.created_at or 0.0,
            can_stop=task.container_instance_arn not in silent,
        )

    kinds = {str(each.get("type")) for each in service.placement_constraints}
    return Situation(
        limits=limits_for(desired, minimum=service.minimum_healthy_percent, maximum=service.maximum_percent),
        minimum=service.minimum_healthy_percent,
        maximum=service.maximum_percent,
        requirement=requirement,
        places=[
            _place(each, tasks=numbers[each.arn], interfaces=interfaces[each.arn])
            for each in instances
            if each.status in {"ACTIVE", "DRAINING", ""}
            and each.shows_resources
            and each.is_external == (service.launch_type == "EXTERNAL")
        ],
        old=[held(task) for task in live],
        leaving=[held(task) for task in there if task not in live],
        supplies=supplies,
        staged=service.strategy not in {"", "ROLLING"} or service.deployment_controller == "CODE_DEPLOY",
        placement=service.placement_strategy,
        distinct="distinctInstance" in kinds or service.scheduling_strategy == "DAEMON",
        daemon=service.scheduling_strategy == "DAEMON",
        ready_seconds=ready_seconds,
        drain_seconds=drain_seconds,
        launch_seconds=launch_seconds,
    )


def supplies_of(
    strategy: Iterable[Mapping[str, Any]],
    providers: Mapping[str, ProviderSeen] | None,
    groups: Mapping[str, GroupSeen] | None,
    instances: Sequence[ContainerInstance],
    *,
    most: int,
) -> tuple[Supply, ...]:
    """Return the capacity providers of a service's *strategy*; AWS's own, of Fargate, are none.

    *groups* are by name; None where they may not be seen: then each may launch *most* instances. So are
    *providers*.
    """
    found = []
    for item in strategy:
        name = short_id(str(item.get("capacityProvider") or ""))
        if name.startswith("FARGATE"):
            continue
        seen = (providers or {}).get(name) or ProviderSeen(name=name)
        group = (groups or {}).get(seen.group)
        mine = [each for each in instances if each.capacity_provider == name]
        model = next(iter(mine), None)
        kind = model.instance_type if model else group.instance_type if group else ""
        fresh = None
        if model is not None:
            whole = replace(model.whole, active=True, agent_connected=True)
            fresh = replace(whole, network_interfaces=interfaces_for_tasks(kind, whole.attributes))
        elif kind:
            fresh = fresh_room(kind)
        there = (each.room.attributes.get(ZONE) for each in mine)
        zones = group.zones if group is not None and group.zones else tuple(sorted(filter(None, set(there))))
        more = most if groups is None else group.more if group is not None else 0
        found.append(
            Supply(
                name=name,
                base=int(item.get("base") or 0),
                weight=int(item.get("weight") or 0),
                managed=seen.managed,
                fresh=fresh,
                more=more if seen.managed else 0,
                instance_type=kind,
                is_seen=providers is not None,
                zones=zones,
                is_managed_instances=seen.is_managed_instances,
                target=seen.target,
                warm=0 if group is None else group.warm,
                warm_state="" if group is None else group.warm_state,
                suspended=0 if group is None or group.launches else max(0, group.maximum - group.size),
            )
        )
    return tuple(found)


def _place(instance: ContainerInstance, *, tasks: int, interfaces: int) -> Place:
    free = interfaces_for_tasks(instance.instance_type, instance.room.attributes)
    return Place(
        arn=instance.arn,
        room=replace(instance.room, network_interfaces=max(0, free - interfaces)),
        whole=replace(instance.whole, network_interfaces=free),
        name=instance.id,
        impaired=instance.impaired,
        zone=instance.room.attributes.get(ZONE) or "",
        provider=instance.capacity_provider,
        instance_type=instance.instance_type,
        tasks=tasks,
    )


def _allocation(task: Task, requirement: Requirement | None) -> Allocation | None:
    """Return what a task gives back: what its definition asks, on the GPUs that it shows."""
    if requirement is None or not task.container_instance_arn:
        return None
    shown = {container.name: list(container.gpu_ids) for container in task.containers}
    return Allocation(
        cpu=requirement.cpu,
        memory=requirement.memory,
        gpus=tuple((name, request, tuple(shown.get(name, ()))) for name, request in requirement.gpus),
        ports=tuple((port, port.port) for port in requirement.ports if port.port),
        network_interfaces=requirement.network_interfaces,
    )
