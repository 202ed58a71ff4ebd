"""What one account has of ECS in one region: clusters with their models, task definitions, settings, tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecs_gpu_deploy.ecs_model import Scheduler
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, Container, Instance, Service, Task
from ecs_gpu_deploy.sandbox.ecs.surroundings import SandboxSurroundings, log_destination
from ecs_gpu_deploy.sandbox.ecs.task_definitions import TaskDefinitions
from ecs_gpu_deploy.sandbox.neighbours.images import Reference
from ecs_gpu_deploy.sandbox.neighbours.neighbours import Neighbours
from ecs_gpu_deploy.sandbox.protocol.api_errors import (
    ApiError,
    cluster_not_found,
    invalid_parameter,
    service_not_found,
)
from ecs_gpu_deploy.sandbox.protocol.shapes import Fragment, Protocol

Request = Mapping[str, Any]
Response = dict[str, Any]
Tags = list[dict[str, str]]

LONGEST_STEP = 1800.0
"""Seconds: stopped tasks are kept for an hour, and their last lines are fetched before they go."""
FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")


@dataclass(slots=True, kw_only=True)
class Cluster:
    """One cluster: what CreateCluster was told, and the model that runs it."""

    name: str
    arn: str
    scheduler: Scheduler
    settings: list[dict[str, str]]
    configuration: Mapping[str, Any] | None = None
    status: str = "ACTIVE"
    capacity_providers: list[str] = field(default_factory=list)
    default_strategy: list[dict[str, Any]] = field(default_factory=list)
    service_connect_defaults: Mapping[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class RegisteredProvider:
    """A capacity provider of the account: AWS's description of it, and the model's."""

    description: dict[str, Any]
    model: CapacityProvider


class EcsRegion:
    """The ECS of one account in one region. `now` is set before each operation."""

    def __init__(
        self,
        *,
        region: str,
        account_id: str,
        partition: str,
        neighbours: Neighbours,
        protocol: Protocol,
        seed: int,
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.partition = partition
        self.neighbours = neighbours
        self.protocol = protocol
        self.seed = seed
        self.now = 0.0
        self.clusters: dict[str, Cluster] = {}
        self.capacity_providers: dict[str, RegisteredProvider] = {}
        self.task_definitions = TaskDefinitions(self.arn("task-definition/"))
        self.tags: dict[str, Tags] = {}
        self.account_settings: dict[str, str] = {}
        self.written_events: dict[str, tuple[tuple[int, str], Fragment]] = {}
        self.client_tokens: dict[tuple[str, str], Response] = {}
        self.caller = ""
        self.codedeploy: dict[str, Any] = {}

    def arn(self, resource: str) -> str:
        """Return the ARN of an ECS resource here."""
        return f"arn:{self.partition}:ecs:{self.region}:{self.account_id}:{resource}"

    def advance(self, now: float) -> None:
        """Let every cluster's model run up to a time; container lines go to their log groups."""
        while True:
            self.now = max(self.now, min(now, self.now + LONGEST_STEP))
            for cluster in self.clusters.values():
                cluster.scheduler.advance(self.now)
                self._deliver_log_lines(cluster)
            if self.now >= now:
                return

    def next_due(self) -> float | None:
        """Return when the next thing happens by itself."""
        times = [cluster.scheduler.next_due() for cluster in self.clusters.values()]
        return min((time for time in times if time is not None), default=None)

    def _deliver_log_lines(self, cluster: Cluster) -> None:
        for line in cluster.scheduler.take_log_lines(self.now):
            task = cluster.scheduler.tasks.get(line.task_arn)
            containers = task.containers if task else ()
            container = next((one for one in containers if one.name == line.container_name), None)
            if task is not None and container is not None:
                self.put_log_line(task, container, at=line.at, text=line.text)

    def put_log_line(self, task: Task, container: Container, *, at: float, text: str) -> None:
        """Write what a container printed to the log group that its awslogs driver names, if it has one."""
        destination = log_destination(container.definition, default_region=self.region)
        if destination is None:
            return
        region, group, creates = destination
        prefix = container.definition["logConfiguration"]["options"].get("awslogs-stream-prefix")
        stream = f"{prefix}/{container.name}/{task.task_id}" if prefix else str(container.runtime_id)
        self.neighbours.put_log_line((region, group, stream), at=at, text=text, create_group=creates)

    def runs_containers(self, task_definition: str) -> bool:
        """Are tasks of a task definition (by its name or ARN) real containers?"""
        revision = self.task_definitions.find(task_definition)
        containers = revision.description["containerDefinitions"] if revision else ()
        images = self.neighbours.images
        return any(images.run_by_docker(Reference.from_text(one["image"])) for one in containers)

    # Clusters.

    def create_cluster(self, name: str, request: Request) -> Cluster:
        """Make a cluster with a model of its own."""
        settings = [dict(setting) for setting in request.get("settings") or ()]
        arn = self.arn(f"cluster/{name}")
        cluster = Cluster(
            name=name,
            arn=arn,
            settings=settings or [{"name": "containerInsights", "value": "disabled"}],
            configuration=request.get("configuration"),
            service_connect_defaults=request.get("serviceConnectDefaults"),
            scheduler=Scheduler(
                cluster_name=name,
                cluster_arn=arn,
                region=self.region,
                account_id=self.account_id,
                surroundings=SandboxSurroundings(
                    task_definitions=self.task_definitions, neighbours=self.neighbours
                ),
                seed=self.seed + len(self.clusters),
                now=self.now,
            ),
        )
        self.clusters[name] = cluster
        return cluster

    def find_cluster(self, name_or_arn: str) -> Cluster | None:
        """Find a cluster by name or ARN, inactive ones included."""
        name = name_or_arn
        if name_or_arn.startswith("arn:"):
            prefix = self.arn("cluster/")
            if not name_or_arn.startswith(prefix):
                return None
            name = name_or_arn.removeprefix(prefix)
        return self.clusters.get(name)

    def cluster(self, request: Request) -> Cluster:
        """Return the cluster that a request names (`default` where it names none), or raise AWS's error."""
        name = request.get("cluster") or "default"
        if name.startswith("arn:") and f":{self.region}:" not in name:
            raise invalid_parameter("Invalid identifier: Identifier is for a different region.")
        cluster = self.find_cluster(name)
        if cluster is None or cluster.status != "ACTIVE":
            raise cluster_not_found()
        return cluster

    # Things in a cluster, each found by name, id or ARN.

    def find_service(self, cluster: Cluster, name_or_arn: str) -> Service | None:
        """Find a service; an inactive one only where no active one has the name."""
        name = name_or_arn.rpartition("/")[2]
        if name_or_arn.startswith("arn:") and name_or_arn not in (
            self.arn(f"service/{cluster.name}/{name}"),
            self.arn(f"service/{name}"),
        ):
            return None
        return cluster.scheduler.services.get(name) or cluster.scheduler.inactive_services.get(name)

    def service(self, cluster: Cluster, name_or_arn: str) -> Service:
        """Return a service that can be changed, or raise AWS's error."""
        if not name_or_arn:
            raise invalid_parameter("Service can not be blank.")
        service = self.find_service(cluster, name_or_arn)
        if service is None:
            raise service_not_found()
        return service

    def find_task(self, cluster: Cluster, id_or_arn: str) -> Task | None:
        """Find a task by id or ARN."""
        if id_or_arn.startswith("arn:"):
            return cluster.scheduler.tasks.get(id_or_arn)
        return cluster.scheduler.tasks.get(self.arn(f"task/{cluster.name}/{id_or_arn}"))

    def find_instance(self, cluster: Cluster, id_or_arn: str) -> Instance | None:
        """Find a container instance by id or ARN."""
        if id_or_arn.startswith("arn:"):
            return cluster.scheduler.instances.get(id_or_arn)
        return cluster.scheduler.instances.get(self.arn(f"container-instance/{cluster.name}/{id_or_arn}"))

    def instance(self, cluster: Cluster, id_or_arn: str) -> Instance:
        """Return a container instance, or raise AWS's error."""
        instance = self.find_instance(cluster, id_or_arn)
        if instance is None:
            raise invalid_parameter("The referenced container instance was not found.")
        return instance

    # Tags.

    def set_tags(self, arn: str, tags: Iterable[Mapping[str, str]] | None) -> None:
        """Add tags to a resource; a key that is there gets the new value."""
        merged = {tag["key"]: tag.get("value", "") for tag in (*self.tags.get(arn, ()), *(tags or ()))}
        if len(merged) > 50:
            raise invalid_parameter("The number of tags must not exceed 50.")
        self.tags[arn] = [{"key": key, "value": value} for key, value in merged.items()]

    def tags_of(self, arn: str, include: Sequence[str]) -> Tags:
        """Return a resource's tags where TAGS is asked for; else an empty list, as AWS does."""
        return list(self.tags.get(arn, ())) if "TAGS" in include else []


def at_most(request: Request, member: str, limit: int, noun: str) -> list[Any]:
    """Return a list member, or raise AWS's errors for an empty or too long one."""
    values = list(request.get(member) or ())
    if not values:
        raise invalid_parameter(f"{noun} cannot be empty.")
    if len(values) > limit:
        raise invalid_parameter(f"{noun} cannot have more than {limit} elements.")
    return values


def unsupported(message: str) -> ApiError:
    """Return AWS's error for a feature that this cluster or service does not have."""
    return ApiError("UnsupportedFeatureException", message)


def missing(arn: str) -> dict[str, str]:
    """Return the failure of a Describe operation for something that is not there."""
    return {"arn": arn, "reason": "MISSING"}
