"""Put a world into a region: declared things first, then clusters, instances, task definitions, services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.capacity.instance_types import sizes
from ecs_gpu_deploy.ecs_model.refusals import SchedulerError
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, InstanceTemplate
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.ecs.clusters import associate, create_cluster, register_provider
from ecs_gpu_deploy.sandbox.ecs.operations import ecs_response
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion
from ecs_gpu_deploy.sandbox.ecs.services import start_service
from ecs_gpu_deploy.sandbox.neighbours.images import MB, Reference, image_from
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.world.instance_types import instance_template
from ecs_gpu_deploy.sandbox.world.world import World

Entry = Mapping[str, Any]


class Settlement:
    """Settle worlds in one region, and let the moments of their timelines happen there."""

    def __init__(self, region: EcsRegion) -> None:
        self._region = region

    def settle(self, world: World, *, start: float) -> None:
        """Settle a world whose clock begins at `start`; its steady services have been there before.

        Raises `InvalidInput` with the entry's place for what AWS would refuse.
        """
        self._declare(world)
        for number, entry in enumerate(world.clusters):
            request = {"clusterName": entry} if isinstance(entry, str) else entry
            with _place(f"clusters[{number}]"):
                self._region.protocol.check_request("CreateCluster", dict(request))
                create_cluster(self._region, request)
        for number, entry in enumerate(world.capacity_providers):
            with _place(f"capacity_providers[{number}]"):
                self._add_capacity_provider(entry)
        for number, entry in enumerate(world.instances):
            with _place(f"instances[{number}]"):
                self._add_instances(entry)
        for number, entry in enumerate(world.task_definitions):
            with _place(f"task_definitions[{number}]"):
                ecs_response(self._region, "RegisterTaskDefinition", dict(entry))
        steady = [
            # Real containers cannot have run before the start.
            entry.get("steady", True) and not self._region.runs_containers(entry["taskDefinition"])
            for entry in world.services
        ]
        for before in (True, False):
            for number, entry in enumerate(world.services):
                if steady[number] is before:
                    with _place(f"services[{number}]"):
                        self._start_service(entry)
            self._region.advance(start)

    def _declare(self, world: World) -> None:
        neighbours = self._region.neighbours
        for entry in world.images:
            image = image_from(entry, own_registry=neighbours.images.own_registry)
            neighbours.declare_image(image)
        for name in world.repositories:
            neighbours.declare_repository(name)
        for name in world.log_groups:
            neighbours.declare_log_group(name)
        for name in world.secrets:
            neighbours.declare_secret(name)
        for name in world.parameters:
            neighbours.declare_parameter(name)
        for role in world.roles:
            neighbours.declare_role(role)
        if world.github is not None:
            neighbours.declare_github_provider()
        for entry in world.target_groups:
            neighbours.declare_target_group(entry)

    def _cluster(self, name: str | None) -> Cluster:
        """Return a cluster by name, or the first one; a world without clusters gets `default`."""
        clusters = self._region.clusters
        if not clusters and name is None:
            create_cluster(self._region, {"clusterName": "default"})
        if name is None:
            return next(iter(clusters.values()))
        if name not in clusters:
            known = ", ".join(clusters) or "none"
            raise InvalidInput(f"there is no cluster {name!r}; the world has {known}.")
        return clusters[name]

    def _add_instances(self, entry: Entry) -> None:
        cluster = self._cluster(entry.get("cluster"))
        template = self._template(entry)
        cached = [digest for name in entry.get("cached_images", ()) for digest in self._layers_of(name)]
        zones = template.availability_zones
        for number in range(entry.get("count", 1)):
            cluster.scheduler.add_instance(
                template,
                now=self._region.now,
                availability_zone=zones[number % len(zones)],
                capacity_provider=entry.get("capacity_provider"),
                cached_layers=cached,
            )

    def _template(self, entry: Entry) -> InstanceTemplate:
        zones = tuple(
            zone if zone.startswith(self._region.region) else f"{self._region.region}{zone}"
            for zone in entry.get("availability_zones", ("a", "b"))
        )
        try:
            return instance_template(
                entry["type"],
                cpu=entry.get("cpu"),
                memory=entry.get("memory"),
                gpus=entry.get("gpus"),
                gpu_memory=entry.get("gpu_memory"),
                bandwidth=entry["bandwidth_mb"] * MB if "bandwidth_mb" in entry else None,
                availability_zones=zones,
                attributes=entry.get("attributes"),
                missing_attributes=frozenset(entry.get("missing_attributes", ())),
            )
        except KeyError as error:
            raise InvalidInput(
                f"the instance type {entry['type']!r} is not in the table ({', '.join(sizes)});"
                " give its cpu and memory."
            ) from error

    def _layers_of(self, name: str) -> Sequence[str]:
        images = self._region.neighbours.images
        described = images.described(Reference.from_text(name), None)
        if described is None:
            raise InvalidInput(f"cached_images: there is no image {name!r} in the world.")
        return [digest for digest, _ in described.layers]

    def _add_capacity_provider(self, entry: Entry) -> None:
        cluster = self._cluster(entry.get("cluster"))
        name = entry["name"]
        plain = {
            key: entry[key]
            for key in (
                "managed_scaling",
                "target_capacity",
                "min_size",
                "max_size",
                "launch_seconds",
                "warmup_seconds",
                "ec2_capacity",
            )
            if key in entry
        }
        region = self._region
        model = CapacityProvider(
            name=name,
            arn=region.arn(f"capacity-provider/{name}"),
            template=self._template(entry["instances"]),
            auto_scaling_group_arn=(
                f"arn:{region.partition}:autoscaling:{region.region}:{region.account_id}:autoScalingGroup:"
                f"00000000-0000-0000-0000-000000000000:autoScalingGroupName/{name}"
            ),
            **plain,
        )
        region.capacity_providers[name] = register_provider(region, model)
        strategy: list[Mapping[str, Any]] = list(cluster.default_strategy)
        if entry.get("default"):
            strategy = [{"capacityProvider": name, "weight": 1, "base": 0}]
        associate(region, cluster, [*cluster.capacity_providers, name], strategy)
        if entry["instances"].get("count", 0):
            self._add_instances({**entry["instances"], "cluster": cluster.name, "capacity_provider": name})

    def _start_service(self, entry: Entry) -> None:
        cluster = self._cluster(entry.get("cluster"))
        request = {key: value for key, value in entry.items() if key not in ("steady", "cluster")}
        if request.get("loadBalancers"):
            by_name = {one["Name"]: arn for arn, one in self._region.neighbours.target_groups.items()}
            request["loadBalancers"] = [
                {**balancer, "targetGroupArn": by_name.get(arn, arn)}
                for balancer in request["loadBalancers"]
                for arn in [balancer.get("targetGroupArn")]
            ]
        self._region.protocol.check_request("CreateService", request)
        start_service(self._region, cluster, request)

    # The timeline.

    def let_happen(self, moment: Entry) -> None:
        """Let one moment of a timeline happen at the region's time; raise `InvalidInput` if it cannot."""
        try:
            self._happen(moment)
        except (ApiError, SchedulerError) as refusal:
            raise InvalidInput(f"timeline at {moment['at']:g}: {refusal}") from refusal

    def _happen(self, moment: Entry) -> None:
        region = self._region
        cluster = self._cluster(moment.get("cluster"))
        scheduler = cluster.scheduler
        if "terminate_instance" in moment:
            instance = self._instance(cluster, moment["terminate_instance"])
            scheduler.terminate_instance(instance, region.now, reason=moment.get("reason", "terminated"))
        for key, connected in (("disconnect_agent", False), ("connect_agent", True)):
            if key in moment:
                scheduler.set_agent_connected(self._instance(cluster, moment[key]), connected, region.now)
        if "drain_instance" in moment:
            instance = self._instance(cluster, moment["drain_instance"])
            scheduler.set_instance_status(instance, "DRAINING", region.now)
        for key, on in (("alarm", True), ("clear_alarm", False)):
            if key in moment:
                scheduler.set_alarm(moment[key], region.now, on=on)
        if "update_service" in moment:
            ecs_response(region, "UpdateService", {"cluster": cluster.name, **moment["update_service"]})
        if "stop_service_deployment" in moment:
            service = region.service(cluster, moment["stop_service_deployment"])
            scheduler.stop_service_deployment(str(service.current_service_deployment), "ROLLBACK", region.now)

    def _instance(self, cluster: Cluster, name: int | str) -> str:
        instances = list(cluster.scheduler.instances.values())
        if isinstance(name, int):
            if not 0 <= name < len(instances):
                raise InvalidInput(f"there is no instance number {name}: the cluster has {len(instances)}.")
            return instances[name].arn
        return name


class _place:  # noqa: N801 - reads as a word in `with _place("services[0]")`
    """Name the entry of the world in what AWS or we refuse about it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ApiError, SchedulerError)):
            raise InvalidInput(f"World: {self._name}: {error.message}") from error
        if isinstance(error, InvalidInput):
            raise InvalidInput(f"World: {self._name}: {error.message}", hint=error.hint) from error
