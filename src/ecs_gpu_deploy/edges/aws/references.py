"""What a task definition and a service name outside ECS: secrets, log groups, subnets, security groups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.core.capacity.addresses import SubnetSeen
from ecs_gpu_deploy.core.rules.checks import SecretWanted
from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import text_in


def secret_has_key(aws: Aws, wanted: SecretWanted) -> bool:
    """Say whether the secret's JSON has the key: its value goes nowhere. Raises AwsError."""
    params = {"SecretId": wanted.arn}
    if wanted.stage:
        params["VersionStage"] = wanted.stage
    if wanted.version:
        params["VersionId"] = wanted.version
    region = wanted.arn.split(":")[3]
    answer = aws.call("secretsmanager", "get_secret_value", params, region=region)
    try:
        members = json.loads(answer.get("SecretString") or "")
    except ValueError:
        return False
    return isinstance(members, dict) and wanted.key in members


def secret_key(aws: Aws, arn: str) -> str:
    """Return the KMS key that a secret is encrypted with, "" for AWS's own one. Raises AwsError."""
    answer = aws.call("secretsmanager", "describe_secret", {"SecretId": arn}, region=arn.split(":")[3])
    return text_in(answer, "KmsKeyId")


def log_group_is_there(aws: Aws, name: str, *, region: str) -> bool:
    """Say whether CloudWatch Logs has the group. Raises AwsError."""
    params = {"logGroupNamePrefix": name, "limit": 50}
    found = aws.pages("logs", "describe_log_groups", params, "logGroups", region=region or None)
    with reading("logs.DescribeLogGroups"):
        return any(group.get("logGroupName") == name for group in found)


def missing_subnets(aws: Aws, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return those of the subnets *wanted* that are not there. Raises AwsError."""
    there = {each.id for each in fetch_subnets(aws, wanted)}
    return tuple(each for each in wanted if each not in there)


def fetch_subnets(aws: Aws, wanted: Sequence[str]) -> tuple[SubnetSeen, ...]:
    """Return those of the subnets *wanted* that are there. Raises AwsError."""
    params, member = _named("subnet-id", wanted), "Subnets"
    found = aws.pages("ec2", "describe_subnets", params, member, following="NextToken")
    with reading("ec2.DescribeSubnets"):
        return tuple(_subnet(each) for each in found)


def _subnet(api: Mapping[str, Any]) -> SubnetSeen:
    """Read Subnet; one with IPv6 alone counts no addresses (EC2 API Reference, Subnet)."""
    free = None if api.get("Ipv6Native") else api.get("AvailableIpAddressCount")
    return SubnetSeen(
        id=str(api.get("SubnetId")),
        zone=str(api.get("AvailabilityZone") or ""),
        free=None if free is None else int(free),
    )


def missing_security_groups(aws: Aws, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return those of the security groups *wanted* that are not there. Raises AwsError."""
    params, member = _named("group-id", wanted), "SecurityGroups"
    found = aws.pages("ec2", "describe_security_groups", params, member, following="NextToken")
    with reading("ec2.DescribeSecurityGroups"):
        there = {str(each.get("GroupId")) for each in found}
    return tuple(each for each in wanted if each not in there)


def _named(name: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a filter by ids: one that is not there would refuse a request that names it."""
    return {"Filters": [{"Name": name, "Values": list(wanted)}]}
