"""Begin the model of ECS as AWS shows a service: its instances with what is free, its tasks where they run.

Source: docs/aws-facts.md#task-timeline; what the model knows of AWS has its sources there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.core.capacity.fit import ZONE, Room, release, requirement_of
from ecs_gpu_deploy.core.capacity.situation import Situation, Supply, copy_of
from ecs_gpu_deploy.core.past.durations import Durations
from ecs_gpu_deploy.core.past.pulls import Pulls
from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.health import ProbeRule, container_rule, healthy_after, target_rule
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, InstanceTemplate
from ecs_gpu_deploy.model import Service, TargetGroup

BEFORE_SECONDS: Final = 1000.0
"""So long before the update the old tasks begin in the model: each is healthy by then."""
_LEAVING: Final = "leaving"
"""The service, in the model, of the tasks that were told to stop before the update."""
_NEW: Final = "new"
_OLD: Final = "old"
_BYTES_A_SECOND: Final = 1000.0
_FARGATE_BYTES_A_SECOND: Final = 100_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is run ahead: a service, what it runs and is to run (raw), the room, how long things take.

    `pulls` tells what each instance has to pull; None where the manifests could not be read: then every pull
    takes as long as those before.
    """

    service: Service
    old_definition: Mapping[str, Any]
    new_definition: Mapping[str, Any]
    situation: Situation
    groups: tuple[TargetGroup, ...]
    durations: Durations
    pulls: Pulls | None = None
    on_fargate: bool = False


class CannotBegin(Exception):
    """The tasks that AWS shows do not go together with the room that it shows: no times can be foreseen."""


class _Around:
    """Answer the model: what surrounds ECS, as far as it was seen."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._groups = {group.arn: group for group in scene.groups}
        load = scene.durations.load
        # A guess is one of the load alone: probes come on top.
        self._load_seconds = load_behind(_old_rules(scene), load.seconds) if load.is_seen else load.seconds

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """Give the definition that runs, or the one that is to."""
        return self._scene.new_definition if arn == _NEW else self._scene.old_definition

    def target_group(self, arn: str) -> TargetGroup | None:
        """Give a target group; one that could not be seen has AWS's defaults."""
        return self._groups.get(arn) or TargetGroup(arn=arn)

    def script(
        self,
        task_definition: Mapping[str, Any],
        container_name: str,  # noqa: ARG002
        image: str,
        attempt: int,  # noqa: ARG002
    ) -> ContainerScript:
        """Give how a container behaves: as its forerunners did; one that runs already begins at once."""
        durations = self._scene.durations
        if task_definition is not self._scene.new_definition:
            return ContainerScript(start_seconds=0.0, stop_seconds=durations.stop.seconds)
        return ContainerScript(
            layers=self._layers(image),
            start_seconds=durations.start.seconds,
            load_seconds=self._load_seconds,
            stop_seconds=durations.stop.seconds,
        )

    def _layers(self, image: str) -> tuple[tuple[str, int], ...]:
        """Give the layers of a new image, in the bytes of the model; none where they are not known."""
        seconds, pulls = self._scene.durations.pull.seconds, self._scene.pulls
        if pulls is None or self._scene.on_fargate:
            speed = _FARGATE_BYTES_A_SECOND if self._scene.on_fargate else _BYTES_A_SECOND
            return (("image", round(seconds * speed)),)
        return tuple(
            (each.digest, round(each.size / pulls.speed * _BYTES_A_SECOND))
            for each in pulls.images.get(image, ())
        )


def load_behind(rules: Sequence[ProbeRule], seen: float) -> float:
    """Return the load with which checks of these *rules* find a task healthy after about *seen* seconds.

    The model waits for the probes again; without a check it is what was seen.
    """
    if not rules:
        return seen
    probes = {each.interval * number for each in rules for number in range(int(seen // each.interval) + 2)}
    loads = sorted(probes)
    number = bisect_right(loads, seen, key=lambda load: healthy_after(rules, load))
    return min(
        loads[max(0, number - 1) : number + 1], key=lambda load: abs(healthy_after(rules, load) - seen)
    )


def _old_rules(scene: Scene) -> list[ProbeRule]:
    """Return by which checks an old task was healthy: those of its containers and of its target groups."""
    checks = [
        each["healthCheck"]
        for each in scene.old_definition.get("containerDefinitions") or ()
        if each.get("healthCheck") and each.get("essential", True)
    ]
    found = [*map(container_rule, checks), *map(target_rule, scene.groups)]
    return [each for each in found if each.interval > 0]


def begin(scene: Scene, *, now: float) -> Scheduler:
    """Return the model of the cluster at *now*, its old tasks healthy where AWS shows them.

    Raises CannotBegin where an instance has not what its tasks hold.
    """
    service, situation = scene.service, scene.situation
    scheduler = Scheduler(
        cluster_name="seen",
        cluster_arn=service.cluster_arn,
        region=service.cluster_arn.split(":")[3],
        account_id=service.cluster_arn.split(":")[4],
        surroundings=_Around(scene),
        now=now - BEFORE_SECONDS,
    )
    began = scheduler.now
    for supply in situation.supplies:
        if supply.fresh is not None:
            scheduler.put_capacity_provider(_provider(scene, supply), began)
    held = {place.arn: copy_of(place.room) for place in situation.places}
    for task in (*situation.old, *situation.leaving):
        if task.allocation is not None and task.place in held:
            release(task.allocation, held[task.place])
    arns = {}
    for place in situation.places:
        instance = scheduler.add_instance(
            _template(place.room),
            now=began,
            availability_zone=place.zone or None,
            capacity_provider=place.provider or None,
        )
        instance.room = held[place.arn]
        instance.room.active = instance.room.agent_connected = True
        instance.room.attributes = dict(place.room.attributes)
        instance.attributes = {**instance.attributes, **place.room.attributes}
        if scene.pulls is not None:
            instance.cached_layers.update(dict.fromkeys(scene.pulls.on(place.arn), began))
        arns[place.arn] = instance.arn
    config = _config(scene)
    scheduler.create_service(config, began)
    # In the same moment, before ECS looks: what runs, where it runs.
    for task in sorted(situation.old, key=lambda each: each.created_at):
        _adopt(scheduler, service.name, arns.get(task.place, ""), began)
    leaving = [task for task in situation.leaving if task.place in arns]
    if leaving:
        more = {"serviceName": _LEAVING, "desiredCount": len(leaving)}
        more["deploymentConfiguration"] = {"strategy": "ROLLING"}
        scheduler.create_service({**config, **more}, began)
        for task in leaving:
            _adopt(scheduler, _LEAVING, arns[task.place], began)
    scheduler.advance(now)
    if leaving:
        scheduler.update_service(_LEAVING, {"desiredCount": 0}, now)
    for place in situation.places:
        if not place.room.active:
            scheduler.set_instance_status(arns[place.arn], "DRAINING", now)
        if not place.room.agent_connected:
            scheduler.set_agent_connected(arns[place.arn], connected=False, now=now)
    return scheduler


def _adopt(scheduler: Scheduler, service: str, instance: str, began: float) -> None:
    try:
        scheduler.adopt_task(service, instance, began)
    except ValueError as error:
        raise CannotBegin(f"The tasks of {service} hold more than their instances have.") from error


def update(scheduler: Scheduler, scene: Scene, *, now: float) -> None:
    """Send the update: the new definition, and the desired count that the service is to have."""
    changes = {
        "taskDefinition": _NEW,
        "desiredCount": scene.situation.limits.desired,
        "forceNewDeployment": True,
    }
    scheduler.update_service(scene.service.name, changes, now)


def _config(scene: Scene) -> dict[str, Any]:
    """Return the service as CreateService takes it, with the percentages of the situation."""
    service, situation = scene.service, scene.situation
    configuration = {
        **service.deployment_configuration,
        "minimumHealthyPercent": situation.minimum,
        "maximumPercent": situation.maximum,
    }
    configuration.pop("lifecycleHooks", None)
    configuration.pop("alarms", None)
    if situation.staged:
        strategy = str(configuration.get("strategy") or "")
        configuration["strategy"] = strategy if strategy in {"LINEAR", "CANARY"} else "BLUE_GREEN"
    else:
        configuration["strategy"] = "ROLLING"
    is_daemon = service.scheduling_strategy == "DAEMON"
    constraints = [{"type": "distinctInstance"}] if situation.distinct and not is_daemon else []
    if zones := situation.requirement.zones:
        reached = f"attribute:{ZONE} in [{', '.join(zones)}]"
        constraints.append({"type": "memberOf", "expression": reached})
    config: dict[str, Any] = {
        "serviceName": service.name,
        "taskDefinition": _OLD,
        "desiredCount": len(situation.old),
        "deploymentConfiguration": configuration,
        "healthCheckGracePeriodSeconds": service.health_check_grace_period,
        "placementConstraints": [*service.placement_constraints, *constraints],
        "placementStrategy": list(situation.placement),
        "loadBalancers": _balancers(scene),
    }
    if is_daemon:
        config["schedulingStrategy"] = "DAEMON"
    known = [each for each in situation.supplies if each.fresh is not None]
    if scene.on_fargate:
        config["launchType"] = "FARGATE"
    elif known:
        config["capacityProviderStrategy"] = [
            {"capacityProvider": each.name, "base": each.base, "weight": each.weight} for each in known
        ]
    else:
        config["launchType"] = "EC2"
    return config


def _balancers(scene: Scene) -> list[dict[str, Any]]:
    """Return the load balancers whose container both definitions have; the model refuses others."""
    found = []
    for arn, (name, port) in zip(scene.service.target_group_arns, scene.service.balanced, strict=False):
        if all(_has_port(each, name, port) for each in (scene.old_definition, scene.new_definition)):
            found.append({"targetGroupArn": arn, "containerName": name, "containerPort": port})
    return found


def _has_port(definition: Mapping[str, Any], name: str, port: int) -> bool:
    return any(
        container.get("name") == name
        and any(int(each.get("containerPort") or 0) == port for each in container.get("portMappings") or ())
        for container in definition.get("containerDefinitions") or ()
    )


def _provider(scene: Scene, supply: Supply) -> CapacityProvider:
    size = sum(place.provider == supply.name for place in scene.situation.places)
    return CapacityProvider(
        name=supply.name,
        template=_template(supply.fresh_in(""), supply.zones)
        if supply.fresh is not None
        else InstanceTemplate(),
        managed_scaling=supply.managed,
        target_capacity=supply.target,
        max_size=size + supply.more,
        launch_seconds=scene.durations.launch.seconds,
        # That managed scaling takes idle instances away meanwhile is not foreseen.
        scale_in_after=1e9,
    )


def _template(room: Room, zones: Sequence[str] = ()) -> InstanceTemplate:
    memory = next(iter(room.gpu_memory.values()), 0)
    return InstanceTemplate(
        cpu=room.cpu,
        memory=room.memory,
        gpus=len(room.gpu_capacity),
        gpu_memory_mib=memory,
        gpu_fraction=min(room.gpu_capacity.values(), default=1.0),
        bandwidth=_BYTES_A_SECOND,
        availability_zones=tuple(zones) or ("a", "b"),
        attributes=dict(room.attributes),
        network_interfaces=room.network_interfaces,
    )


def gpus_of(definition: Mapping[str, Any]) -> float:
    """Return how many GPUs a task of a raw definition holds; 0 where that cannot be read."""
    try:
        return requirement_of(definition).gpu_count
    except ValueError:
        return 0.0
