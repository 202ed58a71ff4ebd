"""Elastic Load Balancing: the settings of a target group, and how healthy its targets are."""

from __future__ import annotations

from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import TargetGroup, TargetHealth


def fetch_target_group(aws: Aws, arn: str) -> TargetGroup | None:
    """Return the target group; None where it is gone. Raises AwsError."""
    groups = aws.call("elbv2", "describe_target_groups", {"TargetGroupArns": [arn]}).get("TargetGroups") or []
    if not groups:
        return None
    answer = aws.call("elbv2", "describe_target_group_attributes", {"TargetGroupArn": arn})
    with reading("elbv2.DescribeTargetGroupAttributes"):
        attributes = {item["Key"]: item.get("Value", "") for item in answer.get("Attributes") or ()}
        return TargetGroup.from_api(groups[0], attributes)


def observe_targets(aws: Aws, arn: str) -> tuple[TargetHealth, ...]:
    """Return the health of every target of the group *arn*; one call, raises AwsError."""
    answer = aws.once("elbv2", "describe_target_health", {"TargetGroupArn": arn})
    with reading("elbv2.DescribeTargetHealth"):
        return tuple(
            TargetHealth.from_api(item, target_group_arn=arn)
            for item in answer.get("TargetHealthDescriptions") or ()
        )
