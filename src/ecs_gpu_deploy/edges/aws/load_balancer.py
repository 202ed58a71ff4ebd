"""Elastic Load Balancing: the settings of a target group, how healthy its targets are, and their address."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.core.show.service_url import Forward, Listener, in_order, service_url
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


_MOST_LISTENERS = 4


def fetch_url(aws: Aws, target_group_arns: Sequence[str]) -> str:
    """Return under which address a load balancer forwards to one of the target groups, "" for none.

    Each call is made once; raises AwsError. Rules are asked for until one forwards, of four listeners.
    """
    targets = frozenset(target_group_arns)
    answer = aws.once("elbv2", "describe_target_groups", {"TargetGroupArns": sorted(targets)})
    with reading("elbv2.DescribeTargetGroups"):
        groups = answer.get("TargetGroups") or ()
        balancers = [arn for group in groups for arn in group.get("LoadBalancerArns") or ()]
    if not balancers:
        return ""
    answer = aws.once("elbv2", "describe_load_balancers", {"LoadBalancerArns": balancers[:1]})
    with reading("elbv2.DescribeLoadBalancers"):
        dns_name = str((answer.get("LoadBalancers") or [{}])[0].get("DNSName") or "")
    answer = aws.once("elbv2", "describe_listeners", {"LoadBalancerArn": balancers[0]})
    with reading("elbv2.DescribeListeners"):
        listeners = [Listener.from_api(item) for item in answer.get("Listeners") or ()]
    for listener in in_order(listeners)[:_MOST_LISTENERS]:
        answer = aws.once("elbv2", "describe_rules", {"ListenerArn": listener.arn})
        with reading("elbv2.DescribeRules"):
            rules = [Forward.from_api(item) for item in answer.get("Rules") or ()]
        if url := service_url(dns_name, listener, rules, targets):
            return url
    return ""
