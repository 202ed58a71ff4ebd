"""The sandbox as a whole: its clock, its regions, what lies around them, and one lock around it all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.ecs.operations import ecs_response
from ecs_gpu_deploy.sandbox.ecs.region import EcsRegion
from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry
from ecs_gpu_deploy.sandbox.neighbours.github_issuer import GithubIssuer
from ecs_gpu_deploy.sandbox.neighbours.images import DOCKER, MODEL
from ecs_gpu_deploy.sandbox.neighbours.neighbours import Neighbours
from ecs_gpu_deploy.sandbox.neighbours.triggers import MINUTE, Scaling
from ecs_gpu_deploy.sandbox.neighbours.web_identity import Session, session_of, session_of_role
from ecs_gpu_deploy.sandbox.protocol.calls import CallLog
from ecs_gpu_deploy.sandbox.protocol.faults import Faults, fault_from
from ecs_gpu_deploy.sandbox.protocol.shapes import Protocol
from ecs_gpu_deploy.sandbox.world.clock import ModelClock, SteppedClock
from ecs_gpu_deploy.sandbox.world.settlement import Settlement
from ecs_gpu_deploy.sandbox.world.world import World


def partition_of(region: str) -> str:
    """Return the partition of a region: aws, aws-cn or aws-us-gov."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


class Sandbox:
    """A local AWS. Hold `lock` around every use."""

    def __init__(
        self, world: World, *, clock: ModelClock, runtime: str = MODEL, has_docker: bool = False
    ) -> None:
        """Build the world's state as it is at the clock's time; raise `InvalidInput` for a wrong world.

        `runtime` runs the containers of images that name none; without Docker the model runs them all.
        """
        self.world = world
        self.clock = clock
        self.lock = threading.RLock()
        self.calls = CallLog()
        self.faults = Faults(seed=world.seed)
        self.partition = partition_of(world.region)
        self.protocol = Protocol("ecs")
        self.neighbours = Neighbours(account_id=world.account, region=world.region, partition=self.partition)
        self.neighbours.images.runtime, self.neighbours.images.has_docker = runtime, has_docker
        self.issuer = GithubIssuer(world.github or {})
        self.registry = ContainerRegistry(world.registry) if world.registry else None
        self.sessions: dict[str, Session] = {}
        self.load_balancers: Callable[[], Mapping[str, str]] = dict
        self._regions: dict[str, EcsRegion] = {}
        self._moments: list[tuple[float, Mapping[str, Any]]] = []
        start = clock.now()
        self._minute = start // MINUTE * MINUTE
        home = self.region(world.region)
        home.now = start - world.history_seconds
        self._settlement = Settlement(home)
        self._settlement.settle(world, start=start)
        self._set_faults_and_timeline(world, now=start)

    def region(self, name: str) -> EcsRegion:
        """Return the ECS of a region; one that the world does not know is empty."""
        if name not in self._regions:
            region = EcsRegion(
                region=name,
                account_id=self.world.account,
                partition=partition_of(name),
                neighbours=self.neighbours,
                protocol=self.protocol,
                seed=self.world.seed,
            )
            region.caller = self.neighbours.caller_arn("")
            region.now = self.clock.now()
            self._regions[name] = region
        return self._regions[name]

    @property
    def regions(self) -> tuple[EcsRegion, ...]:
        """All regions that somebody asked for so far."""
        return tuple(self._regions.values())

    @property
    def home(self) -> EcsRegion:
        """The region of the world."""
        return self._regions[self.world.region]

    def catch_up(self) -> float:
        """Let everything happen that is due by the clock's time, and return that time."""
        now = self.clock.now()
        while self._moments and self._moments[0][0] <= now:
            at, moment = self._moments.pop(0)
            self._advance(at)
            self._settlement.let_happen(moment)
            if "add" in moment:
                self.add(World.from_document(moment["add"], name="timeline"), now=at)
        self._advance(now)
        return now

    def _advance(self, now: float) -> None:
        while self.neighbours.may_trigger and self._minute + MINUTE <= now:
            self._minute += MINUTE
            self.home.advance(self._minute)
            for wish in self.neighbours.pass_minute(self._minute):
                self._scale(wish)
        self._minute = max(self._minute, now // MINUTE * MINUTE)
        for region in self._regions.values():
            region.advance(now)

    def _scale(self, wish: Scaling) -> None:
        """Set a service's desired count as Application Auto Scaling does."""
        cluster = self.home.clusters.get(wish.cluster)
        service = cluster.scheduler.services.get(wish.service) if cluster else None
        if service is not None and service.desired_count != wish.desired:
            request = {"cluster": wish.cluster, "service": wish.service, "desiredCount": wish.desired}
            ecs_response(self.home, "UpdateService", request)

    def step(self, seconds: float) -> float:
        """Move a stepped clock; raise `InvalidInput` where the clock moves by itself."""
        if not isinstance(self.clock, SteppedClock):
            raise InvalidInput(
                f"The clock is scaled: it moves by itself, {self.clock.speed:g} times as fast as the wall's.",
                hint="Start the sandbox with --speed stepped to move its clock.",
            )
        self.clock.advance(seconds)
        return self.catch_up()

    def add(self, world: World, *, now: float | None = None) -> None:
        """Add a further piece of world to what is there, as from now."""
        at = self.clock.now() if now is None else now
        if not self.neighbours.images.has_docker and any(
            one.get("runtime") == DOCKER for one in world.images
        ):
            raise InvalidInput(
                "The sandbox runs no real containers.",
                hint="Start it with --runtime docker, where Docker is.",
            )
        self._settlement.settle(world, start=at)
        self._set_faults_and_timeline(world, now=at)

    def _set_faults_and_timeline(self, world: World, *, now: float) -> None:
        self.faults.set([fault_from(entry) for entry in world.faults], now=now)
        self.faults.deny(world.deny)
        self._moments.extend((now + float(moment["at"]), moment) for moment in world.timeline)
        self._moments.sort(key=lambda pair: pair[0])

    def target_health(self, target_group_arn: str) -> Sequence[Mapping[str, str]] | None:
        """Describe the targets that services registered in a target group; None where there are none."""
        descriptions = [
            {
                "Id": target.target_id,
                "Port": str(target.port),
                # AWS names the zone of an address only: an instance has its own.
                "AvailabilityZone": "" if target.target_id.startswith("i-") else target.availability_zone,
                "State": str(target.state),
                "Reason": target.reason,
                "Description": target.description,
            }
            for cluster in self.home.clusters.values()
            for target in cluster.scheduler.target_health(target_group_arn)
        ]
        return descriptions or None

    def auto_scaling_groups(self, wanted: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """Describe the groups under the world's capacity providers, named or all.

        Not those that were made over the API: moto has them, with all that was set.
        """
        groups = []
        for registered in self.home.capacity_providers.values():
            provider = registered.model
            name = provider.auto_scaling_group_arn.rpartition("autoScalingGroupName/")[2]
            made = self.neighbours.has_auto_scaling_group(name)
            if not name or made or (wanted and name not in wanted):
                continue
            instances = [
                {
                    "InstanceId": each.ec2_instance_id,
                    "InstanceType": each.template.instance_type,
                    "AvailabilityZone": each.availability_zone,
                    "LifecycleState": "InService",
                    "HealthStatus": "Healthy",
                    "ProtectedFromScaleIn": "false",
                }
                for cluster in self.home.clusters.values()
                for each in cluster.scheduler.instances.values()
                if each.capacity_provider == provider.name
            ]
            groups.append(
                {
                    "AutoScalingGroupName": name,
                    "AutoScalingGroupARN": provider.auto_scaling_group_arn,
                    "MinSize": str(provider.min_size),
                    "MaxSize": str(provider.max_size),
                    "DesiredCapacity": str(len(instances) + provider.launching),
                    "DefaultCooldown": "300",
                    "AvailabilityZones": [self.home.region + zone for zone in ("a", "b")],
                    "HealthCheckType": "EC2",
                    "CreatedTime": "2026-01-01T00:00:00Z",
                    "Instances": instances,
                    "MixedInstancesPolicy": {
                        "LaunchTemplate": {"Overrides": [{"InstanceType": provider.template.instance_type}]}
                    },
                }
            )
        return groups

    def assume_role_with_web_identity(self, request: Mapping[str, Any], *, now: float) -> Session:
        """Give a session of a role to the bearer of a GitHub token, or raise the error of STS."""
        provider_arn, audiences = self.neighbours.github_provider()
        session = session_of(
            request,
            role=self.neighbours.role(str(request.get("RoleArn", ""))),
            audiences=audiences,
            provider_arn=provider_arn,
            issuer=self.issuer,
            now=now,
        )
        self.sessions[session.access_key_id] = session
        return session

    def assume_role(self, request: Mapping[str, Any], access_key_id: str, *, now: float) -> Session:
        """Give a session of a role to whoever signed with these credentials, or raise the error of STS."""
        session = session_of_role(
            request,
            role=self.neighbours.role(str(request.get("RoleArn", ""))),
            chained=access_key_id in self.sessions,
            now=now,
        )
        self.sessions[session.access_key_id] = session
        return session

    def caller_arn(self, access_key_id: str) -> str:
        """Say who signed a request."""
        session = self.sessions.get(access_key_id)
        return session.arn if session else self.neighbours.caller_arn(access_key_id)

    def has_expired(self, access_key_id: str, *, now: float) -> bool:
        """Are these the credentials of a session that has ended?"""
        session = self.sessions.get(access_key_id)
        return session is not None and now >= session.expires_at

    def summary(self) -> dict[str, Any]:
        """Say shortly what there is, for a person who looks at the sandbox."""
        return {
            "now": self.clock.now(),
            "region": self.world.region,
            "load_balancers": self.load_balancers(),
            "clusters": {
                cluster.name: {
                    "services": {
                        service.name: {
                            "desired": service.desired_count,
                            "running": service.running_count,
                            "pending": service.pending_count,
                            "taskDefinition": service.config.get("taskDefinition"),
                            "rolloutState": str(service.deployments[0].rollout_state)
                            if service.deployments
                            else None,
                        }
                        for service in cluster.scheduler.services.values()
                    },
                    "instances": {
                        instance.ec2_instance_id: {
                            "type": instance.template.instance_type,
                            "status": instance.status,
                            "tasks": len(instance.tasks),
                        }
                        for instance in cluster.scheduler.instances.values()
                    },
                }
                for cluster in self.home.clusters.values()
            },
        }
