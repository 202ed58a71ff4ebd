"""Capacity providers of ECS, and the Auto Scaling groups behind them: what may still be launched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_gpu_deploy.core.capacity.seen_room import GroupSeen, ProviderSeen
from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws


def fetch_providers(aws: Aws, names: Iterable[str]) -> Mapping[str, ProviderSeen]:
    """Return the capacity providers by name; one call for up to 100 of them. Raises AwsError."""
    answer = aws.call("ecs", "describe_capacity_providers", {"capacityProviders": list(names)})
    with reading("ecs.DescribeCapacityProviders"):
        found = [ProviderSeen.from_api(item) for item in answer.get("capacityProviders") or ()]
    return {each.name: each for each in found}


def fetch_groups(aws: Aws, names: Iterable[str]) -> Mapping[str, GroupSeen]:
    """Return the Auto Scaling groups by name; one call for up to 100 of them. Raises AwsError."""
    answer = aws.call("autoscaling", "describe_auto_scaling_groups", {"AutoScalingGroupNames": list(names)})
    with reading("autoscaling.DescribeAutoScalingGroups"):
        found = [GroupSeen.from_api(item) for item in answer.get("AutoScalingGroups") or ()]
    return {each.name: each for each in found}


def fetch_default_strategy(aws: Aws, cluster: str) -> tuple[Mapping[str, object], ...]:
    """Return the cluster's default capacity provider strategy. Raises AwsError."""
    answer = aws.call("ecs", "describe_clusters", {"clusters": [cluster]})
    with reading("ecs.DescribeClusters"):
        for item in answer.get("clusters") or ():
            return tuple(item.get("defaultCapacityProviderStrategy") or ())
    return ()
