"""A small world for the scheduler's tests: images with scripts, one target group, GPU instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.state import (
    InstanceTemplate,
    Service,
    ServiceDeployment,
    Task,
)
from ecs_gpu_deploy.model import TargetGroup

CLUSTER_ARN = "arn:aws:ecs:eu-central-1:123456789012:cluster/ki"
GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/rag/0123456789abcdef"
ONE_GPU = InstanceTemplate(cpu=4096, memory=15_000, gpus=1, bandwidth=100_000_000.0)

GOOD = ContainerScript(image_digest="sha256:good", load_seconds=95.0, layers=(("base", 1_000_000_000),))
NEVER = ContainerScript(image_digest="sha256:never", load_seconds=None, layers=(("base", 1_000_000_000),))
MISSING = ContainerScript(pull_error="CannotPullContainerError: The task can't pull the image.")
CRASH = ContainerScript(image_digest="sha256:crash", exit_code=1, exit_after=10.0, load_seconds=None)


class World:
    """Answer the scheduler: a task definition's ARN is the image tag, the script is looked up by it."""

    def __init__(self, **scripts: ContainerScript) -> None:
        self.scripts = {"good": GOOD, "next": GOOD, "never": NEVER, "missing": MISSING, "crash": CRASH}
        self.scripts.update(scripts)
        self.group = TargetGroup(
            arn=GROUP, interval=15, unhealthy_threshold=5, healthy_threshold=2, deregistration_delay=30
        )
        self.container: dict[str, Any] = {}
        self.definition: dict[str, Any] = {}
        self.more_containers: list[dict[str, Any]] = []

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        container = {
            "name": "rag",
            "image": arn,
            "cpu": 1024,
            "memory": 8000,
            "portMappings": [{"containerPort": 8000, "hostPort": 0}],
            "resourceRequirements": [{"type": "GPU", "value": "1"}],
            **self.container,
        }
        return {
            "family": "rag",
            "containerDefinitions": [container, *self.more_containers],
            **self.definition,
        }

    def target_group(self, arn: str) -> TargetGroup | None:
        return self.group if arn == GROUP else None

    def script(
        self, task_definition: Mapping[str, Any], container_name: str, image: str, attempt: int
    ) -> ContainerScript:
        return self.scripts[image]


def cluster(
    world: World, *, instances: int = 0, template: InstanceTemplate = ONE_GPU, seed: int = 0
) -> Scheduler:
    """Give a cluster with so many instances, at time 0."""
    scheduler = Scheduler(
        cluster_name="ki",
        cluster_arn=CLUSTER_ARN,
        region="eu-central-1",
        account_id="123456789012",
        surroundings=world,
        seed=seed,
        now=0.0,
    )
    for _ in range(instances):
        scheduler.add_instance(template, now=0.0)
    return scheduler


def service_config(
    *,
    desired: int = 2,
    minimum: int = 100,
    maximum: int = 200,
    grace: int = 150,
    balanced: bool = True,
    breaker: Mapping[str, Any] | None = None,
    image: str = "good",
    **more: Any,
) -> dict[str, Any]:
    """Give CreateService's members; `more` overrides them."""
    configuration: dict[str, Any] = {"minimumHealthyPercent": minimum, "maximumPercent": maximum}
    if breaker is not None:
        configuration["deploymentCircuitBreaker"] = dict(breaker)
    configuration.update(more.pop("configuration", {}))
    balancers = [{"targetGroupArn": GROUP, "containerName": "rag", "containerPort": 8000}]
    return {
        "serviceName": "api",
        "taskDefinition": image,
        "desiredCount": desired,
        "launchType": "EC2",
        "healthCheckGracePeriodSeconds": grace,
        "loadBalancers": balancers if balanced else [],
        "deploymentConfiguration": configuration,
        **more,
    }


def steady_service(scheduler: Scheduler, config: Mapping[str, Any], now: float = 1000.0) -> Service:
    """Create a service and let it become steady."""
    service = scheduler.create_service(config, 0.0)
    scheduler.advance(now)
    assert service.steady, messages(service)
    return service


def newest(scheduler: Scheduler, service: Service) -> ServiceDeployment:
    """Give the newest service deployment."""
    return scheduler.service_deployments[service.service_deployment_arns[0]]


def messages(service: Service, since: float = 0.0) -> list[str]:
    """Give the event messages from then on, oldest first."""
    return [event.message for event in reversed(service.events) if event.created_at >= since]


def times(service: Service, since: float = 0.0) -> list[tuple[float, str]]:
    """Give the event times and what they begin with, oldest first, without the service's name."""
    return [
        (event.created_at, " ".join(event.message.removeprefix("(service api) ").split()[:3]))
        for event in reversed(service.events)
        if event.created_at >= since
    ]


def stopped(scheduler: Scheduler) -> list[Task]:
    """Give the stopped tasks in the order of their end."""
    ended = [task for task in scheduler.tasks.values() if task.stopped_at is not None]
    return sorted(ended, key=lambda task: (task.stopped_at or 0.0, task.created_at))
