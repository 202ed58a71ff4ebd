"""Elastic Load Balancing: the settings of a target group, and how healthy its targets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import TargetHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A target group's health check and draining, in seconds (docs/aws-facts.md#target-health-check)."""

    arn: str
    interval: float
    timeout: float
    healthy_threshold: int
    unhealthy_threshold: int
    deregistration_delay: float


def fetch_target_group(aws: Aws, arn: str) -> TargetGroup | None:
    """Return the target group; None where it is gone. Raises AwsError."""
    groups = aws.call("elbv2", "describe_target_groups", {"TargetGroupArns": [arn]}).get("TargetGroups") or []
    if not groups:
        return None
    answer = aws.call("elbv2", "describe_target_group_attributes", {"TargetGroupArn": arn})
    with reading("elbv2.DescribeTargetGroupAttributes"):
        attributes = {item["Key"]: item.get("Value", "") for item in answer.get("Attributes") or ()}
        return _target_group(groups[0], attributes)


def _target_group(api: Mapping[str, Any], attributes: Mapping[str, str]) -> TargetGroup:
    return TargetGroup(
        arn=api.get("TargetGroupArn", ""),
        interval=api.get("HealthCheckIntervalSeconds", 30),
        timeout=api.get("HealthCheckTimeoutSeconds", 5),
        healthy_threshold=api.get("HealthyThresholdCount", 5),
        unhealthy_threshold=api.get("UnhealthyThresholdCount", 2),
        deregistration_delay=float(attributes.get("deregistration_delay.timeout_seconds") or 300),
    )


def observe_targets(aws: Aws, arn: str) -> tuple[TargetHealth, ...]:
    """Return the health of every target of the group *arn*; one call, raises AwsError."""
    answer = aws.once("elbv2", "describe_target_health", {"TargetGroupArn": arn})
    with reading("elbv2.DescribeTargetHealth"):
        return tuple(
            TargetHealth.from_api(item, target_group_arn=arn)
            for item in answer.get("TargetHealthDescriptions") or ()
        )
