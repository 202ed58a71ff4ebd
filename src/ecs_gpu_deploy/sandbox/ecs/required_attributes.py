"""What a task definition asks of a container instance's agent, and what our agents offer.

Names: Amazon ECS Developer Guide, "Amazon ECS container agent configuration" and the agent's capability list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCKER_API = "com.amazonaws.ecs.capability.docker-remote-api."

AGENT_ATTRIBUTES: tuple[str, ...] = (
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens",
    "com.amazonaws.ecs.capability.logging-driver.fluentd",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.logging-driver.syslog",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.efsAuth",
    "ecs.capability.env-files.s3",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-eia",
    "ecs.capability.task-eni",
)
"""What an ECS-optimized AMI's agent registers, as far as task definitions here can ask for it."""


def compatibilities(request: Mapping[str, Any]) -> list[str]:
    """Return the launch types that a task definition could run on."""
    if request.get("networkMode") == "awsvpc" and request.get("cpu") and request.get("memory"):
        return ["EC2", "FARGATE"]
    return ["EXTERNAL", "EC2"]


def required_attributes(request: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return `requiresAttributes` as AWS works it out from a registration."""
    containers: Sequence[Mapping[str, Any]] = request.get("containerDefinitions", ())
    names: set[str] = set()
    if request.get("taskRoleArn"):
        names.add("com.amazonaws.ecs.capability.task-iam-role")
        names.add(f"{DOCKER_API}1.17")
    if request.get("networkMode") == "awsvpc":
        names.add("ecs.capability.task-eni")
    for container in containers:
        names.update(_container_attributes(container, executed=bool(request.get("executionRoleArn"))))
    return [{"name": name} for name in sorted(names)]


def _container_attributes(container: Mapping[str, Any], *, executed: bool) -> set[str]:
    names: set[str] = set()
    image = str(container.get("image", ""))
    if ".dkr.ecr." in image:
        names |= {"com.amazonaws.ecs.capability.ecr-auth", f"{DOCKER_API}1.19"}
        if executed:
            names.add("ecs.capability.execution-role-ecr-pull")
    driver = (container.get("logConfiguration") or {}).get("logDriver")
    if driver:
        names |= {f"com.amazonaws.ecs.capability.logging-driver.{driver}", f"{DOCKER_API}1.19"}
        if driver == "awslogs" and executed:
            names.add("ecs.capability.execution-role-awslogs")
    for secret in container.get("secrets") or ():
        source = "asm" if ":secretsmanager:" in str(secret.get("valueFrom", "")) else "ssm"
        names.add(f"ecs.capability.secrets.{source}.environment-variables")
    if container.get("healthCheck"):
        names |= {"ecs.capability.container-health-check", f"{DOCKER_API}1.24"}
    if container.get("dependsOn"):
        names.add("ecs.capability.container-ordering")
    if container.get("privileged"):
        names.add("com.amazonaws.ecs.capability.privileged-container")
    return names
