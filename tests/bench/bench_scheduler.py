"""Time the simulation of rollouts: `python tests/bench/bench_scheduler.py`.

Prints wall seconds for 500 tasks on 250 instances (bound: 2 s), for a rollout of 20 virtual minutes
(under 1 s), and for a step with nothing due.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.state import InstanceTemplate
from ecs_gpu_deploy.model import ServiceDeploymentStatus, TargetGroup

GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/rag/0123456789abcdef"


class World:
    """Two revisions of one GPU service."""

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        return {
            "family": "rag",
            "containerDefinitions": [
                {
                    "name": "rag",
                    "image": f"rag:{arn[-1]}",
                    "cpu": 1024,
                    "memory": 4096,
                    "portMappings": [{"containerPort": 8000, "hostPort": 0}],
                    "resourceRequirements": [{"type": "GPU", "value": "1"}],
                }
            ],
        }

    def target_group(self, arn: str) -> TargetGroup | None:
        return TargetGroup(arn=arn, interval=15, unhealthy_threshold=5, deregistration_delay=60)

    def script(
        self, task_definition: Mapping[str, Any], container_name: str, image: str, attempt: int
    ) -> ContainerScript:
        return ContainerScript(
            image_digest="sha256:" + image[-1] * 64,
            layers=(("base", 6_000_000_000), (image, 200_000_000)),
            load_seconds=95 + attempt % 17,
        )


def rollout_seconds(tasks: int, instances: int, gpus: int, **configuration: int) -> tuple[float, float]:
    """Give wall seconds and virtual seconds of one rollout."""
    scheduler = Scheduler(
        cluster_name="c",
        cluster_arn="arn:aws:ecs:eu-central-1:123456789012:cluster/c",
        region="eu-central-1",
        account_id="123456789012",
        surroundings=World(),
        now=0.0,
    )
    template = InstanceTemplate(cpu=16 * 1024, memory=192_000, gpus=gpus)
    for _ in range(instances):
        scheduler.add_instance(template, now=0.0)
    service = scheduler.create_service(
        {
            "serviceName": "rag",
            "taskDefinition": "rag:1",
            "desiredCount": tasks,
            "launchType": "EC2",
            "healthCheckGracePeriodSeconds": 300,
            "loadBalancers": [{"targetGroupArn": GROUP, "containerName": "rag", "containerPort": 8000}],
            "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200, **configuration},
        },
        0.0,
    )
    scheduler.advance(7200.0)
    began = time.perf_counter()
    scheduler.update_service("rag", {"taskDefinition": "rag:2"}, 7200.0)
    record = scheduler.service_deployments[service.service_deployment_arns[0]]
    while not record.status.is_terminal:
        due = scheduler.next_due()
        assert due is not None
        scheduler.advance(due)
    wall = time.perf_counter() - began
    assert record.status is ServiceDeploymentStatus.SUCCESSFUL
    before = time.perf_counter()
    for number in range(1000):
        scheduler.advance(scheduler.now + number * 1e-9)
    idle = (time.perf_counter() - before) / 1000
    print(
        f"{tasks} tasks on {instances} instances: {wall:.3f} s for {scheduler.now - 7200:.0f} virtual "
        f"seconds; an idle step {idle * 1e6:.2f} µs"
    )
    return wall, scheduler.now - 7200


if __name__ == "__main__":
    rollout_seconds(500, 250, 4)
    rollout_seconds(500, 250, 3, maximumPercent=125)
    rollout_seconds(2, 4, 1)
