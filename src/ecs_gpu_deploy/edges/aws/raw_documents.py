"""AWS's own objects as they are, for rules: what `model.py` leaves out may be what a rule asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from ecs_gpu_deploy.edges.aws.answers import Missing, reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import MOST_INSTANCES

Raw = Mapping[str, Any]
_BATCH = 100
_MOST_GROUPS = 20


def fetch_raw_service(aws: Aws, cluster: str, service: str) -> Raw | None:
    """Return the service with its tags, None where it is not there. Raises AwsError."""
    params = {"cluster": cluster, "services": [service], "include": ["TAGS"]}
    answer = aws.call("ecs", "describe_services", params)
    with reading("ecs.DescribeServices"):
        return next(iter(answer.get("services") or ()), None)


def fetch_raw_cluster(aws: Aws, cluster: str) -> Raw | None:
    """Return the cluster, None where it is not there. Raises AwsError."""
    answer = aws.call("ecs", "describe_clusters", {"clusters": [cluster]})
    with reading("ecs.DescribeClusters"):
        return next(iter(answer.get("clusters") or ()), None)


def fetch_raw_providers(aws: Aws, names: Sequence[str]) -> tuple[Raw, ...]:
    """Return the capacity providers *names*, without asking where there are none. Raises AwsError."""
    if not names:
        return ()
    answer = aws.call("ecs", "describe_capacity_providers", {"capacityProviders": list(names)})
    with reading("ecs.DescribeCapacityProviders"):
        return tuple(answer.get("capacityProviders") or ())


def fetch_raw_instances(aws: Aws, cluster: str) -> tuple[Raw, ...]:
    """Return up to 5,000 container instances (the quota of a cluster) with their health. Raises AwsError."""
    params, member = {"cluster": cluster}, "containerInstanceArns"
    arns = list(islice(aws.pages("ecs", "list_container_instances", params, member), MOST_INSTANCES))
    found: list[Raw] = []
    for begin in range(0, len(arns), _BATCH):
        wanted = {
            "containerInstances": arns[begin : begin + _BATCH],
            "include": ["CONTAINER_INSTANCE_HEALTH"],
        }
        answer = aws.call("ecs", "describe_container_instances", {"cluster": cluster, **wanted})
        with reading("ecs.DescribeContainerInstances"):
            found += answer.get("containerInstances") or ()
    return tuple(found)


def fetch_raw_groups(aws: Aws, arns: Sequence[str]) -> tuple[Raw, ...]:
    """Return the target groups of *arns* that are there, with their attributes and idle timeout.

    `attributes` maps names to texts, `idleTimeout` is in seconds, and lacks where it may not be seen or
    nobody can tell (no load balancer, or one of the network kind). Raises AwsError.
    """
    found: list[Raw] = []
    idle: dict[str, float | None] = {}
    for group in (each for arn in list(arns)[:_MOST_GROUPS] for each in _group(aws, arn)):
        arn = group.get("TargetGroupArn")
        answer = aws.call("elbv2", "describe_target_group_attributes", {"TargetGroupArn": arn})
        with reading("elbv2.DescribeTargetGroupAttributes"):
            attributes = {each["Key"]: each.get("Value", "") for each in answer.get("Attributes") or ()}
        for balancer in group.get("LoadBalancerArns") or ():
            if balancer not in idle:
                idle[balancer] = _idle_timeout(aws, balancer)
        known = [told for each in group.get("LoadBalancerArns") or () if (told := idle[each]) is not None]
        found.append({**group, "attributes": attributes, **({"idleTimeout": max(known)} if known else {})})
    return tuple(found)


def _group(aws: Aws, arn: str) -> tuple[Raw, ...]:
    """Return the group, or nothing where it is gone."""
    try:
        answer = aws.call("elbv2", "describe_target_groups", {"TargetGroupArns": [arn]})
    except Missing:
        return ()
    with reading("elbv2.DescribeTargetGroups"):
        return tuple(answer.get("TargetGroups") or ())


def _idle_timeout(aws: Aws, balancer: str) -> float | None:
    answer = aws.call("elbv2", "describe_load_balancer_attributes", {"LoadBalancerArn": balancer})
    with reading("elbv2.DescribeLoadBalancerAttributes"):
        attributes = {each["Key"]: each.get("Value", "") for each in answer.get("Attributes") or ()}
        told = attributes.get("idle_timeout.timeout_seconds")
        return float(told) if told else None


def fetch_raw_amis(aws: Aws, images: Sequence[str]) -> tuple[Raw, ...]:
    """Return EC2's Image of each AMI that may be seen, asking nothing for none. Raises AwsError."""
    if not images:
        return ()
    answer = aws.call("ec2", "describe_images", {"Filters": [{"Name": "image-id", "Values": list(images)}]})
    with reading("ec2.DescribeImages"):
        return tuple(answer.get("Images") or ())
